//! The files of a kustomization that are patches: they look like resources, but have only some of the fields.

use serde::Deserialize;

/// A kustomization, with the fields that name files of patches (kustomize `api/types/kustomization.go`).
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Kustomization {
    patches: Vec<Patch>,
    patches_json6902: Vec<Patch>,
    patches_strategic_merge: Vec<String>,
    replacements: Vec<Patch>,
    configurations: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Patch {
    path: String,
}

/// The paths of the patches of a kustomization, relative to its folder; none for a text that is not one.
#[must_use]
pub fn patch_files(kustomization: &str) -> Vec<String> {
    let Ok(Kustomization {
        patches,
        patches_json6902,
        patches_strategic_merge,
        replacements,
        configurations,
    }) = serde_saphyr::from_str_with_options(kustomization, super::limits())
    else {
        return Vec::new();
    };
    patches
        .into_iter()
        .chain(patches_json6902)
        .chain(replacements)
        .map(|patch| patch.path)
        .chain(patches_strategic_merge)
        .chain(configurations)
        // An entry of patchesStrategicMerge may also be the patch itself.
        .filter(|path| !path.is_empty() && !path.contains('\n'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::patch_files;

    #[test]
    fn every_kind_of_patch_has_a_file() {
        let files = patch_files(
            "resources: [../base, gateway.yaml]\n\
             patches:\n- path: a.yaml\n  target: {kind: Gateway}\n- patch: |-\n    - op: remove\n\
             patchesJson6902:\n- {path: b.yaml, target: {kind: Gateway, name: gw}}\n\
             patchesStrategicMerge:\n- ../c.yaml\n- |-\n  kind: Gateway\n  metadata: {name: gw}\n",
        );
        assert_eq!(files, ["a.yaml", "b.yaml", "../c.yaml"]);
        assert!(patch_files("resources: [gateway.yaml]").is_empty());
        assert!(patch_files("patches: {").is_empty());
        assert!(patch_files("- a\n").is_empty());
    }
}
