//! Programs that manage a resource and would revert a manual change.

use std::collections::BTreeSet;

use super::steps::Step;
use super::write::Write;
use crate::Resources;
use crate::resources::{Kind, Metadata, ResourceName};

/// The label of Kubernetes for the managing program. Its value is the program's name.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Labels and annotations that are set by one program.
const OWNER_KEYS: [(&str, &str); 8] = [
    ("meta.helm.sh/release-name", "Helm"),
    ("argocd.argoproj.io/instance", "Argo CD"),
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
    ("fluxcd.io/sync-checksum", "Flux"),
    ("config.k8s.io/owning-inventory", "kpt"),
    ("configmanagement.gke.io/managed", "Config Sync"),
];

/// A warning for each resource that the steps change and that a program manages.
pub(super) fn warnings(resources: &Resources, steps: &[Step]) -> Vec<String> {
    let changed: BTreeSet<&ResourceName> = steps
        .iter()
        .flat_map(|step| &step.writes)
        .map(Write::resource)
        .collect();

    let mut warnings = Vec::new();
    for (resource, metadata) in gateways_and_virtual_services(resources) {
        // A plan is applied by hand. The owner would revert it at the next synchronization.
        if changed.contains(&resource)
            && let Some(owner) = owner(metadata)
        {
            warnings.push(format!(
                "{resource} is managed by {owner}: make the same changes in its source"
            ));
        }
    }
    warnings.sort_unstable();
    warnings
}

/// All resources of the kinds that a plan changes.
fn gateways_and_virtual_services(
    resources: &Resources,
) -> impl Iterator<Item = (ResourceName, &Metadata)> {
    resources
        .gateways
        .iter()
        .map(|gateway| (Kind::Gateway, &gateway.metadata))
        .chain(
            resources
                .virtual_services
                .iter()
                .map(|service| (Kind::VirtualService, &service.metadata)),
        )
        .map(|(kind, metadata)| (metadata.resource(kind), metadata))
}

/// The program or the resource that manages a resource.
fn owner(metadata: &Metadata) -> Option<String> {
    // The common label names the program itself, so it comes before the keys of single programs.
    if let Some(program) = label_or_annotation(metadata, MANAGED_BY) {
        return Some(program.clone());
    }
    for (key, program) in OWNER_KEYS {
        if label_or_annotation(metadata, key).is_some() {
            return Some(program.to_owned());
        }
    }
    // A controller that creates a resource for another one sets an owner reference.
    let owner = metadata.owner_references.first()?;
    Some(format!("{} {}", owner.kind, owner.name))
}

fn label_or_annotation<'m>(metadata: &'m Metadata, key: &str) -> Option<&'m String> {
    metadata
        .labels
        .get(key)
        .or_else(|| metadata.annotations.get(key))
}

#[cfg(test)]
mod tests {
    use super::owner;
    use crate::resources::{Labels, Metadata, OwnerReference};

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn owners_by_label_annotation_and_reference() {
        let mut metadata = Metadata::default();
        assert_eq!(owner(&metadata), None);

        metadata.owner_references = vec![OwnerReference {
            kind: "Canary".into(),
            name: "b".into(),
        }];
        assert_eq!(owner(&metadata).as_deref(), Some("Canary b"));

        metadata.annotations = labels(&[("argocd.argoproj.io/tracking-id", "shop")]);
        assert_eq!(owner(&metadata).as_deref(), Some("Argo CD"));

        metadata.labels = labels(&[("app.kubernetes.io/managed-by", "Pulumi")]);
        assert_eq!(owner(&metadata).as_deref(), Some("Pulumi"));
    }
}
