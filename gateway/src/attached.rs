//! Which routes each server of a workload gets.

use std::collections::HashMap;
use std::sync::Arc;

use rule::host::istio::{IstioHost, IstioHosts};

use super::resources::Labels;
use super::routes::{Asking, Binding, RouteIndex};
use super::server::Server;

/// What there is to know of a workload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload<'w> {
    pub(crate) namespace: &'w str,
    pub(crate) labels: &'w Labels,
}

impl Workload<'_> {
    pub(crate) fn asking<'a>(&'a self, server: &'a Server) -> Asking<'a> {
        let Self { namespace, labels } = self;
        Asking {
            namespace,
            labels,
            gateway: &server.gateway,
            port: server.port,
        }
    }
}

/// Routes at a server, with the hosts that both have.
#[derive(Clone, Debug)]
pub(crate) struct Attached<'r> {
    pub(crate) binding: &'r Binding,
    pub(crate) hosts: Vec<String>,
}

/// The routes of every server, in the order of the servers and in the order in which routes count
/// (Istio `pilot/pkg/networking/core/gateway.go`, `buildGatewayHTTPRouteConfig`, and
/// `pkg/config/host/names.go`, `NamesForNamespace` and `Intersection`).
pub(crate) fn attach<'r>(
    servers: &[Arc<Server>],
    routes: &'r RouteIndex,
    workload_namespace: &str,
) -> Vec<Vec<Attached<'r>>> {
    let mut of_gateway: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, server) in servers.iter().enumerate() {
        of_gateway.entry(&server.gateway).or_default().push(at);
    }
    let mut attached: Vec<Vec<Attached<'r>>> = servers.iter().map(|_| Vec::new()).collect();
    let mut many: HashMap<*const Binding, IstioHosts<()>> = HashMap::new();
    for (gateway, places) in of_gateway {
        let bound = routes.bound_to(gateway, workload_namespace);
        if bound.is_empty() {
            continue;
        }
        let slots = slots(servers, &places);
        let mut hosts = IstioHosts::default();
        for (host, slot) in &slots {
            hosts.insert(host, *slot);
        }
        for binding in bound {
            // The few are looked up among the many: routes with thousands of hosts may be bound to
            // thousands of Gateways.
            let found = if binding.hosts.len() > slots.len() {
                let hosts = many
                    .entry(std::ptr::from_ref(binding))
                    .or_insert_with(|| all(binding));
                intersections_of_few(binding, &slots, hosts)
            } else {
                intersections(binding, &hosts)
            };
            for (at, hosts) in found {
                if let Some(list) = attached.get_mut(at) {
                    list.push(Attached { binding, hosts });
                }
            }
        }
    }
    attached
}

/// A host of a server: the server's place, and the namespace that routes must be in.
#[derive(Clone, Copy)]
struct Slot<'s> {
    server: usize,
    namespace: Option<&'s str>,
}

impl Slot<'_> {
    fn admits(&self, binding: &Binding) -> bool {
        self.namespace
            .is_none_or(|namespace| namespace == binding.namespace)
    }
}

fn slots<'s>(servers: &'s [Arc<Server>], places: &[usize]) -> Vec<(&'s str, Slot<'s>)> {
    let mut slots = Vec::new();
    for at in places {
        for text in servers
            .get(*at)
            .into_iter()
            .flat_map(|server| &server.hosts)
        {
            let (namespace, host) = match text.split_once('/') {
                None => (None, text.as_str()),
                Some((namespace, host)) => (Some(namespace), host),
            };
            slots.push((
                host,
                Slot {
                    server: *at,
                    namespace,
                },
            ));
        }
    }
    slots
}

fn all(binding: &Binding) -> IstioHosts<()> {
    let mut hosts = IstioHosts::default();
    for host in &binding.hosts {
        hosts.insert(host, ());
    }
    hosts
}

/// By server, the hosts that it has in common with the routes.
type Intersections = HashMap<usize, Vec<String>>;

fn intersections(binding: &Binding, hosts: &IstioHosts<Slot<'_>>) -> Intersections {
    let mut found = Intersections::new();
    for host in &binding.hosts {
        for (smaller, slot) in hosts.intersections(IstioHost(host)) {
            if slot.admits(binding) {
                found
                    .entry(slot.server)
                    .or_default()
                    .push(smaller.to_owned());
            }
        }
    }
    distinct(found)
}

fn intersections_of_few(
    binding: &Binding,
    slots: &[(&str, Slot<'_>)],
    hosts: &IstioHosts<()>,
) -> Intersections {
    let mut found = Intersections::new();
    for (host, slot) in slots.iter().filter(|(_, slot)| slot.admits(binding)) {
        let smaller = hosts
            .intersections(IstioHost(host))
            .map(|(smaller, ())| smaller.to_owned());
        let mut smaller = smaller.peekable();
        if smaller.peek().is_some() {
            found.entry(slot.server).or_default().extend(smaller);
        }
    }
    distinct(found)
}

fn distinct(mut found: Intersections) -> Intersections {
    for hosts in found.values_mut() {
        hosts.sort_unstable();
        hosts.dedup();
    }
    found
}
