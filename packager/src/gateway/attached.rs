//! Which routes each server of a workload gets.

use std::collections::HashMap;
use std::sync::Arc;

use rule::host::istio::{IstioHost, IstioHosts};

use super::routes::{Binding, RouteIndex};
use super::server::Server;

/// Routes at a server, with the hosts that both have.
#[derive(Clone, Debug)]
pub(super) struct Attached<'r> {
    pub(super) binding: &'r Binding,
    pub(super) hosts: Vec<String>,
}

/// The routes of every server, in the order of the servers and in the order in which routes count
/// (Istio `pilot/pkg/networking/core/gateway.go`, `buildGatewayHTTPRouteConfig`, and
/// `pkg/config/host/names.go`, `NamesForNamespace` and `Intersection`).
pub(super) fn attach<'r>(
    servers: &[Arc<Server>],
    routes: &'r RouteIndex,
    workload_namespace: &str,
) -> Vec<Vec<Attached<'r>>> {
    let mut of_gateway: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, server) in servers.iter().enumerate() {
        of_gateway.entry(&server.gateway).or_default().push(at);
    }
    let mut attached: Vec<Vec<Attached<'r>>> = servers.iter().map(|_| Vec::new()).collect();
    for (gateway, places) in of_gateway {
        let bound = routes.bound_to(gateway, workload_namespace);
        if bound.is_empty() {
            continue;
        }
        let hosts = index(servers, &places);
        for binding in bound {
            for (at, hosts) in intersections(binding, &hosts) {
                if let Some(list) = attached.get_mut(at) {
                    list.push(Attached { binding, hosts });
                }
            }
        }
    }
    attached
}

/// A host of a server: the server's place, and the namespace that routes must be in.
struct Slot<'s> {
    server: usize,
    namespace: Option<&'s str>,
}

fn index<'s>(servers: &'s [Arc<Server>], places: &[usize]) -> IstioHosts<Slot<'s>> {
    let mut hosts = IstioHosts::default();
    for at in places {
        for text in servers.get(*at).into_iter().flat_map(|server| &server.hosts) {
            let (namespace, host) = match text.split_once('/') {
                None => (None, text.as_str()),
                Some((namespace, host)) => (Some(namespace), host),
            };
            hosts.insert(host, Slot { server: *at, namespace });
        }
    }
    hosts
}

/// By server, the hosts that it has in common with the routes, each once.
fn intersections(binding: &Binding, hosts: &IstioHosts<Slot<'_>>) -> HashMap<usize, Vec<String>> {
    let mut found: HashMap<usize, Vec<String>> = HashMap::new();
    for host in &binding.hosts {
        for (smaller, slot) in hosts.intersections(IstioHost(host)) {
            if slot.namespace.is_none_or(|namespace| namespace == binding.namespace) {
                found.entry(slot.server).or_default().push(smaller.to_owned());
            }
        }
    }
    for hosts in found.values_mut() {
        hosts.sort_unstable();
        hosts.dedup();
    }
    found
}
