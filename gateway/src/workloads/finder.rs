//! Finds the Gateways that pods run, and assumes pods for Gateways that have none in the input.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::selectors::Selectors;
use super::{GatewayIndex, ProxyPods, assumed_pods};
use crate::istio::{DEFAULT_SELECTOR, GATEWAY_NAME_LABEL, ROOT_NAMESPACE};
use crate::resources::kubernetes::Service;
use crate::resources::{Labels, Resources};
use crate::server::{Attachment, GatewayConfig};

/// The Gateways and Services, arranged by the pods that they select.
pub(super) struct Finder<'r, 'g> {
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
    pub(super) fn new(resources: &'r Resources, gateways: &'g [GatewayConfig]) -> Self {
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
    pub(super) fn assume_pods_of_services(&self, proxies: &mut Vec<ProxyPods<'r>>) {
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
    pub(super) fn assume_pods_of_gateways(&self, proxies: &mut Vec<ProxyPods<'r>>) {
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
