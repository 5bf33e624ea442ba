//! Programs that manage the resources of a plan and would revert a manual change.

use std::collections::{BTreeMap, BTreeSet};

use super::steps::Step;
use super::write::Write;
use crate::Resources;
use crate::resources::{Kind, Metadata, ResourceName};

/// What manages a resource. The order is the order of the report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// A Canary of Flagger, which writes a VirtualService.
    FlaggerCanary { name: String },
    /// Another resource: its controller writes this one.
    Resource { kind: String, name: String },
    /// A `HelmRelease` of Flux.
    FluxHelmRelease { namespace: String, name: String },
    /// A Kustomization of Flux.
    FluxKustomization { namespace: String, name: String },
    /// An Application of Argo CD.
    ArgoApplication { name: String },
    /// A release of Helm.
    HelmRelease { namespace: String, name: String },
    /// `kustomize build`, whose output somebody applies.
    Kustomize,
    /// Another program, by its name.
    Program { name: String },
}

/// The resources of a plan that have the same owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedResources {
    pub owner: Owner,
    /// The resources that the plan changes, sorted.
    pub resources: Vec<ResourceName>,
}

/// The owners of the resources that the steps change, each once.
pub(super) fn owners(resources: &Resources, steps: &[Step]) -> Vec<ManagedResources> {
    let changed: BTreeSet<&ResourceName> = steps
        .iter()
        .flat_map(|step| &step.writes)
        .map(Write::resource)
        .collect();

    let mut by_owner: BTreeMap<Owner, BTreeSet<ResourceName>> = BTreeMap::new();
    for (resource, metadata) in gateways_and_virtual_services(resources) {
        // A plan is applied by hand. The owner would revert it at the next synchronization.
        if changed.contains(&resource)
            && let Some(owner) = owner(metadata)
        {
            by_owner.entry(owner).or_default().insert(resource);
        }
    }
    by_owner
        .into_iter()
        .map(|(owner, resources)| ManagedResources {
            owner,
            resources: resources.into_iter().collect(),
        })
        .collect()
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

/// Labels and annotations that a program sets without a name of its own for the source.
const PROGRAM_KEYS: [(&str, &str); 3] = [
    ("fluxcd.io/sync-checksum", "Flux"),
    ("config.k8s.io/owning-inventory", "kpt"),
    ("configmanagement.gke.io/managed", "Config Sync"),
];

/// The program or the resource that manages a resource.
fn owner(metadata: &Metadata) -> Option<Owner> {
    // A controller that creates a resource for another one sets an owner reference. It reverts changes at
    // once. Labels may be copied from that other resource, so they come later.
    if let Some(reference) = metadata.owner_references.first() {
        let name = reference.name.clone();
        return Some(match reference.kind.as_str() {
            "Canary" => Owner::FlaggerCanary { name },
            kind => Owner::Resource {
                kind: kind.to_owned(),
                name,
            },
        });
    }
    // Flux and Argo CD also apply charts of Helm, so they come before Helm.
    if let Some(name) = value(metadata, "helm.toolkit.fluxcd.io/name") {
        let namespace = namespace(metadata, "helm.toolkit.fluxcd.io/namespace");
        return Some(Owner::FluxHelmRelease { namespace, name });
    }
    if let Some(name) = value(metadata, "kustomize.toolkit.fluxcd.io/name") {
        let namespace = namespace(metadata, "kustomize.toolkit.fluxcd.io/namespace");
        return Some(Owner::FluxKustomization { namespace, name });
    }
    if let Some(name) = value(metadata, "argocd.argoproj.io/instance") {
        return Some(Owner::ArgoApplication { name });
    }
    if let Some(id) = value(metadata, "argocd.argoproj.io/tracking-id") {
        // The form is `application:group/Kind:namespace/name`.
        let name = id.split(':').next().unwrap_or_default().to_owned();
        return Some(Owner::ArgoApplication { name });
    }
    if let Some(name) = value(metadata, "meta.helm.sh/release-name") {
        let namespace = namespace(metadata, "meta.helm.sh/release-namespace");
        return Some(Owner::HelmRelease { namespace, name });
    }
    // The common label names the program itself, in the case of kustomize with its version.
    if let Some(name) = value(metadata, "app.kubernetes.io/managed-by") {
        return Some(if name.starts_with("kustomize") {
            Owner::Kustomize
        } else {
            Owner::Program { name }
        });
    }
    // kustomize writes this annotation if `buildMetadata` has `originAnnotations`.
    if value(metadata, "config.kubernetes.io/origin").is_some() {
        return Some(Owner::Kustomize);
    }
    PROGRAM_KEYS
        .iter()
        .find(|(key, _)| value(metadata, key).is_some())
        .map(|(_, program)| Owner::Program {
            name: (*program).to_owned(),
        })
}

/// The value of a label, or else of an annotation.
fn value(metadata: &Metadata, key: &str) -> Option<String> {
    metadata
        .labels
        .get(key)
        .or_else(|| metadata.annotations.get(key))
        .cloned()
}

/// The namespace of an owner that a label names; by default the one of the resource.
fn namespace(metadata: &Metadata, key: &str) -> String {
    value(metadata, key).unwrap_or_else(|| metadata.namespace.clone())
}

#[cfg(test)]
mod tests {
    use super::{Owner, owner};
    use crate::resources::{Labels, Metadata, OwnerReference};

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    /// The owner of a resource of the namespace `shop` with some labels.
    fn of_labels(pairs: &[(&str, &str)]) -> Option<Owner> {
        owner(&Metadata {
            namespace: "shop".to_owned(),
            labels: labels(pairs),
            ..Metadata::default()
        })
    }

    #[test]
    fn owners_by_label() {
        let (namespace, name) = ("flux-system".to_owned(), "gateways".to_owned());
        assert_eq!(of_labels(&[("app", "shop")]), None);
        assert_eq!(
            of_labels(&[
                ("kustomize.toolkit.fluxcd.io/name", "gateways"),
                ("kustomize.toolkit.fluxcd.io/namespace", "flux-system"),
                ("app.kubernetes.io/managed-by", "Helm"),
            ]),
            Some(Owner::FluxKustomization { namespace, name })
        );
        assert_eq!(
            of_labels(&[("argocd.argoproj.io/instance", "edge")]),
            Some(Owner::ArgoApplication {
                name: "edge".to_owned()
            })
        );
        assert_eq!(
            of_labels(&[("app.kubernetes.io/managed-by", "kustomize-v5.4.1")]),
            Some(Owner::Kustomize)
        );
        assert_eq!(
            of_labels(&[("app.kubernetes.io/managed-by", "Pulumi")]),
            Some(Owner::Program {
                name: "Pulumi".to_owned()
            })
        );
        assert_eq!(
            of_labels(&[("config.k8s.io/owning-inventory", "x")]),
            Some(Owner::Program {
                name: "kpt".to_owned()
            })
        );
    }

    #[test]
    fn owners_by_annotation_and_reference() {
        let mut metadata = Metadata {
            namespace: "shop".to_owned(),
            ..Metadata::default()
        };
        metadata.annotations = labels(&[("meta.helm.sh/release-name", "edge")]);
        assert_eq!(
            owner(&metadata),
            Some(Owner::HelmRelease {
                namespace: "shop".to_owned(),
                name: "edge".to_owned()
            })
        );
        metadata.annotations = labels(&[(
            "argocd.argoproj.io/tracking-id",
            "edge:networking.istio.io/Gateway:shop/gw-a",
        )]);
        assert_eq!(
            owner(&metadata),
            Some(Owner::ArgoApplication {
                name: "edge".to_owned()
            })
        );
        metadata.owner_references = vec![OwnerReference {
            kind: "Canary".into(),
            name: "b".into(),
        }];
        let name = "b".to_owned();
        assert_eq!(owner(&metadata), Some(Owner::FlaggerCanary { name }));
    }
}
