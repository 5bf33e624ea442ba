//! Which pods run which Gateways (Istio `pilot/pkg/model/push_context.go`, `mergeGateways`).

mod ports;
mod selectors;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::resources::kubernetes::{Pods, Service};
use super::resources::{Labels, Resources};
use super::server::{Attachment, Candidate};
pub(crate) use ports::resolve;
use selectors::Selectors;

/// The label of pods that istiod made for a Gateway of the Gateway API.
const MANAGED: &str = "gateway.networking.k8s.io/gateway-name";

/// Labels that tell the pods of one workload apart.
const PER_POD: [&str; 5] = [
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
];

/// What istiod's guess for a Gateway without pods in the input is: the default installation.
const DEFAULT_SELECTOR: (&str, &str) = ("istio", "ingressgateway");
const DEFAULT_NAMESPACE: &str = "istio-system";

/// Pods that are alike, with what applies to them.
#[derive(Debug)]
pub(crate) struct Target<'r> {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) named_ports: BTreeMap<String, u16>,
    /// Whether the input has no such pods, so that they are guessed from a selector.
    pub(crate) assumed: bool,
    /// The Services of the pods.
    pub(crate) services: Vec<&'r Service>,
    /// The places of the candidates, the oldest first.
    pub(crate) candidates: BTreeSet<usize>,
}

/// Finds the pods of all candidates, which come the oldest first.
pub(crate) fn targets<'r>(resources: &'r Resources, candidates: &[Candidate]) -> Vec<Target<'r>> {
    let finder = Finder::new(resources, candidates);
    let mut targets: Vec<Target<'r>> = real_pods(&resources.pods)
        .into_iter()
        .filter_map(|pods| finder.match_pods(pods))
        .collect();
    finder.assume(&mut targets);
    let everyone = finder.everyone();
    if targets.is_empty()
        && let Some(first) = everyone.first()
    {
        let namespace = candidates
            .get(*first)
            .map(|candidate| candidate.namespace.clone());
        targets.push(pods_like(namespace.unwrap_or_default(), Labels::new()));
    }
    for target in &mut targets {
        target.candidates.extend(&everyone);
    }
    targets
}

fn pods_like<'r>(namespace: String, labels: Labels) -> Target<'r> {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let name = if pairs.is_empty() {
        "*".into()
    } else {
        pairs.join(",")
    };
    Target {
        namespace,
        name,
        labels,
        named_ports: BTreeMap::new(),
        assumed: true,
        services: Vec::new(),
        candidates: BTreeSet::new(),
    }
}

/// The pods of the input, once for each workload. What makes pods comes before its pods.
fn real_pods<'r>(pods: &[Pods]) -> Vec<Target<'r>> {
    let mut sorted: Vec<&Pods> = pods.iter().collect();
    sorted.sort_by_key(|pods| {
        (
            pods.kind == "Pod",
            &pods.metadata.namespace,
            &pods.metadata.name,
        )
    });
    let mut seen = BTreeSet::new();
    let mut targets = Vec::new();
    for pods in sorted {
        let mut labels = pods.labels.clone();
        labels.retain(|key, _| !PER_POD.contains(&key.as_str()));
        if seen.insert((pods.metadata.namespace.clone(), labels.clone())) {
            let target = pods_like(pods.metadata.namespace.clone(), labels);
            let (name, named_ports) = (workload_name(pods), pods.named_ports.clone());
            targets.push(Target {
                name,
                named_ports,
                assumed: false,
                ..target
            });
        }
    }
    targets
}

/// The name of the Deployment, where there is one: a pod's maker without the hash.
fn workload_name(pods: &Pods) -> String {
    let maker = pods.metadata.owner_references.first();
    let hash = pods
        .labels
        .get("pod-template-hash")
        .map(|hash| format!("-{hash}"));
    match (maker, hash) {
        (Some(maker), Some(hash)) => maker.name.strip_suffix(&hash).unwrap_or(&maker.name).into(),
        (Some(maker), None) => maker.name.clone(),
        (None, _) => pods.metadata.name.clone(),
    }
}

struct Finder<'r, 'c> {
    resources: &'r Resources,
    candidates: &'c [Candidate],
    selectors: Selectors<'c, usize>,
    managed: HashMap<(&'c str, &'c str), Vec<usize>>,
    by_service: HashMap<(&'c str, &'c str), Vec<usize>>,
    services: Selectors<'r, &'r Service>,
}

impl<'r, 'c> Finder<'r, 'c> {
    fn new(resources: &'r Resources, candidates: &'c [Candidate]) -> Self {
        let mut selectors = Vec::new();
        let mut managed: HashMap<_, Vec<usize>> = HashMap::new();
        let mut by_service: HashMap<_, Vec<usize>> = HashMap::new();
        for (at, candidate) in candidates.iter().enumerate() {
            match &candidate.attachment {
                Attachment::Selector(labels) => selectors.push((labels, at)),
                Attachment::Managed { namespace, gateway } => {
                    managed
                        .entry((namespace.as_str(), gateway.as_str()))
                        .or_default()
                        .push(at);
                }
                Attachment::Service { namespace, name } => {
                    by_service
                        .entry((namespace.as_str(), name.as_str()))
                        .or_default()
                        .push(at);
                }
            }
        }
        let services = resources
            .services
            .iter()
            .map(|service| (&service.spec.selector, service));
        let selectors = Selectors::new(selectors);
        let services = Selectors::new(services.collect());
        Self {
            resources,
            candidates,
            selectors,
            managed,
            by_service,
            services,
        }
    }

    /// Candidates without a selector, which apply to every gateway there is.
    fn everyone(&self) -> Vec<usize> {
        self.selectors.empty().copied().collect()
    }

    /// The pods with their Services and candidates; `None` when they are no gateway.
    fn match_pods(&self, mut target: Target<'r>) -> Option<Target<'r>> {
        target.services = self
            .services
            .matching(&target.labels)
            .copied()
            .filter(|service| service.metadata.namespace == target.namespace)
            .collect();
        target
            .services
            .sort_by_key(|service| (service.metadata.creation_timestamp, &service.metadata.name));
        target
            .candidates
            .extend(self.selectors.matching(&target.labels));
        if let Some(gateway) = target.labels.get(MANAGED) {
            let key = (target.namespace.as_str(), gateway.as_str());
            target
                .candidates
                .extend(self.managed.get(&key).into_iter().flatten());
        }
        for service in &target.services {
            let key = (target.namespace.as_str(), service.metadata.name.as_str());
            target
                .candidates
                .extend(self.by_service.get(&key).into_iter().flatten());
        }
        (!target.candidates.is_empty()).then_some(target)
    }

    /// Adds pods that the input does not have, so that every candidate has some: first such as the
    /// Services of the input select, then such as the candidates themselves ask for.
    fn assume(&self, targets: &mut Vec<Target<'r>>) {
        let found = matched(targets);
        let services = self.resources.services.iter();
        let with_pods = services.filter(|service| !service.spec.selector.is_empty());
        let guesses: BTreeSet<(String, Labels)> = with_pods
            .map(|service| {
                (
                    service.metadata.namespace.clone(),
                    service.spec.selector.clone(),
                )
            })
            .collect();
        targets.extend(guesses.into_iter().filter_map(|(namespace, labels)| {
            let target = self.match_pods(pods_like(namespace, labels))?;
            target
                .candidates
                .iter()
                .any(|at| !found.contains(at))
                .then_some(target)
        }));
        let found = matched(targets);
        let missing = self
            .candidates
            .iter()
            .enumerate()
            .filter(|(at, _)| !found.contains(at));
        let guesses: BTreeSet<_> = missing
            .filter_map(|(_, missing)| self.guess(missing))
            .collect();
        targets.extend(guesses.into_iter().filter_map(|guess| self.assumed(guess)));
    }

    fn assumed(&self, (namespace, labels, service): Guess) -> Option<Target<'r>> {
        let Some(service) = service else {
            return self.match_pods(pods_like(namespace, labels));
        };
        let candidates = self.by_service.get(&(namespace.as_str(), service.as_str()));
        let candidates = candidates.into_iter().flatten().copied().collect();
        let name = format!("Service {service}");
        Some(Target {
            name,
            candidates,
            ..pods_like(namespace, labels)
        })
    }

    /// The namespace and labels of pods that a candidate applies to, or its Service.
    fn guess(&self, candidate: &Candidate) -> Option<Guess> {
        match &candidate.attachment {
            Attachment::Selector(labels) if labels.is_empty() => None,
            Attachment::Selector(labels) => Some((
                self.guess_namespace(labels, candidate),
                labels.clone(),
                None,
            )),
            Attachment::Managed { namespace, gateway } => {
                let labels = Labels::from([(MANAGED.into(), gateway.clone())]);
                Some((namespace.clone(), labels, None))
            }
            Attachment::Service { namespace, name } => {
                Some((namespace.clone(), Labels::new(), Some(name.clone())))
            }
        }
    }

    /// That of a Service which has such pods, else that of the default installation, else that of
    /// the oldest Gateway which asks for them.
    fn guess_namespace(&self, labels: &Labels, candidate: &Candidate) -> String {
        let services = self.services.matching(labels);
        let service = services.map(|service| &service.metadata.namespace).min();
        let (key, value) = DEFAULT_SELECTOR;
        let is_default = labels.get(key).is_some_and(|found| found == value);
        let default = || {
            if is_default {
                DEFAULT_NAMESPACE.into()
            } else {
                self.oldest(labels, candidate)
            }
        };
        service.cloned().unwrap_or_else(default)
    }

    fn oldest(&self, labels: &Labels, candidate: &Candidate) -> String {
        let first = self
            .selectors
            .first(labels)
            .and_then(|at| self.candidates.get(at));
        first.unwrap_or(candidate).namespace.clone()
    }
}

/// The namespace and labels of pods, or the name of their Service.
type Guess = (String, Labels, Option<String>);

fn matched(targets: &[Target<'_>]) -> HashSet<usize> {
    targets
        .iter()
        .flat_map(|target| &target.candidates)
        .copied()
        .collect()
}
