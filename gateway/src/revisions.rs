//! The revisions of istiod. Each istiod sees the resources of its revision, and configures the pods of its
//! revision, so the worlds of two revisions never conflict.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::mesh::{MeshSettings, REVISION_LABEL, istiod_revision};
use super::resources::kubernetes::{Pods, PodsKind};
use super::resources::{Labels, Metadata, Resources};

/// What one istiod sees.
pub(crate) struct World<'r> {
    /// Its revision; `None` if the input does not distinguish revisions.
    pub(crate) revision: Option<&'r str>,
    /// The resources of its revision. The pods are those of all revisions.
    pub(crate) resources: Cow<'r, Resources>,
    pub(crate) settings: MeshSettings,
}

/// The revisions that the pods of an input belong to.
pub(crate) struct PodRevisions<'r> {
    /// The revisions that label resources, or that an istiod of the input has.
    named: BTreeSet<&'r str>,
    /// The label of each namespace that has one.
    namespaces: BTreeMap<&'r str, &'r str>,
}

impl<'r> PodRevisions<'r> {
    fn new(resources: &'r Resources) -> Self {
        let istiods = resources
            .pods
            .iter()
            .filter(|pods| pods.is_istiod())
            .map(istiod_revision);
        Self {
            named: labelled(resources).into_iter().chain(istiods).collect(),
            namespaces: resources
                .namespaces
                .iter()
                .filter_map(|namespace| {
                    let revision = revision_label(&namespace.metadata.labels)?;
                    Some((namespace.metadata.name.as_str(), revision))
                })
                .collect(),
        }
    }

    /// The revision that injects pods; `None` if the input does not show it.
    fn revision(&self, pods: &'r Pods) -> Option<&'r str> {
        // The injector labels each pod with the revision of its istiod.
        if let Some(revision) = revision_label(&pods.labels) {
            return Some(revision);
        }
        // The label of a namespace can also be a tag, which another revision can have every day.
        self.namespaces
            .get(pods.metadata.namespace.as_str())
            .copied()
            .filter(|revision| pods.kind != PodsKind::Pod && self.named.contains(revision))
    }
}

impl World<'_> {
    /// Whether the istiod of this world configures pods.
    pub(crate) fn has_pods(&self, pods: &Pods, revisions: &PodRevisions<'_>) -> bool {
        match (self.revision, revisions.revision(pods)) {
            (Some(own), Some(revision)) => own == revision,
            // Pods whose revision is unknown can belong to any.
            (None, _) | (_, None) => true,
        }
    }
}

/// The worlds of an input, by revision. Almost every input has one.
pub(crate) fn worlds(resources: &Resources) -> (Vec<World<'_>>, PodRevisions<'_>) {
    let pods = PodRevisions::new(resources);
    let labelled = labelled(resources);
    let of_pods: BTreeSet<&str> = resources
        .pods
        .iter()
        .filter(|pods| !pods.is_istiod())
        .filter_map(|each| pods.revision(each))
        .collect();
    // Without labels on resources all istiods see the same, and only their settings can differ.
    let settings: Vec<MeshSettings> = of_pods
        .iter()
        .map(|revision| MeshSettings::read(resources, Some(revision)))
        .collect();
    let are_alike = settings.windows(2).all(|pair| pair.first() == pair.last());
    if labelled.is_empty() && are_alike {
        let revision = of_pods.first().copied();
        let world = World {
            revision: None,
            resources: Cow::Borrowed(resources),
            settings: MeshSettings::read(resources, revision),
        };
        return (vec![world], pods);
    }
    let worlds = labelled
        .union(&of_pods)
        .map(|revision| World {
            revision: Some(revision),
            resources: Cow::Owned(seen_by(resources, revision)),
            settings: MeshSettings::read(resources, Some(revision)),
        })
        .collect();
    (worlds, pods)
}

/// The revisions that label resources that only the istiod of a revision sees.
fn labelled(resources: &Resources) -> BTreeSet<&str> {
    resources
        .gateways
        .iter()
        .map(|gateway| &gateway.metadata)
        .chain(
            resources
                .virtual_services
                .iter()
                .map(|service| &service.metadata),
        )
        .chain(resources.api_gateways.iter().map(|own| &own.metadata))
        .chain(resources.listener_sets.iter().map(|set| &set.metadata))
        .chain(resources.routes.iter().map(|route| &route.metadata))
        .filter_map(|metadata| revision_label(&metadata.labels))
        .collect()
}

fn revision_label(labels: &Labels) -> Option<&str> {
    labels
        .get(REVISION_LABEL)
        .map(String::as_str)
        .filter(|revision| !revision.is_empty())
}

/// Whether the istiod of a revision sees a resource with these labels (Istio `pkg/config/model.go`,
/// `LabelsInRevision`).
fn is_seen_by(labels: &Labels, revision: Option<&str>) -> bool {
    match (labels.get(REVISION_LABEL), revision) {
        (Some(label), Some(revision)) => label == revision,
        // A resource without the label is for all revisions.
        (None, _) | (_, None) => true,
    }
}

/// The resources that the istiod of a revision sees. Kubernetes' own kinds are not filtered (Istio
/// `pilot/pkg/config/kube/gateway/controller.go`, `buildClient`).
fn seen_by(resources: &Resources, revision: &str) -> Resources {
    let is_seen = |metadata: &Metadata| is_seen_by(&metadata.labels, Some(revision));
    let mut seen = resources.clone();
    seen.gateways.retain(|own| is_seen(&own.metadata));
    seen.virtual_services.retain(|own| is_seen(&own.metadata));
    // Every istiod reads a Gateway of the Gateway API, but only the one of its revision deploys pods for it
    // (Istio `pilot/pkg/config/kube/gatewaycommon/deploymentcontroller.go`).
    seen.api_gateways
        .retain(|own| is_seen(&own.metadata) || !own.spec.addresses.is_empty());
    seen.listener_sets.retain(|own| is_seen(&own.metadata));
    seen.routes.retain(|own| is_seen(&own.metadata));
    seen.reference_grants.retain(|own| is_seen(&own.metadata));
    seen.gateway_classes.retain(|own| is_seen(&own.metadata));
    seen
}
