//! The pods that run each Gateway (Istio `pilot/pkg/model/push_context.go`, `mergeGateways`). Where the input
//! has no pods, some are assumed.

mod finder;
mod ports;
mod selectors;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::mesh::REVISION_LABEL;
use super::resources::Labels;
use super::resources::kubernetes::{Pods, PodsKind, Service};
use super::revisions::{PodRevisions, World};
use super::server::GatewayConfig;
use finder::WorkloadFinder;
pub(crate) use ports::{ServicePorts, resolve};

/// Labels in which the pods of one workload differ.
const PER_POD: [&str; 5] = [
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
];

/// The beginnings of labels that Istio's injector adds to pods (Istio
/// `manifests/charts/istio-control/istio-discovery/files/gateway-injection-template.yaml`).
const INJECTED: [&str; 4] = [
    REVISION_LABEL,
    "service.istio.io/",
    "security.istio.io/",
    "topology.istio.io/",
];

/// The position of a [`GatewayConfig`] in the list of all, which is sorted by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GatewayIndex(usize);

impl GatewayIndex {
    pub(crate) fn config(self, gateways: &[GatewayConfig]) -> Option<&GatewayConfig> {
        gateways.get(self.0)
    }
}

/// Pods of one workload: they have the same labels and run the same Gateways.
#[derive(Debug)]
pub(crate) struct ProxyPods<'r> {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) labels: Labels,
    /// The revision of their istiod, if the input shows it.
    pub(crate) revision: Option<String>,
    /// The numbers of the container ports that have names.
    pub(crate) named_ports: BTreeMap<String, u16>,
    /// Whether their containers or annotations show that they run a gateway.
    pub(crate) runs_gateway: bool,
    /// Whether the input does not contain the pods: their labels are those that a Gateway or Service
    /// selects.
    pub(crate) is_assumed: bool,
    /// The Services that select the pods, the oldest first.
    pub(crate) services: Vec<&'r Service>,
    /// The Gateways that apply to the pods, the oldest first.
    pub(crate) gateways: BTreeSet<GatewayIndex>,
}

/// The pods of Gateways, and the Gateways that have none.
pub(crate) struct Proxies<'r> {
    pub(crate) pods: Vec<ProxyPods<'r>>,
    /// The Gateways that run on no pods, where the input has the pods.
    pub(crate) unselected: Vec<GatewayIndex>,
}

/// The pods of all Gateways that one istiod sees. `gateways` are sorted by age, the oldest first.
pub(crate) fn proxies<'r>(
    world: &'r World<'_>,
    revisions: &PodRevisions<'_>,
    gateways: &[GatewayConfig],
) -> Proxies<'r> {
    let resources = &world.resources;
    let finder = WorkloadFinder::new(world, gateways);
    let mut proxies: Vec<ProxyPods<'r>> = real_pods(&resources.pods, world, revisions)
        .into_iter()
        .filter_map(|pods| finder.match_pods(pods))
        .collect();
    finder.assume_pods_of_services(&mut proxies);
    finder.assume_pods_of_gateways(&mut proxies);

    // Gateways without a selector do not describe pods. If the input has no others, they share one
    // assumed workload.
    let unselective = finder.unselective();
    if proxies.is_empty()
        && !resources.has_all_pods
        && let Some(oldest) = unselective.first().and_then(|index| index.config(gateways))
    {
        proxies.push(assumed_pods(
            oldest.namespace.clone(),
            finder.assumed_labels(Labels::new()),
        ));
    }
    for pods in &mut proxies {
        finder.add_unselective(pods);
    }

    let selected: BTreeSet<GatewayIndex> = proxies
        .iter()
        .flat_map(|pods| &pods.gateways)
        .copied()
        .collect();
    Proxies {
        pods: proxies,
        unselected: (0..gateways.len())
            .map(GatewayIndex)
            .filter(|index| !selected.contains(index))
            .collect(),
    }
}

/// Assumed pods with labels, named after the labels.
fn assumed_pods<'r>(namespace: String, labels: Labels) -> ProxyPods<'r> {
    let name = if labels.is_empty() {
        "*".into()
    } else {
        labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    ProxyPods {
        namespace,
        name,
        labels,
        revision: None,
        named_ports: BTreeMap::new(),
        runs_gateway: true,
        is_assumed: true,
        services: Vec::new(),
        gateways: BTreeSet::new(),
    }
}

/// The pods of the input that an istiod configures, once for each workload.
fn real_pods<'r>(
    pods: &[Pods],
    world: &World<'_>,
    revisions: &PodRevisions<'_>,
) -> Vec<ProxyPods<'r>> {
    let deployments = Deployments::new(pods);
    // Pods that exist have the labels that Istio sees, so a Deployment with pods does not stand for others.
    let with_pods: HashSet<(&str, &str)> = pods
        .iter()
        .filter_map(|pods| deployments.find(pods))
        .map(full_name)
        .collect();
    let mut sorted: Vec<&Pods> = pods
        .iter()
        .filter(|pods| pods.kind == PodsKind::Pod || !with_pods.contains(&full_name(pods)))
        .filter(|pods| !pods.is_istiod() && world.has_pods(pods, revisions))
        .collect();
    sorted.sort_by_key(|pods| (pods.kind == PodsKind::Pod, full_name(pods)));

    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for pods in sorted {
        // Pods of one workload differ only in labels that Kubernetes adds.
        let namespace = &pods.metadata.namespace;
        let mut labels = pods.labels.clone();
        labels.retain(|key, _| !PER_POD.contains(&key.as_str()));
        if !seen.insert((namespace.clone(), labels.clone())) {
            continue;
        }
        // The Deployment has the name of the workload, and all ports.
        let deployment = deployments.find(pods);
        let mut named_ports = deployment.map_or_else(BTreeMap::new, |own| own.named_ports.clone());
        named_ports.extend(pods.named_ports.clone());
        found.push(ProxyPods {
            name: deployment
                .map_or_else(|| workload_name(pods), |own| &own.metadata.name)
                .to_owned(),
            revision: revisions.revision(pods).map(str::to_owned),
            named_ports,
            runs_gateway: pods.runs_gateway || deployment.is_some_and(|own| own.runs_gateway),
            is_assumed: false,
            ..assumed_pods(namespace.clone(), labels)
        });
    }
    found
}

fn full_name(pods: &Pods) -> (&str, &str) {
    (&pods.metadata.namespace, &pods.metadata.name)
}

/// The Deployments and similar resources of the input, to find those of pods.
struct Deployments<'r> {
    /// By namespace and name.
    by_name: HashMap<(&'r str, &'r str), &'r Pods>,
    /// The first one by name for each namespace and labels.
    by_labels: BTreeMap<(&'r str, BTreeMap<&'r str, &'r str>), &'r Pods>,
}

impl<'r> Deployments<'r> {
    fn new(pods: &'r [Pods]) -> Self {
        let mut by_name = HashMap::new();
        let mut by_labels: BTreeMap<_, &'r Pods> = BTreeMap::new();
        for pods in pods.iter().filter(|pods| pods.kind != PodsKind::Pod) {
            by_name.insert(full_name(pods), pods);
            by_labels
                .entry((pods.metadata.namespace.as_str(), own_labels(&pods.labels)))
                .and_modify(|first| {
                    if pods.metadata.name < first.metadata.name {
                        *first = pods;
                    }
                })
                .or_insert(pods);
        }
        Self { by_name, by_labels }
    }

    /// The Deployment of a pod, if the input has it.
    fn find(&self, pods: &Pods) -> Option<&'r Pods> {
        if pods.kind != PodsKind::Pod {
            return None;
        }
        let namespace = pods.metadata.namespace.as_str();
        if let Some(found) = self.by_name.get(&(namespace, workload_name(pods))) {
            return Some(found);
        }
        // A pod that names an owner is of that owner only.
        if !pods.metadata.owner_references.is_empty() {
            return None;
        }
        self.by_labels
            .get(&(namespace, own_labels(&pods.labels)))
            .copied()
    }
}

/// The labels of pods without those that Kubernetes and Istio's injector add.
fn own_labels(labels: &Labels) -> BTreeMap<&str, &str> {
    labels
        .iter()
        .filter(|(key, _)| !PER_POD.contains(&key.as_str()))
        .filter(|(key, _)| !INJECTED.iter().any(|start| key.starts_with(start)))
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

/// The name of the Deployment, if there is one. The owner of a pod is a `ReplicaSet`, whose name is the name
/// of the Deployment and the hash of the template.
fn workload_name(pods: &Pods) -> &str {
    let Some(owner) = pods.metadata.owner_references.first() else {
        return &pods.metadata.name;
    };
    let deployment = pods
        .labels
        .get("pod-template-hash")
        .and_then(|hash| owner.name.strip_suffix(hash)?.strip_suffix('-'));
    deployment.unwrap_or(&owner.name)
}

#[cfg(test)]
mod tests {
    use super::workload_name;
    use crate::resources::kubernetes::Pods;
    use crate::resources::{Labels, Metadata, OwnerReference};

    #[test]
    fn workloads_have_the_name_of_their_deployment() {
        for (owner, hash, expected) in [
            (None, None, "gateway-6d4f-x2x"),
            (None, Some("6d4f"), "gateway-6d4f-x2x"),
            (Some("gateway-6d4f"), Some("6d4f"), "gateway"),
            (Some("gateway-6d4f"), None, "gateway-6d4f"),
            (Some("gateway"), Some("6d4f"), "gateway"),
        ] {
            let owner_references = owner
                .map(|name: &str| OwnerReference {
                    kind: "ReplicaSet".into(),
                    name: name.into(),
                })
                .into_iter()
                .collect();
            let pods = Pods {
                metadata: Metadata {
                    name: "gateway-6d4f-x2x".into(),
                    owner_references,
                    ..Metadata::default()
                },
                labels: hash
                    .map(|hash: &str| ("pod-template-hash".to_owned(), hash.to_owned()))
                    .into_iter()
                    .collect::<Labels>(),
                ..Pods::default()
            };
            assert_eq!(workload_name(&pods), expected, "{owner:?} {hash:?}");
        }
    }
}
