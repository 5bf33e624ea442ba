//! Who else writes a resource, and would undo a change of it.

use std::collections::BTreeSet;

use crate::Resources;
use crate::merge::steps::Step;
use crate::resources::{Kind, Metadata, ResourceName};

/// By the labels and annotations that such programs set.
const OWNERS: [(&str, &str); 9] = [
    ("app.kubernetes.io/managed-by", ""),
    ("meta.helm.sh/release-name", "Helm"),
    ("argocd.argoproj.io/instance", "Argo CD"),
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
    ("fluxcd.io/sync-checksum", "Flux"),
    ("config.k8s.io/owning-inventory", "kpt"),
    ("configmanagement.gke.io/managed", "Config Sync"),
];

/// A warning for each resource that a plan changes and that somebody else writes.
pub(super) fn warnings(resources: &Resources, steps: &[Step]) -> Vec<String> {
    let writes = steps.iter().flat_map(|step| &step.writes);
    let changed: BTreeSet<&ResourceName> = writes.map(super::Write::resource).collect();
    let gateways = resources
        .gateways
        .iter()
        .map(|gateway| (Kind::Gateway, &gateway.metadata));
    let services = resources
        .virtual_services
        .iter()
        .map(|service| (Kind::VirtualService, &service.metadata));
    let mut warnings: Vec<String> = gateways
        .chain(services)
        .filter_map(|(kind, metadata)| {
            let resource = metadata.resource(kind);
            let owner = changed.contains(&resource).then(|| owner(metadata))??;
            Some(format!(
                "{resource} is written by {owner}: change its source instead"
            ))
        })
        .collect();
    warnings.sort_unstable();
    warnings
}

fn owner(metadata: &Metadata) -> Option<String> {
    let Metadata {
        labels,
        annotations,
        owner_references,
        ..
    } = metadata;
    let value = |key: &str| labels.get(key).or_else(|| annotations.get(key));
    let named = OWNERS.iter().find_map(|(key, owner)| {
        let value = value(key)?;
        Some(if owner.is_empty() {
            value.clone()
        } else {
            (*owner).to_owned()
        })
    });
    named.or_else(|| {
        let owner = owner_references.first()?;
        Some(format!("{} {}", owner.kind, owner.name))
    })
}
