//! From resources to workloads, listeners, filter chains and virtual hosts.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::attached::{Proxy, attach};
use super::chains::{self, ClaimedNames};
use super::generated::{Generated, Ignored, Unprogrammed, generate};
use super::listener::{FilterChain, Listener};
use super::resources::{Labels, Resources};
use super::routes::{self, Delegates, RouteIndex};
use super::server::{GatewayConfig, Server};
use super::server_merge::{Dropped, ListenerAddress, merge};
use super::workloads::{self, ProxyPods, ServicePorts};

/// The configuration that istiod computes from resources.
#[derive(Clone, Debug)]
pub struct Model {
    /// The workloads that run gateways, sorted by namespace and name.
    pub workloads: Vec<Workload>,
    /// The listeners of the Gateway API that istiod does not program on any workload.
    pub unprogrammed: Vec<Unprogrammed>,
    /// The resources whose class belongs to another controller.
    pub ignored: Vec<Ignored>,
}

/// Pods with the same labels that run a gateway.
#[derive(Clone, Debug)]
pub struct Workload {
    pub namespace: String,
    /// The name of their Deployment, or the labels of assumed pods.
    pub name: String,
    pub labels: Labels,
    /// Whether the input does not contain the pods: the model assumes them from a selector.
    pub is_assumed: bool,
    /// Their listeners, sorted by port and address.
    pub listeners: Vec<Listener>,
    /// The servers that istiod drops here.
    pub dropped: Vec<Dropped>,
    /// The servers that istiod keeps and builds no filter chain for, because no route gives them a
    /// destination.
    pub(crate) without_chains: Vec<WithoutChain>,
    /// The Services of the input that select the pods.
    pub(crate) services: Vec<ServicePorts>,
}

/// A server without a filter chain, for example for passthrough without a TLS route.
#[derive(Clone, Debug)]
pub(crate) struct WithoutChain {
    pub(crate) server: Arc<Server>,
    /// The port that Envoy would listen on.
    pub(crate) port: u16,
    pub(crate) bind: String,
}

impl Workload {
    /// The namespace and the name, for output.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

impl Model {
    /// Computes the model. The time is near-linear in the number of resources.
    #[must_use]
    pub fn new(resources: &Resources) -> Self {
        // The Gateway API and Ingresses first: istiod translates them to Gateways and VirtualServices.
        let Generated {
            mut gateways,
            mut bindings,
            unprogrammed,
            ignored,
        } = generate(resources);
        gateways.extend(resources.gateways.iter().map(GatewayConfig::from_gateway));
        // istiod merges Gateways in the order of their age.
        gateways.sort_by(|a, b| a.age().cmp(&b.age()));

        let delegates = Delegates::new(&resources.virtual_services);
        bindings.extend(
            resources
                .virtual_services
                .iter()
                .filter_map(|service| routes::binding(service, &delegates)),
        );
        let routes = RouteIndex::new(bindings);

        // Each workload has its own merge: a server can be dropped on one and kept on another.
        let mut workloads: Vec<Workload> = workloads::proxies(resources, &gateways)
            .into_iter()
            .map(|pods| workload(pods, &gateways, &routes))
            .collect();
        workloads.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        Self {
            workloads,
            unprogrammed,
            ignored,
        }
    }
}

fn workload(pods: ProxyPods<'_>, gateways: &[GatewayConfig], routes: &RouteIndex) -> Workload {
    // The servers of the pods with the ports that Envoy listens on, the oldest first.
    let mut servers = Vec::new();
    let mut uncertain_ports = HashSet::new();
    // A Gateway can name several Services that select the same pods.
    let mut seen = HashSet::new();
    for config in pods
        .gateways
        .iter()
        .filter_map(|index| index.config(gateways))
    {
        for server in &config.servers {
            for resolved in workloads::resolve(server.port, &config.attachment, &pods) {
                if !seen.insert((&server.id, resolved.port)) {
                    continue;
                }
                servers.push((Arc::clone(server), resolved.port));
                if !resolved.is_certain {
                    uncertain_ports.insert(resolved.port);
                }
            }
        }
    }

    let merged = merge(servers);
    let (listeners, without_chains) = listeners(&merged.servers, &pods, routes, &uncertain_ports);
    Workload {
        listeners,
        without_chains,
        services: pods
            .services
            .iter()
            .map(|service| ServicePorts::new(service, &pods))
            .collect(),
        namespace: pods.namespace,
        name: pods.name,
        labels: pods.labels,
        is_assumed: pods.is_assumed,
        dropped: merged.dropped,
    }
}

fn listeners(
    servers: &BTreeMap<ListenerAddress, Vec<Arc<Server>>>,
    pods: &ProxyPods<'_>,
    routes: &RouteIndex,
    uncertain_ports: &HashSet<u16>,
) -> (Vec<Listener>, Vec<WithoutChain>) {
    // Routes are attached for all listeners together, so that the hosts of routes are indexed once.
    let all: Vec<&Server> = servers.values().flatten().map(Arc::as_ref).collect();
    let attached = attach(&all, routes, &pods.namespace);

    // The filter chains of each server, in the order in which istiod builds them: a later passthrough
    // chain loses the server names that an earlier one has.
    let proxy = Proxy {
        namespace: &pods.namespace,
        labels: &pods.labels,
    };
    let mut claimed = ClaimedNames::default();
    let mut chains: BTreeMap<&ListenerAddress, Vec<FilterChain>> = BTreeMap::new();
    let mut without_chains = Vec::new();
    for ((address, server), attached) in servers
        .iter()
        .flat_map(|(address, servers)| servers.iter().map(move |server| (address, server)))
        .zip(&attached)
    {
        let built = chains::chains(server, address.port, attached, proxy, &mut claimed);
        if built.is_empty() {
            without_chains.push(WithoutChain {
                server: Arc::clone(server),
                port: address.port,
                bind: address.bind.clone(),
            });
        }
        chains.entry(address).or_default().extend(built);
    }

    let listeners = chains
        .into_iter()
        .map(|(address, chains)| (address, chains::with_one_plain_chain(chains)))
        // istiod does not create a listener without filter chains (`MutableGatewayListener.build`).
        .filter(|(_, chains)| !chains.is_empty())
        .map(|(address, chains)| {
            let (by_server_name, duplicates) = chains::by_server_name(&chains);
            Listener {
                bind: address.bind.clone(),
                port: address.port,
                port_is_certain: !uncertain_ports.contains(&address.port),
                chains,
                duplicates,
                by_server_name,
            }
        })
        .collect();
    (listeners, without_chains)
}
