//! The routes that istiod attaches to each server of a workload.

use std::collections::HashMap;

use rule::host::istio::{IstioHost, IstioHosts};

use super::resources::{GatewayName, Labels, NamespacedHost};
use super::routes::{Binding, BindingIndex, ProxyContext, RouteIndex};
use super::server::Server;

/// The namespace and labels of a workload: what conditions of routes can refer to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proxy<'w> {
    pub(crate) namespace: &'w str,
    pub(crate) labels: &'w Labels,
}

impl Proxy<'_> {
    /// The context in which istiod evaluates the routes of a server.
    pub(crate) fn context<'a>(&'a self, server: &'a Server) -> ProxyContext<'a> {
        let Self { namespace, labels } = self;
        ProxyContext {
            namespace,
            labels,
            gateway: &server.gateway,
            port: server.port,
        }
    }
}

/// Routes of a server, with the hosts that both have.
#[derive(Clone, Debug)]
pub(crate) struct Attached<'r> {
    pub(crate) binding: &'r Binding,
    pub(crate) hosts: Vec<String>,
}

/// The position of a server in the list that [`attach`] is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ServerPosition(usize);

/// The routes of each server, in the order of `servers`. The routes of one server are sorted by precedence (Istio
/// `pilot/pkg/networking/core/gateway.go`, `buildGatewayHTTPRouteConfig`, and `pkg/config/host/names.go`,
/// `NamesForNamespace` and `Intersection`).
pub(crate) fn attach<'r>(
    servers: &[&Server],
    routes: &'r RouteIndex,
    workload_namespace: &str,
) -> Vec<Vec<Attached<'r>>> {
    let mut attached: HashMap<ServerPosition, Vec<Attached<'r>>> = HashMap::new();
    // The tables of routes with many hosts, which are built once for all Gateways.
    let mut tables: HashMap<BindingIndex, IstioHosts<()>> = HashMap::new();
    for (gateway, hosts) in hosts_by_gateway(servers) {
        let bound = routes.bound_to(gateway, workload_namespace);
        // Most Gateways of a large input have no routes here: no table of hosts is built for them.
        if bound.is_empty() {
            continue;
        }
        let table = table_of_servers(&hosts);
        for (index, binding) in bound {
            // The shorter list is looked up in the longer one: routes with thousands of hosts can be
            // bound to thousands of Gateways.
            let common = if binding.hosts.len() > hosts.len() {
                let table = tables
                    .entry(index)
                    .or_insert_with(|| table_of_routes(binding));
                find_hosts_of_servers(binding, &hosts, table)
            } else {
                find_hosts_of_routes(binding, &table)
            };
            for (server, hosts) in common {
                attached
                    .entry(server)
                    .or_default()
                    .push(Attached { binding, hosts });
            }
        }
    }
    (0..servers.len())
        .map(|index| attached.remove(&ServerPosition(index)).unwrap_or_default())
        .collect()
}

/// A host of a server.
#[derive(Clone, Copy)]
struct ServerHost<'s> {
    server: ServerPosition,
    host: &'s NamespacedHost,
}

/// The hosts of all servers of each Gateway: routes are bound to a Gateway, not to a server.
fn hosts_by_gateway<'s>(servers: &[&'s Server]) -> HashMap<&'s GatewayName, Vec<ServerHost<'s>>> {
    let mut by_gateway: HashMap<&GatewayName, Vec<ServerHost<'_>>> = HashMap::new();
    for (index, server) in servers.iter().enumerate() {
        let hosts = by_gateway.entry(&server.gateway).or_default();
        hosts.extend(server.hosts.iter().map(|host| ServerHost {
            server: ServerPosition(index),
            host,
        }));
    }
    by_gateway
}

fn table_of_servers<'s>(hosts: &[ServerHost<'s>]) -> IstioHosts<ServerHost<'s>> {
    let mut table = IstioHosts::default();
    for host in hosts {
        table.insert(&host.host.host, *host);
    }
    table
}

fn table_of_routes(binding: &Binding) -> IstioHosts<()> {
    let mut table = IstioHosts::default();
    for host in &binding.hosts {
        table.insert(host, ());
    }
    table
}

/// The hosts that each server has in common with the routes.
type CommonHosts = HashMap<ServerPosition, Vec<String>>;

/// Looks up each host of the routes in the hosts of the servers.
fn find_hosts_of_routes(binding: &Binding, servers: &IstioHosts<ServerHost<'_>>) -> CommonHosts {
    let mut common = CommonHosts::new();
    for host in &binding.hosts {
        for (narrower, found) in servers.intersections(IstioHost(host)) {
            // A server can limit a host to the routes of one namespace.
            if found.host.admits(&binding.namespace) {
                common
                    .entry(found.server)
                    .or_default()
                    .push(narrower.to_owned());
            }
        }
    }
    distinct(common)
}

/// Looks up each host of the servers in the hosts of the routes.
fn find_hosts_of_servers(
    binding: &Binding,
    servers: &[ServerHost<'_>],
    routes: &IstioHosts<()>,
) -> CommonHosts {
    let mut common = CommonHosts::new();
    for ServerHost { server, host } in servers {
        if !host.admits(&binding.namespace) {
            continue;
        }
        for (narrower, ()) in routes.intersections(IstioHost(&host.host)) {
            common.entry(*server).or_default().push(narrower.to_owned());
        }
    }
    distinct(common)
}

/// Each host of a server once: several pairs of hosts can have the same intersection.
fn distinct(mut common: CommonHosts) -> CommonHosts {
    for hosts in common.values_mut() {
        hosts.sort_unstable();
        hosts.dedup();
    }
    common
}
