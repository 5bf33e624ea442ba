//! The resources that the merge of some servers affects or depends on.
//!
//! A proof models the resources after each write of a plan. With the few resources of the servers
//! alone, a cluster with many pairs of servers is checked in a time that is near-linear in its size.

use std::collections::{BTreeSet, HashMap};

use rule::HostPattern;

use crate::findings::Input;
use crate::listener::{sample_hosts, samples};
use crate::resources::istio::{Gateway, VirtualService};
use crate::resources::{GatewayName, GatewayReference, Kind, Labels, ResourceName};
use crate::{FilterChain, Listener, Resources, ServerId, Workload};

/// The resources of an input, found by the Gateways that they belong to.
pub(super) struct ResourceIndex<'i> {
    resources: &'i Resources,
    /// Files may have a Gateway twice.
    gateways: HashMap<ResourceName, Vec<&'i Gateway>>,
    /// The VirtualServices by the Gateways that they are bound to.
    bound: HashMap<GatewayName, Vec<&'i VirtualService>>,
    delegates: HashMap<(&'i str, &'i str), &'i VirtualService>,
    /// The workloads with a filter chain of a Gateway.
    workloads: HashMap<&'i ResourceName, Vec<&'i Workload>>,
    /// The filter chains of a Gateway in listeners with TLS.
    chains: HashMap<&'i ResourceName, Vec<&'i FilterChain>>,
    /// By Gateway, the others that name a host for which clients get a filter chain of this one.
    naming: HashMap<&'i ResourceName, BTreeSet<&'i ResourceName>>,
}

impl<'i> ResourceIndex<'i> {
    pub(super) fn new(input: &Input<'i>) -> Self {
        let mut index = Self {
            resources: input.resources,
            gateways: HashMap::new(),
            bound: HashMap::new(),
            delegates: HashMap::new(),
            workloads: HashMap::new(),
            chains: HashMap::new(),
            naming: HashMap::new(),
        };
        for gateway in &input.resources.gateways {
            let name = gateway.metadata.resource(Kind::Gateway);
            index.gateways.entry(name).or_default().push(gateway);
        }
        for service in &input.resources.virtual_services {
            index.add_virtual_service(service);
        }
        for workload in &input.model.workloads {
            index.add_workload(workload);
            for listener in tls_listeners(&[workload]) {
                index.add_listener(listener);
            }
        }
        index
    }

    fn add_workload(&mut self, workload: &'i Workload) {
        for chain in workload
            .listeners
            .iter()
            .flat_map(|listener| &listener.chains)
        {
            let workloads = self.workloads.entry(&chain.server.id.resource).or_default();
            // The chains of a workload follow each other, so it is the last one if it is there.
            let is_known = workloads
                .last()
                .is_some_and(|last| std::ptr::eq(*last, workload));
            if !is_known {
                workloads.push(workload);
            }
        }
    }

    fn add_listener(&mut self, listener: &'i Listener) {
        let patterns: Vec<HostPattern> = listener.chains.iter().flat_map(patterns_of).collect();
        let samples = samples(&patterns);
        for chain in &listener.chains {
            self.chains
                .entry(&chain.server.id.resource)
                .or_default()
                .push(chain);
            for sample in patterns_of(chain).filter_map(|pattern| samples.get(&pattern)) {
                if let Some(answering) = listener.chain(sample.as_bytes()) {
                    self.naming
                        .entry(&answering.server.id.resource)
                        .or_default()
                        .insert(&chain.server.id.resource);
                }
            }
        }
    }

    fn add_virtual_service(&mut self, service: &'i VirtualService) {
        let namespace = &service.metadata.namespace;
        for gateway in &service.spec.gateways {
            // Routes of the mesh are on no gateway.
            if let GatewayReference::Qualified(gateway) = gateway.resolve(namespace) {
                self.bound.entry(gateway).or_default().push(service);
            }
        }
        if service.spec.hosts.is_empty() {
            self.delegates
                .insert((namespace, &service.metadata.name), service);
        }
    }

    /// The resources that decide the answers to all requests that a merge of these servers may change.
    pub(super) fn affected(&self, servers: &[ServerId]) -> Resources {
        let merged = servers.iter().map(|server| &server.resource).collect();
        let workloads = self.workloads_of(&merged);
        let gateways = self.with_related(merged, &workloads);
        let mut resources = Resources::with_manifests();
        self.add_gateways(&gateways, &mut resources);
        self.add_routes(&gateways, &mut resources);
        self.add_pods(&workloads, &mut resources);
        // Servers of the Gateway API and of Ingresses come from many kinds: all of them are kept then.
        if gateways.iter().any(|name| name.kind != Kind::Gateway) {
            self.add_generated(&mut resources);
        }
        resources
    }

    /// Adds the Gateways that share hosts with the merged ones.
    fn with_related<'n>(
        &'n self,
        merged: BTreeSet<&'n ResourceName>,
        workloads: &[&'i Workload],
    ) -> BTreeSet<&'n ResourceName> {
        let mut gateways = merged.clone();
        let patterns = self.patterns(&merged);
        for listener in tls_listeners(workloads) {
            // The routes of the merged servers may be for hosts that another server gets.
            for host in sample_hosts(&patterns) {
                if let Some(chain) = listener.chain(host.as_bytes()) {
                    gateways.insert(&chain.server.id.resource);
                }
            }
            // A server with a wider host gets the hosts that the merged server does not list: istiod
            // makes a chain for all names of a server with the host `*`.
            for chain in patterns
                .iter()
                .flat_map(|pattern| listener.by_server_name.covering(pattern))
                .filter_map(|place| listener.chains.get(*place))
            {
                gateways.insert(&chain.server.id.resource);
            }
        }
        // A proof asks for each host that some Gateway of the listener names. The certificate of these
        // servers may cover one that only the routes of another Gateway name.
        for name in merged {
            gateways.extend(self.naming.get(name).into_iter().flatten());
        }
        gateways
    }

    fn workloads_of(&self, gateways: &BTreeSet<&ResourceName>) -> Vec<&'i Workload> {
        let mut workloads: Vec<&Workload> = Vec::new();
        for workload in gateways
            .iter()
            .filter_map(|name| self.workloads.get(name))
            .flatten()
        {
            if !workloads
                .iter()
                .any(|known| std::ptr::eq(*known, *workload))
            {
                workloads.push(workload);
            }
        }
        workloads
    }

    /// The server names and domains that Gateways have now or may get by a merge.
    fn patterns(&self, gateways: &BTreeSet<&ResourceName>) -> Vec<HostPattern> {
        let mut patterns: Vec<HostPattern> = gateways
            .iter()
            .filter_map(|name| self.chains.get(name))
            .flatten()
            .flat_map(|chain| patterns_of(chain))
            .collect();
        // A merge may attach routes for hosts that no route table has now.
        for service in self.virtual_services_of(gateways) {
            patterns.extend(
                service
                    .spec
                    .hosts
                    .iter()
                    .filter_map(|host| HostPattern::try_from(host.as_str()).ok()),
            );
        }
        patterns
    }

    /// The VirtualServices that are bound to one of some Gateways, some of them more than once.
    fn virtual_services_of(
        &self,
        gateways: &BTreeSet<&ResourceName>,
    ) -> impl Iterator<Item = &'i VirtualService> {
        gateways
            .iter()
            .filter(|name| name.kind == Kind::Gateway)
            .filter_map(|name| {
                self.bound
                    .get(&GatewayName::new(&name.namespace, &name.name))
            })
            .flatten()
            .copied()
    }

    fn add_gateways(&self, gateways: &BTreeSet<&ResourceName>, resources: &mut Resources) {
        for name in gateways {
            for gateway in self.gateways.get(*name).into_iter().flatten() {
                resources.gateways.push((*gateway).clone());
            }
            self.add_manifest(name, resources);
        }
        // Any EnvoyFilter may name one of the Gateways.
        for (name, manifest) in self.resources.manifests.iter() {
            if name.kind == Kind::EnvoyFilter {
                resources.manifests.set(name, Some(manifest.clone()));
            }
        }
    }

    fn add_routes(&self, gateways: &BTreeSet<&ResourceName>, resources: &mut Resources) {
        let mut added: BTreeSet<ResourceName> = BTreeSet::new();
        for service in self.virtual_services_of(gateways) {
            // The rules of a root may be in delegates, which name no Gateway.
            let delegates = service.spec.http.iter().filter_map(|route| {
                let delegate = route.delegate.as_ref()?;
                let namespace = match delegate.namespace.as_str() {
                    "" => &service.metadata.namespace,
                    namespace => namespace,
                };
                self.delegates.get(&(namespace, &delegate.name)).copied()
            });
            for service in std::iter::once(service).chain(delegates) {
                let name = service.metadata.resource(Kind::VirtualService);
                self.add_manifest(&name, resources);
                if added.insert(name) {
                    resources.virtual_services.push(service.clone());
                }
            }
        }
    }

    fn add_manifest(&self, name: &ResourceName, resources: &mut Resources) {
        if let Some(manifest) = self.resources.manifests.get(name) {
            resources.manifests.set(name, Some(manifest.clone()));
        }
    }

    /// The pods of workloads, and the Services that select them.
    fn add_pods(&self, workloads: &[&Workload], resources: &mut Resources) {
        for pods in &self.resources.pods {
            if workloads.iter().any(|workload| {
                workload.namespace == pods.metadata.namespace
                    && has_labels(&pods.labels, &workload.labels)
            }) {
                resources.pods.push(pods.clone());
            }
        }
        for service in &self.resources.services {
            if workloads
                .iter()
                .any(|workload| has_labels(&workload.labels, &service.spec.selector))
            {
                resources.services.push(service.clone());
            }
        }
    }

    fn add_generated(&self, resources: &mut Resources) {
        let all = self.resources;
        resources.api_gateways.clone_from(&all.api_gateways);
        resources.listener_sets.clone_from(&all.listener_sets);
        resources.routes.clone_from(&all.routes);
        resources.reference_grants.clone_from(&all.reference_grants);
        resources.gateway_classes.clone_from(&all.gateway_classes);
        resources.ingresses.clone_from(&all.ingresses);
        resources.ingress_classes.clone_from(&all.ingress_classes);
        resources.namespaces.clone_from(&all.namespaces);
        resources.services.clone_from(&all.services);
    }
}

fn tls_listeners<'m>(workloads: &[&'m Workload]) -> impl Iterator<Item = &'m Listener> {
    workloads
        .iter()
        .flat_map(|workload| &workload.listeners)
        .filter(|listener| listener.is_tls())
}

/// The server names and the domains of a filter chain.
fn patterns_of(chain: &FilterChain) -> impl Iterator<Item = HostPattern> {
    chain.server_names.iter().chain(chain.domains()).cloned()
}

fn has_labels(labels: &Labels, selector: &Labels) -> bool {
    selector
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}
