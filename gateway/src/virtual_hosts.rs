//! The route table of a server (Istio `pilot/pkg/networking/core/gateway.go`,
//! `buildGatewayHTTPRouteConfig`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rule::HostPattern;
use rule::host::HostTable;
use rule::host::istio::IstioHost;
use rule::request::BLACKHOLE;

use super::attached::{Attached, Proxy};
use super::listener::{RouteSource, RouteTable, VirtualHost};
use super::resources::pattern;
use super::server::Server;

/// The position of routes in the list of those that are attached to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct AttachedIndex(usize);

/// The routes of a host: the attached ones by index, and the resources that they are written in.
#[derive(Default)]
struct HostRoutes {
    attached: Vec<AttachedIndex>,
    sources: Vec<RouteSource>,
}

/// Hosts that share all their routes, the most specific host first.
struct HostGroup {
    hosts: Vec<String>,
    sources: Vec<RouteSource>,
}

pub(crate) fn route_table(
    server: &Server,
    attached: &[Attached<'_>],
    proxy: Proxy<'_>,
) -> RouteTable {
    let by_host = routes_by_host(server, attached, proxy);
    // Envoy needs at least one virtual host, so istiod adds one that has no routes.
    if by_host.is_empty() {
        return table(vec![VirtualHost {
            name: format!("{BLACKHOLE}{}", server.port),
            domains: vec![HostPattern::Any],
            routes: Vec::new(),
        }]);
    }
    table(
        collapse(by_host)
            .into_iter()
            .map(|group| virtual_host(group, server.port))
            .collect(),
    )
}

/// The routes of each host, in lower case: Envoy ignores the case of domains.
fn routes_by_host(
    server: &Server,
    attached: &[Attached<'_>],
    proxy: Proxy<'_>,
) -> BTreeMap<String, HostRoutes> {
    let mut by_host: BTreeMap<String, HostRoutes> = BTreeMap::new();
    for (index, Attached { binding, hosts }) in attached.iter().enumerate() {
        // istiod creates no virtual host for a VirtualService none of whose rules apply here.
        let rules = binding.rules(proxy.context(server));
        if rules.is_empty() {
            continue;
        }
        let order = binding.order(&rules);
        for host in hosts {
            let routes = by_host.entry(host.to_ascii_lowercase()).or_default();
            routes.attached.push(AttachedIndex(index));
            for resource in &binding.sources {
                routes.sources.push(RouteSource {
                    resource: Arc::clone(resource),
                    rules: rules.clone(),
                    order,
                });
            }
        }
    }
    by_host
}

/// Groups hosts that have the same VirtualServices: each group becomes one virtual host, which has the name
/// of its most specific host (Istio `collapseDuplicateRoutes`; `pkg/config/host/names.go`,
/// `MoreSpecific`). VirtualServices that istiod generates have one host each and are not grouped.
fn collapse(by_host: BTreeMap<String, HostRoutes>) -> Vec<HostGroup> {
    // The most specific hosts first: hosts without a wildcard, then the longest.
    let mut sorted: Vec<(String, HostRoutes)> = by_host.into_iter().collect();
    sorted.sort_by_cached_key(|(host, _)| {
        (
            IstioHost(host).is_wildcard(),
            Reverse(host.len()),
            host.clone(),
        )
    });
    let mut positions: HashMap<Vec<AttachedIndex>, usize> = HashMap::new();
    let mut groups: Vec<HostGroup> = Vec::new();
    for (host, HostRoutes { attached, sources }) in sorted {
        // Equal lists of routes in equal order: istiod compares the VirtualServices of the hosts.
        if let Some(group) = positions
            .get(&attached)
            .and_then(|position| groups.get_mut(*position))
        {
            group.hosts.push(host);
        } else {
            positions.insert(attached, groups.len());
            groups.push(HostGroup {
                hosts: vec![host],
                sources,
            });
        }
    }
    groups
}

fn virtual_host(group: HostGroup, port: u16) -> VirtualHost {
    // istiod names a virtual host after its first domain and the port of the Gateway.
    let first = group.hosts.first().map_or("", String::as_str);
    VirtualHost {
        name: format!("{first}:{port}"),
        domains: group
            .hosts
            .iter()
            .filter_map(|host| pattern(host))
            .collect(),
        routes: group.sources,
    }
}

/// The virtual hosts, indexed by authority.
fn table(virtual_hosts: Vec<VirtualHost>) -> RouteTable {
    let mut by_authority = HostTable::default();
    for (index, virtual_host) in virtual_hosts.iter().enumerate() {
        for domain in &virtual_host.domains {
            by_authority.insert(domain.clone(), index);
        }
    }
    RouteTable {
        virtual_hosts,
        by_authority,
    }
}
