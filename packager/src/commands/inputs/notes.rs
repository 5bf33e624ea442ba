//! Notes about skipped documents: one for each reason, with the number and the first files.

use std::collections::{BTreeMap, BTreeSet};

use gateway::documents::{SkipReason, Skipped};

/// How many files a note names.
const MAX_FILES: usize = 3;

/// What `--strict` reports for a skipped document; `None` for one that is never an error.
pub(super) fn problem(reason: SkipReason) -> Option<&'static str> {
    match reason {
        SkipReason::NotResource => {
            Some("expected a resource of Kubernetes, with apiVersion and kind")
        }
        SkipReason::Template => {
            Some("it is a template: render it first, for example with helm template")
        }
        SkipReason::Variables => {
            Some("it has variables: replace them first, for example with flux envsubst")
        }
        SkipReason::Patch => {
            Some("it is a patch: build it first, for example with kustomize build")
        }
        SkipReason::NotJson => Some("it is not JSON"),
        SkipReason::HelmRelease => None,
    }
}

/// Whether documents that were skipped are resources in another form, about which the report says nothing.
pub(super) fn is_left_out(reason: SkipReason) -> bool {
    match reason {
        SkipReason::Template | SkipReason::Variables | SkipReason::Patch => true,
        SkipReason::NotResource | SkipReason::NotJson | SkipReason::HelmRelease => false,
    }
}

/// One note for each reason.
pub(super) fn notes(skipped: &[Skipped]) -> Vec<String> {
    let mut by_reason: BTreeMap<SkipReason, Vec<&Skipped>> = BTreeMap::new();
    for document in skipped {
        by_reason.entry(document.reason).or_default().push(document);
    }
    by_reason
        .into_iter()
        .map(|(reason, documents)| note(reason, &documents))
        .collect()
}

fn note(reason: SkipReason, documents: &[&Skipped]) -> String {
    let files: BTreeSet<&str> = documents
        .iter()
        .map(|document| &*document.origin.file)
        .collect();
    let files = first(&files);
    let count = documents.len();
    let plural = if count == 1 { "" } else { "s" };
    match reason {
        SkipReason::NotResource => {
            let what = if count == 1 {
                "document that is no resource"
            } else {
                "documents that are no resources"
            };
            format!("skipped {count} {what} of a cluster: {files}; --strict reports them as errors")
        }
        SkipReason::Template => format!(
            "skipped {count} template{plural}: {files}; to check the result: \
             helm template CHART | packager check -"
        ),
        SkipReason::Variables => format!(
            "skipped {count} resource{plural} with variables such as ${{domain}}: {files}; to check the result: \
             kustomize build FOLDER | flux envsubst | packager check -"
        ),
        SkipReason::Patch => format!(
            "skipped {count} patch{}: {files}; to check the result: \
             kustomize build FOLDER | packager check -",
            if count == 1 { "" } else { "es" }
        ),
        SkipReason::NotJson => {
            format!("skipped {count} file{plural} in other forms of JSON: {files}")
        }
        SkipReason::HelmRelease => format!(
            "skipped {count} Secret{plural} with releases of Helm in {files}; kubectl get secrets \
             --field-selector type!=helm.sh/release.v1 leaves them out"
        ),
    }
}

/// The first files, and the number of the others.
fn first(files: &BTreeSet<&str>) -> String {
    let names: Vec<&str> = files.iter().copied().take(MAX_FILES).collect();
    let names = names.join(", ");
    match files.len().saturating_sub(MAX_FILES) {
        0 => names,
        others => format!("{names} and {others} more"),
    }
}

#[cfg(test)]
mod tests {
    use gateway::documents::{SkipReason, Skipped};
    use gateway::resources::Origin;

    use super::notes;

    fn skipped(file: &str, reason: SkipReason) -> Skipped {
        Skipped {
            origin: Origin {
                file: file.into(),
                line: 1,
            },
            reason,
        }
    }

    #[test]
    fn a_reason_has_one_note() {
        let other = SkipReason::NotResource;
        let found = notes(&[
            skipped("d.yaml", other),
            skipped("a.yaml", SkipReason::Patch),
            skipped("a.yaml", other),
            skipped("b.yaml", other),
            skipped("c.yaml", other),
            skipped("c.yaml", other),
        ]);
        let expected = [
            "skipped 5 documents that are no resources of a cluster: a.yaml, b.yaml, c.yaml and 1 more; \
             --strict reports them as errors",
            "skipped 1 patch: a.yaml; to check the result: kustomize build FOLDER | packager check -",
        ];
        assert_eq!(found, expected);
        assert!(notes(&[]).is_empty());
    }
}
