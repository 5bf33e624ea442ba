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

#[cfg(test)]
mod tests {
    use crate::documents::read;
    use crate::{Model, Resources};

    fn gateway(name: &str, labels: &str) -> String {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {{name: {name}, \
             namespace: istio-system, labels: {{{labels}}}}}, spec: {{selector: {{istio: ingress}}, \
             servers: [{{port: {{number: 443, name: https, protocol: HTTPS}}, \
             hosts: [{name}.example.com], tls: {{mode: SIMPLE}}}}]}}}}\n---\n"
        )
    }

    fn pod(name: &str, labels: &str) -> String {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: istio-system, \
             labels: {{istio: ingress{labels}}}}}}}\n---\n"
        )
    }

    fn model(text: &str, has_all_pods: bool) -> Model {
        let mut resources = Resources::default();
        assert_eq!(read("input.yaml", text, &mut resources), []);
        resources.has_all_pods = has_all_pods;
        Model::new(&resources)
    }

    /// The workloads with the Gateways that they run, then the Gateways without pods.
    #[track_caller]
    fn check(text: &str, has_all_pods: bool, expected: &[&str]) {
        let model = model(text, has_all_pods);
        let mut found: Vec<String> = model
            .workloads
            .iter()
            .map(|workload| {
                let names: Vec<&str> = workload
                    .listeners
                    .iter()
                    .flat_map(|listener| &listener.chains)
                    .map(|chain| chain.server.gateway.name.as_str())
                    .collect();
                format!("{}: {}", workload.name, names.join(" "))
            })
            .collect();
        found.extend(
            model
                .unselected
                .iter()
                .map(|unselected| format!("no pods: {}", unselected.resource.name)),
        );
        assert_eq!(found, expected, "{text}");
    }

    const CANARY: &str = "istio.io/rev: canary";
    const STABLE: &str = "istio.io/rev: stable";

    #[test]
    fn each_revision_has_assumed_pods() {
        let text = gateway("a", CANARY) + &gateway("b", STABLE) + &gateway("c", "");
        check(
            &text,
            false,
            &[
                "istio=ingress,istio.io/rev=canary: a c",
                "istio=ingress,istio.io/rev=stable: b c",
            ],
        );
        check(&gateway("c", ""), false, &["istio=ingress: c"]);
    }

    #[test]
    fn pods_see_the_resources_of_their_revision() {
        let pods = pod("one", ", istio.io/rev: canary") + &pod("two", ", istio.io/rev: default");
        let gateways = gateway("a", CANARY) + &gateway("c", "");
        check(&(pods + &gateways), false, &["one: a c", "two: c"]);
        // Without labels on resources, the revision of a pod has no effect.
        let pods = pod("one", ", istio.io/rev: canary");
        check(&(pods + &gateway("c", "")), false, &["one: c"]);
    }

    #[test]
    fn a_gateway_of_a_revision_without_pods_runs_nowhere() {
        let pods = pod("one", ", istio.io/rev: canary");
        let gateways = gateway("a", CANARY) + &gateway("b", STABLE);
        check(&(pods + &gateways), false, &["one: a", "no pods: b"]);
        // A pod without a revision can belong to any.
        check(&(pod("one", "") + &gateways), false, &["one: a", "one: b"]);
    }

    #[test]
    fn no_pods_are_assumed_where_all_are_known() {
        check(&gateway("a", ""), false, &["istio=ingress: a"]);
        check(&gateway("a", ""), true, &["no pods: a"]);
        let managed = "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: m, \
            namespace: istio-system}, spec: {gatewayClassName: istio, listeners: [{name: l, port: 443, \
            protocol: TLS, tls: {mode: Passthrough}}]}}\n---\n";
        check(managed, true, &["no pods: m"]);
        // Files do not contain the pods that istiod creates.
        let elsewhere = pod("one", "") + managed;
        assert_eq!(model(&elsewhere, false).unselected, []);
        // A Service that selects none of the pods does not show others.
        let service = "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: istio-system}, \
            spec: {selector: {istio: ingress}, ports: [{port: 443}]}}\n---\n";
        check(
            &(service.to_owned() + &gateway("a", "")),
            true,
            &["no pods: a"],
        );
    }
}
