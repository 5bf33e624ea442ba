//! The pods that run each Gateway (Istio `pilot/pkg/model/push_context.go`, `mergeGateways`). Pods that the
//! input does not contain are assumed, so that every Gateway has some.

mod finder;
mod ports;
mod selectors;

use std::collections::{BTreeMap, BTreeSet};

use super::resources::kubernetes::{Pods, Service};
use super::resources::{Labels, Resources};
use super::server::GatewayConfig;
use finder::Finder;
pub(crate) use ports::{ServicePorts, resolve};

/// Labels in which the pods of one workload differ.
const PER_POD: [&str; 5] = [
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
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
    /// The numbers of the container ports that have names.
    pub(crate) named_ports: BTreeMap<String, u16>,
    /// Whether the input does not contain the pods: their labels are those that a Gateway or Service
    /// selects.
    pub(crate) is_assumed: bool,
    /// The Services that select the pods, the oldest first.
    pub(crate) services: Vec<&'r Service>,
    /// The Gateways that apply to the pods, the oldest first.
    pub(crate) gateways: BTreeSet<GatewayIndex>,
}

/// The pods of all Gateways. `gateways` are sorted by age, the oldest first.
pub(crate) fn proxies<'r>(
    resources: &'r Resources,
    gateways: &[GatewayConfig],
) -> Vec<ProxyPods<'r>> {
    let finder = Finder::new(resources, gateways);
    let mut proxies: Vec<ProxyPods<'r>> = real_pods(&resources.pods)
        .into_iter()
        .filter_map(|pods| finder.match_pods(pods))
        .collect();
    finder.assume_pods_of_services(&mut proxies);
    finder.assume_pods_of_gateways(&mut proxies);

    // Gateways without a selector do not describe pods. If the input has no others, they share one
    // assumed workload.
    let unselective = finder.unselective();
    if proxies.is_empty()
        && let Some(oldest) = unselective.first().and_then(|index| index.config(gateways))
    {
        proxies.push(assumed_pods(oldest.namespace.clone(), Labels::new()));
    }
    for pods in &mut proxies {
        pods.gateways.extend(&unselective);
    }
    proxies
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
        named_ports: BTreeMap::new(),
        is_assumed: true,
        services: Vec::new(),
        gateways: BTreeSet::new(),
    }
}

/// The pods of the input, once for each workload.
fn real_pods<'r>(pods: &[Pods]) -> Vec<ProxyPods<'r>> {
    // A Deployment precedes its pods, so that the workload has its name.
    let mut sorted: Vec<&Pods> = pods.iter().collect();
    sorted.sort_by_key(|pods| {
        (
            pods.kind == "Pod",
            &pods.metadata.namespace,
            &pods.metadata.name,
        )
    });
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for pods in sorted {
        // Pods of one workload differ only in labels that Kubernetes adds.
        let namespace = &pods.metadata.namespace;
        let mut labels = pods.labels.clone();
        labels.retain(|key, _| !PER_POD.contains(&key.as_str()));
        if seen.insert((namespace.clone(), labels.clone())) {
            found.push(ProxyPods {
                name: workload_name(pods),
                named_ports: pods.named_ports.clone(),
                is_assumed: false,
                ..assumed_pods(namespace.clone(), labels)
            });
        }
    }
    found
}

/// The name of the Deployment, if there is one. The owner of a pod is a `ReplicaSet`, whose name is the name
/// of the Deployment and the hash of the template.
fn workload_name(pods: &Pods) -> String {
    let Some(owner) = pods.metadata.owner_references.first() else {
        return pods.metadata.name.clone();
    };
    let deployment = pods
        .labels
        .get("pod-template-hash")
        .and_then(|hash| owner.name.strip_suffix(hash)?.strip_suffix('-'));
    deployment.unwrap_or(&owner.name).to_owned()
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
                kind: "Pod",
                metadata: Metadata {
                    name: "gateway-6d4f-x2x".into(),
                    owner_references,
                    ..Metadata::default()
                },
                labels: hash
                    .map(|hash: &str| ("pod-template-hash".to_owned(), hash.to_owned()))
                    .into_iter()
                    .collect::<Labels>(),
                named_ports: std::collections::BTreeMap::new(),
            };
            assert_eq!(workload_name(&pods), expected, "{owner:?} {hash:?}");
        }
    }
}
