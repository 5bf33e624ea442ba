//! The pods that run each Gateway (Istio `pilot/pkg/model/push_context.go`, `mergeGateways`). Pods that the
//! input does not contain are assumed, so that every Gateway has some.

mod ports;
mod selectors;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::istio::{DEFAULT_SELECTOR, GATEWAY_NAME_LABEL, ROOT_NAMESPACE};
use super::resources::kubernetes::{Pods, Service};
use super::resources::{Labels, Resources};
use super::server::{Attachment, GatewayConfig};
pub(crate) use ports::resolve;
use selectors::Selectors;

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

/// The Gateways and Services, arranged by the pods that they select.
struct Finder<'r, 'g> {
    resources: &'r Resources,
    gateways: &'g [GatewayConfig],
    selectors: Selectors<'g, GatewayIndex>,
    /// Gateways of the Gateway API that istiod deploys, by namespace and name.
    managed: HashMap<(&'g str, &'g str), Vec<GatewayIndex>>,
    /// Gateways that run on the pods of a Service, by its namespace and name.
    by_service: HashMap<(&'g str, &'g str), Vec<GatewayIndex>>,
    services: Selectors<'r, &'r Service>,
}

impl<'r, 'g> Finder<'r, 'g> {
    fn new(resources: &'r Resources, gateways: &'g [GatewayConfig]) -> Self {
        let mut selectors = Vec::new();
        let mut managed: HashMap<_, Vec<GatewayIndex>> = HashMap::new();
        let mut by_service: HashMap<_, Vec<GatewayIndex>> = HashMap::new();
        for (index, config) in gateways.iter().enumerate() {
            let index = GatewayIndex(index);
            match &config.attachment {
                Attachment::Selector(labels) => selectors.push((labels, index)),
                Attachment::Managed { namespace, gateway } => {
                    managed
                        .entry((namespace.as_str(), gateway.as_str()))
                        .or_default()
                        .push(index);
                }
                Attachment::Service { namespace, name } => {
                    by_service
                        .entry((namespace.as_str(), name.as_str()))
                        .or_default()
                        .push(index);
                }
            }
        }
        Self {
            resources,
            gateways,
            selectors: Selectors::new(selectors),
            managed,
            by_service,
            services: Selectors::new(
                resources
                    .services
                    .iter()
                    .map(|service| (&service.spec.selector, service))
                    .collect(),
            ),
        }
    }

    /// The Gateways without a selector, which apply to every gateway.
    fn unselective(&self) -> Vec<GatewayIndex> {
        self.selectors.unselective().copied().collect()
    }

    /// The pods with their Services and Gateways; `None` for pods that do not run a Gateway.
    fn match_pods(&self, mut pods: ProxyPods<'r>) -> Option<ProxyPods<'r>> {
        // A Service selects pods of its own namespace only.
        pods.services = self
            .services
            .matching(&pods.labels)
            .copied()
            .filter(|service| service.metadata.namespace == pods.namespace)
            .collect();
        pods.services
            .sort_by_key(|service| (service.metadata.creation_timestamp, &service.metadata.name));

        // A Gateway of Istio selects pods of any namespace unless `PILOT_SCOPE_GATEWAY_TO_NAMESPACE` is set.
        pods.gateways.extend(self.selectors.matching(&pods.labels));
        // istiod labels the pods that it deploys for a Gateway of the Gateway API.
        if let Some(gateway) = pods.labels.get(GATEWAY_NAME_LABEL) {
            let key = (pods.namespace.as_str(), gateway.as_str());
            pods.gateways
                .extend(self.managed.get(&key).into_iter().flatten());
        }
        // A Gateway of the Gateway API can name an existing Service instead.
        for service in &pods.services {
            let key = (pods.namespace.as_str(), service.metadata.name.as_str());
            pods.gateways
                .extend(self.by_service.get(&key).into_iter().flatten());
        }
        (!pods.gateways.is_empty()).then_some(pods)
    }

    /// Adds pods that the Services of the input select, if they run a Gateway that has no pods yet.
    fn assume_pods_of_services(&self, proxies: &mut Vec<ProxyPods<'r>>) {
        let matched = matched(proxies);
        // Several Services can select the same pods. Sorted, so that equal inputs have equal output.
        let guesses: BTreeSet<(String, Labels)> = self
            .resources
            .services
            .iter()
            .filter(|service| !service.spec.selector.is_empty())
            .map(|service| {
                (
                    service.metadata.namespace.clone(),
                    service.spec.selector.clone(),
                )
            })
            .collect();
        for (namespace, labels) in guesses {
            // Most Services of a cluster are not for gateways.
            if let Some(pods) = self.match_pods(assumed_pods(namespace, labels))
                && pods.gateways.iter().any(|index| !matched.contains(index))
            {
                proxies.push(pods);
            }
        }
    }

    /// Adds pods as the Gateways describe them, for each Gateway that has no pods yet.
    fn assume_pods_of_gateways(&self, proxies: &mut Vec<ProxyPods<'r>>) {
        let matched = matched(proxies);
        // Several Gateways can describe the same pods.
        let guesses: BTreeSet<Guess> = self
            .gateways
            .iter()
            .enumerate()
            .filter(|(index, _)| !matched.contains(&GatewayIndex(*index)))
            .filter_map(|(_, config)| self.guess(config))
            .collect();
        proxies.extend(guesses.into_iter().filter_map(|guess| self.assume(guess)));
    }

    fn assume(&self, guess: Guess) -> Option<ProxyPods<'r>> {
        match guess {
            Guess::Labels { namespace, labels } => self.match_pods(assumed_pods(namespace, labels)),
            // The labels of the pods are unknown, so only the Gateways of the Service apply.
            Guess::Service { namespace, name } => Some(ProxyPods {
                name: format!("Service {name}"),
                gateways: self
                    .by_service
                    .get(&(namespace.as_str(), name.as_str()))
                    .into_iter()
                    .flatten()
                    .copied()
                    .collect(),
                ..assumed_pods(namespace, Labels::new())
            }),
        }
    }

    /// The pods that a Gateway applies to; `None` for a Gateway without a selector.
    fn guess(&self, config: &GatewayConfig) -> Option<Guess> {
        match &config.attachment {
            Attachment::Selector(labels) if labels.is_empty() => None,
            Attachment::Selector(labels) => Some(Guess::Labels {
                namespace: self.guess_namespace(labels, config),
                labels: labels.clone(),
            }),
            Attachment::Managed { namespace, gateway } => Some(Guess::Labels {
                namespace: namespace.clone(),
                labels: Labels::from([(GATEWAY_NAME_LABEL.into(), gateway.clone())]),
            }),
            Attachment::Service { namespace, name } => Some(Guess::Service {
                namespace: namespace.clone(),
                name: name.clone(),
            }),
        }
    }

    /// The namespace of pods with labels that a Gateway selects. A Service that selects such pods shows it.
    /// Otherwise the labels of the default ingress gateway imply the namespace of the default
    /// installation, and other labels the namespace of the oldest Gateway that selects them.
    fn guess_namespace(&self, labels: &Labels, config: &GatewayConfig) -> String {
        if let Some(namespace) = self
            .services
            .matching(labels)
            .map(|service| &service.metadata.namespace)
            .min()
        {
            return namespace.clone();
        }
        let (key, value) = DEFAULT_SELECTOR;
        if labels.get(key).is_some_and(|found| found == value) {
            return ROOT_NAMESPACE.into();
        }
        self.selectors
            .first(labels)
            .and_then(|index| index.config(self.gateways))
            .unwrap_or(config)
            .namespace
            .clone()
    }
}

/// Pods that the input does not contain. Sorted by namespace first, which is the order of workloads in
/// output.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Guess {
    /// Pods with labels.
    Labels { namespace: String, labels: Labels },
    /// The pods of a Service whose selector is unknown.
    Service { namespace: String, name: String },
}

/// The Gateways that have pods.
fn matched(proxies: &[ProxyPods<'_>]) -> HashSet<GatewayIndex> {
    proxies
        .iter()
        .flat_map(|pods| &pods.gateways)
        .copied()
        .collect()
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
