//! Finds the Gateways that pods run, and assumes pods for Gateways that have none in the input.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::selectors::Selectors;
use super::{GatewayIndex, ProxyPods, assumed_pods};
use crate::istio::{DEFAULT_SELECTOR, GATEWAY_NAME_LABEL, ROOT_NAMESPACE};
use crate::mesh::{MeshSettings, REVISION_LABEL};
use crate::resources::kubernetes::{Pods, PodsKind, Service};
use crate::resources::{Labels, Resources};
use crate::revisions::World;
use crate::server::{GatewayConfig, GatewayPods};

/// The Gateways and Services, arranged by the pods that they select.
pub(super) struct WorkloadFinder<'r, 'g> {
    resources: &'r Resources,
    settings: &'r MeshSettings,
    /// The revision whose pods are assumed, if the input distinguishes revisions.
    revision: Option<&'r str>,
    known: KnownPods<'r>,
    gateways: &'g [GatewayConfig],
    selectors: Selectors<'g, GatewayIndex>,
    /// Gateways of the Gateway API that istiod deploys, by namespace and name.
    managed: HashMap<(&'g str, &'g str), Vec<GatewayIndex>>,
    /// Gateways that run on the pods of a Service, by its namespace and name.
    by_service: HashMap<(&'g str, &'g str), Vec<GatewayIndex>>,
    services: Selectors<'r, &'r Service>,
}

impl<'r, 'g> WorkloadFinder<'r, 'g> {
    pub(super) fn new(world: &'r World<'_>, gateways: &'g [GatewayConfig]) -> Self {
        let resources: &'r Resources = &world.resources;
        let mut selectors = Vec::new();
        let mut managed: HashMap<_, Vec<GatewayIndex>> = HashMap::new();
        let mut by_service: HashMap<_, Vec<GatewayIndex>> = HashMap::new();
        for (index, config) in gateways.iter().enumerate() {
            let index = GatewayIndex(index);
            match &config.attachment {
                GatewayPods::Selector(labels) => selectors.push((labels, index)),
                GatewayPods::Managed { namespace, gateway } => {
                    managed
                        .entry((namespace.as_str(), gateway.as_str()))
                        .or_default()
                        .push(index);
                }
                GatewayPods::Service { namespace, name } => {
                    by_service
                        .entry((namespace.as_str(), name.as_str()))
                        .or_default()
                        .push(index);
                }
            }
        }
        Self {
            resources,
            settings: &world.settings,
            revision: world.revision,
            known: KnownPods::new(resources),
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
    pub(super) fn unselective(&self) -> Vec<GatewayIndex> {
        self.selectors.unselective().copied().collect()
    }

    /// The pods with their Services and Gateways; `None` for pods that do not run a Gateway.
    pub(super) fn match_pods(&self, mut pods: ProxyPods<'r>) -> Option<ProxyPods<'r>> {
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
        let selecting: Vec<GatewayIndex> = self
            .selectors
            .matching(&pods.labels)
            .copied()
            .filter(|index| self.is_in_scope(*index, &pods.namespace))
            .collect();
        pods.gateways.extend(selecting);
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
        // A Gateway without a selector applies to every gateway, and only to gateways.
        if pods.runs_gateway && !pods.is_assumed {
            self.add_unselective(&mut pods);
        }
        (!pods.gateways.is_empty()).then_some(pods)
    }

    /// Adds the Gateways without a selector to the pods of a gateway.
    pub(super) fn add_unselective(&self, pods: &mut ProxyPods<'r>) {
        for index in self.selectors.unselective() {
            if self.is_in_scope(*index, &pods.namespace) {
                pods.gateways.insert(*index);
            }
        }
    }

    /// Whether a Gateway can select pods of a namespace (Istio `pilot/pkg/model/push_context.go`,
    /// `mergeGateways`).
    fn is_in_scope(&self, index: GatewayIndex, pod_namespace: &str) -> bool {
        !self.settings.scopes_gateways_to_namespace
            || index
                .config(self.gateways)
                .is_some_and(|config| config.namespace == pod_namespace)
    }

    /// The labels of assumed pods. With several revisions, they have the label that the injector adds.
    pub(super) fn assumed_labels(&self, mut labels: Labels) -> Labels {
        if let Some(revision) = self.revision {
            labels
                .entry(REVISION_LABEL.to_owned())
                .or_insert_with(|| revision.to_owned());
        }
        labels
    }

    /// Adds pods that the Services of the input select, if they run a Gateway that has no pods yet.
    pub(super) fn assume_pods_of_services(&self, proxies: &mut Vec<ProxyPods<'r>>) {
        let matched = matched(proxies);
        // Several Services can select the same pods. Sorted, so that equal inputs have equal output.
        let guesses: BTreeSet<(String, Labels)> = self
            .resources
            .services
            .iter()
            .filter(|service| !service.spec.selector.is_empty())
            // Where the input has pods, a Service that selects none of them has none.
            .filter(|service| !self.known.has(&service.metadata.namespace))
            .map(|service| {
                (
                    service.metadata.namespace.clone(),
                    self.assumed_labels(service.spec.selector.clone()),
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
    pub(super) fn assume_pods_of_gateways(&self, proxies: &mut Vec<ProxyPods<'r>>) {
        let matched = matched(proxies);
        // Several Gateways can describe the same pods.
        let guesses: BTreeSet<Guess> = self
            .gateways
            .iter()
            .enumerate()
            .filter(|(index, _)| !matched.contains(&GatewayIndex(*index)))
            .filter_map(|(_, config)| self.guess(config))
            .filter(|guess| !self.is_known_absent(guess))
            .collect();
        proxies.extend(guesses.into_iter().filter_map(|guess| self.assume(guess)));
    }

    /// Whether the input shows that there are no such pods.
    fn is_known_absent(&self, guess: &Guess) -> bool {
        match guess {
            // istiod creates the pods of a managed Gateway, so files do not contain them.
            Guess::Labels { labels, .. } if labels.contains_key(GATEWAY_NAME_LABEL) => {
                self.known.all
            }
            Guess::Labels { namespace, .. } => self.known.has(namespace),
            // A Service that is not in the input can select pods of which nothing is known.
            Guess::Service { namespace, name } => {
                self.known.all
                    || (self.known.has(namespace)
                        && self.resources.services.iter().any(|service| {
                            let metadata = &service.metadata;
                            (&metadata.namespace, &metadata.name) == (namespace, name)
                        }))
            }
        }
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
            GatewayPods::Selector(labels) if labels.is_empty() => None,
            GatewayPods::Selector(labels) => Some(Guess::Labels {
                namespace: self.guess_namespace(labels, config),
                labels: self.assumed_labels(labels.clone()),
            }),
            GatewayPods::Managed { namespace, gateway } => Some(Guess::Labels {
                namespace: namespace.clone(),
                labels: self
                    .assumed_labels(Labels::from([(GATEWAY_NAME_LABEL.into(), gateway.clone())])),
            }),
            GatewayPods::Service { namespace, name } => Some(Guess::Service {
                namespace: namespace.clone(),
                name: name.clone(),
            }),
        }
    }

    /// The namespace of pods with labels that a Gateway selects. A Service that selects such pods shows it.
    /// Otherwise the labels of the default ingress gateway imply the namespace of the default
    /// installation, and other labels the namespace of the oldest Gateway that selects them.
    fn guess_namespace(&self, labels: &Labels, config: &GatewayConfig) -> String {
        if self.settings.scopes_gateways_to_namespace {
            return config.namespace.clone();
        }
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

/// The namespaces whose pods the input has.
struct KnownPods<'r> {
    all: bool,
    namespaces: HashSet<&'r str>,
}

impl<'r> KnownPods<'r> {
    fn new(resources: &'r Resources) -> Self {
        // The pods of a cluster come from a list of all. A Deployment comes from a folder, which often lacks
        // other Deployments of the namespace: only one that looks like a gateway counts. The Deployment of
        // istiod is in the input for its settings.
        let namespaces = resources
            .pods
            .iter()
            .filter(|pods| !pods.is_istiod())
            .filter(|pods| pods.kind == PodsKind::Pod || looks_like_gateway(pods))
            .map(|pods| pods.metadata.namespace.as_str())
            .collect();
        Self {
            all: resources.has_all_pods,
            namespaces,
        }
    }

    fn has(&self, namespace: &str) -> bool {
        self.all || self.namespaces.contains(namespace)
    }
}

/// Whether pods run a gateway, or have the labels by which Gateways usually select pods.
fn looks_like_gateway(pods: &Pods) -> bool {
    pods.runs_gateway
        || pods.labels.contains_key(DEFAULT_SELECTOR.0)
        || pods.labels.contains_key(GATEWAY_NAME_LABEL)
}

/// The Gateways that have pods.
fn matched(proxies: &[ProxyPods<'_>]) -> HashSet<GatewayIndex> {
    proxies
        .iter()
        .flat_map(|pods| &pods.gateways)
        .copied()
        .collect()
}
