//! The revisions of istiod. Each istiod sees the resources of its revision, and configures the pods of its
//! revision, so the worlds of two revisions never conflict.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::generated::{Ignored, IgnoredReason};
use super::mesh::{MeshSettings, REVISION_LABEL, istiod_revision};
use super::resources::kubernetes::{Pods, PodsKind};
use super::resources::{Kind, Labels, Metadata, Resources};
use super::revision_tags::RevisionTags;

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
    tags: RevisionTags<'r>,
}

impl<'r> PodRevisions<'r> {
    fn new(resources: &'r Resources) -> Self {
        let tags = RevisionTags::new(resources);
        let istiods = resources
            .pods
            .iter()
            .filter(|pods| pods.is_istiod())
            .map(istiod_revision);
        Self {
            named: labelled(resources, &tags)
                .into_iter()
                .chain(istiods)
                .collect(),
            namespaces: resources
                .namespaces
                .iter()
                .filter_map(|namespace| {
                    let revision = revision_label(&namespace.metadata.labels)?;
                    Some((namespace.metadata.name.as_str(), revision))
                })
                .collect(),
            tags,
        }
    }

    /// The revision that injects pods; `None` if the input does not show it.
    pub(crate) fn revision<'p>(&self, pods: &'p Pods) -> Option<&'p str>
    where
        'r: 'p,
    {
        // The injector labels each pod with the revision of its istiod, and replaces a tag in the template of a
        // Deployment (Istio `manifests/charts/istio-control/istio-discovery/files/gateway-injection-template.yaml`).
        if let Some(label) = revision_label(&pods.labels) {
            let is_pod = pods.kind == PodsKind::Pod;
            return Some(if is_pod {
                label
            } else {
                self.tags.revision(label)
            });
        }
        // The label of a namespace can also be a tag. Without its webhook in the input, it is a name of nothing.
        self.namespaces
            .get(pods.metadata.namespace.as_str())
            .map(|label| self.tags.revision(label))
            .filter(|revision| {
                pods.kind != PodsKind::Pod
                    && (self.named.contains(revision) || self.tags.has_revision(revision))
            })
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
    let labelled = labelled(resources, &pods.tags);
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
            resources: Cow::Owned(seen_by(resources, revision, &pods)),
            settings: MeshSettings::read(resources, Some(revision)),
        })
        .collect();
    (worlds, pods)
}

/// The revisions that label resources that only the istiod of a revision sees.
fn labelled<'r>(resources: &'r Resources, tags: &RevisionTags<'r>) -> BTreeSet<&'r str> {
    // The revision of a tag exists too, whether or not istiod reads the tag (`seen_by`).
    with_revisions(resources)
        .into_iter()
        .map(|(_, metadata)| metadata)
        .chain(resources.api_gateways.iter().map(|own| &own.metadata))
        .filter_map(|metadata| revision_label(&metadata.labels))
        .map(|label| tags.revision(label))
        .collect()
}

/// The resources whose label is the name of a revision, and never a tag.
fn with_revisions(resources: &Resources) -> Vec<(Kind, &Metadata)> {
    let mut found = Vec::new();
    for gateway in &resources.gateways {
        found.push((Kind::Gateway, &gateway.metadata));
    }
    for service in &resources.virtual_services {
        found.push((Kind::VirtualService, &service.metadata));
    }
    for set in &resources.listener_sets {
        found.push((Kind::ListenerSet, &set.metadata));
    }
    for route in &resources.routes {
        found.push((route.kind.resource_kind(), &route.metadata));
    }
    found
}

/// The resources that no istiod sees, because they are labelled with a tag instead of a revision.
pub(crate) fn seen_by_none(resources: &Resources, worlds: &[World<'_>]) -> Vec<Ignored> {
    let tags = RevisionTags::new(resources);
    with_revisions(resources)
        .into_iter()
        .filter_map(|(kind, metadata)| {
            let label = revision_label(&metadata.labels)?;
            let is_revision = worlds.iter().any(|world| world.revision == Some(label));
            (tags.has(label) && !is_revision).then(|| Ignored {
                resource: metadata.resource(kind),
                reason: IgnoredReason::Tag {
                    tag: label.to_owned(),
                    revision: tags.revision(label).to_owned(),
                },
            })
        })
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
fn seen_by(resources: &Resources, revision: &str, pods: &PodRevisions<'_>) -> Resources {
    let is_seen = |metadata: &Metadata| is_seen_by(&metadata.labels, Some(revision));
    let mut seen = resources.clone();
    seen.gateways.retain(|own| is_seen(&own.metadata));
    seen.virtual_services.retain(|own| is_seen(&own.metadata));
    // Every istiod reads a Gateway of the Gateway API, but only the one of its revision deploys pods for it (Istio
    // `pilot/pkg/config/kube/gatewaycommon/deploymentcontroller.go`). The label of such a Gateway can be a tag
    // (Istio `pkg/revisions/tag_watcher.go`, `IsMine`). For all other kinds a tag is a revision that does not exist
    // (Istio `pilot/pkg/config/kube/crdclient/client.go`, `inRevision`).
    seen.api_gateways.retain(|own| {
        !own.spec.addresses.is_empty()
            || revision_label(&own.metadata.labels)
                .is_none_or(|label| pods.tags.is_of(label, revision))
    });
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
    const PROD: &str = "istio.io/rev: prod";
    const WEBHOOK: &str = "{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, \
        metadata: {name: istio-revision-tag-prod, labels: {istio.io/tag: prod, istio.io/rev: stable}}}\n---\n";
    const SERVICE: &str = "{apiVersion: v1, kind: Service, metadata: {name: istiod-revision-tag-prod, \
        namespace: istio-system, labels: {istio.io/tag: prod, istio.io/rev: stable}}}\n---\n";

    fn deployment(name: &str, revision: &str) -> String {
        format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}, namespace: istio-system}}, \
             spec: {{template: {{metadata: {{labels: {{istio: ingress, istio.io/rev: {revision}}}}}}}}}}}\n---\n"
        )
    }

    fn managed(name: &str, revision: &str) -> String {
        format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: {name}, namespace: \
             istio-system, labels: {{istio.io/rev: {revision}}}}}, spec: {{gatewayClassName: istio, listeners: \
             [{{name: l, port: 443, protocol: TLS, hostname: {name}.example.com, \
             tls: {{mode: Passthrough}}}}]}}}}\n---\n"
        )
    }

    fn ignored(text: &str) -> Vec<String> {
        let ignored = model(text, false).ignored;
        ignored.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_tag_in_the_template_of_pods_is_its_revision() {
        let gateways = gateway("a", CANARY) + &gateway("b", STABLE);
        for tag in [WEBHOOK, SERVICE] {
            let input = tag.to_owned() + &deployment("one", "prod") + &gateways;
            check(&input, false, &["one: b", "no pods: a"]);
        }
        // Without the definition of the tag, it is a revision of its own.
        let input = deployment("one", "prod") + &gateways;
        check(&input, false, &["no pods: a", "no pods: b"]);
        // The injector writes revisions, so a pod that exists has no tag.
        let input = WEBHOOK.to_owned() + &pod("one", ", istio.io/rev: prod") + &gateways;
        check(&input, false, &["no pods: a", "no pods: b"]);
    }

    #[test]
    fn only_gateways_of_the_gateway_api_have_tags() {
        let pods = pod("one", ", istio.io/rev: stable");
        let classic = WEBHOOK.to_owned() + &pods + &gateway("b", PROD) + &gateway("c", "");
        check(&classic, false, &["one: c"]);
        assert_eq!(
            ignored(&classic),
            [
                "Gateway istio-system/b: its label istio.io/rev is the tag \"prod\", which istiod does not read \
                 for this kind; the revision is \"stable\""
            ]
        );
        let classic = WEBHOOK.to_owned() + &pods + &gateway("b", STABLE);
        check(&classic, false, &["one: b"]);
        assert_eq!(ignored(&classic), [""; 0]);
        // The istiod of the tag's revision deploys the pods, and no other one.
        let text = WEBHOOK.to_owned() + &managed("m", "prod") + &gateway("a", CANARY);
        let revisions: Vec<Option<String>> = model(&text, false)
            .workloads
            .into_iter()
            .filter(|workload| {
                workload
                    .labels
                    .contains_key(crate::istio::GATEWAY_NAME_LABEL)
            })
            .map(|workload| workload.revision)
            .collect();
        assert_eq!(revisions, [Some("stable".to_owned())]);
        assert_eq!(ignored(&text), [""; 0]);
    }

    #[test]
    fn a_webhook_of_another_program_is_no_tag() {
        let other = WEBHOOK.replace("istio.io/tag: prod, ", "");
        let input = other + &deployment("one", "prod") + &gateway("b", PROD);
        check(&input, false, &["one: b"]);
    }
}
