//! The route table of a server (Istio `pilot/pkg/networking/core/gateway.go`,
//! `buildGatewayHTTPRouteConfig`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rule::host::HostTable;
use rule::host::istio::IstioHost;
use rule::request::BLACKHOLE;

use super::attached::{Attached, Workload};
use super::listener::{RouteSource, RouteTable, VirtualHost};
use super::resources::pattern;
use super::server::Server;

/// The routes of a host: the places of what they were attached as, and where they are written.
#[derive(Default)]
struct HostRoutes {
    attached: Vec<usize>,
    sources: Vec<RouteSource>,
}

pub(crate) fn route_table(
    server: &Server,
    attached: &[Attached<'_>],
    workload: Workload<'_>,
) -> RouteTable {
    let mut domains: BTreeMap<String, HostRoutes> = BTreeMap::new();
    for (at, Attached { binding, hosts }) in attached.iter().enumerate() {
        let rules = binding.rules(workload.asking(server));
        if rules.is_empty() {
            continue;
        }
        let source = |resource| RouteSource {
            resource: Arc::clone(resource),
            rules: rules.clone(),
        };
        for host in hosts {
            let routes = domains.entry(host.to_ascii_lowercase()).or_default();
            routes.attached.push(at);
            routes.sources.extend(binding.sources.iter().map(source));
        }
    }
    if domains.is_empty() {
        return table(vec![(
            vec!["*".into()],
            format!("{BLACKHOLE}{}", server.port),
            Vec::new(),
        )]);
    }
    let named = |(domains, routes): (Vec<String>, _)| {
        let name = format!(
            "{}:{}",
            domains.first().map_or("", String::as_str),
            server.port
        );
        (domains, name, routes)
    };
    table(collapse(domains).into_iter().map(named).collect())
}

/// Hosts of the same VirtualServices are one virtual host, named for the most specific of them
/// (Istio `collapseDuplicateRoutes`; `pkg/config/host/names.go`, `MoreSpecific`). Generated
/// VirtualServices have one host each, so that theirs stay apart.
fn collapse(domains: BTreeMap<String, HostRoutes>) -> Vec<(Vec<String>, Vec<RouteSource>)> {
    let mut sorted: Vec<_> = domains.into_iter().collect();
    sorted.sort_by_cached_key(|(host, _)| {
        (
            IstioHost(host).is_wildcard(),
            Reverse(host.len()),
            host.clone(),
        )
    });
    let mut known: HashMap<Vec<usize>, usize> = HashMap::new();
    let mut collapsed: Vec<(Vec<String>, Vec<RouteSource>)> = Vec::new();
    for (host, HostRoutes { attached, sources }) in sorted {
        if let Some((hosts, _)) = known.get(&attached).and_then(|at| collapsed.get_mut(*at)) {
            hosts.push(host);
        } else {
            known.insert(attached, collapsed.len());
            collapsed.push((vec![host], sources));
        }
    }
    collapsed
}

fn table(hosts: Vec<(Vec<String>, String, Vec<RouteSource>)>) -> RouteTable {
    let mut by_authority = HostTable::default();
    let mut virtual_hosts = Vec::with_capacity(hosts.len());
    for (domains, name, routes) in hosts {
        let domains: Vec<_> = domains
            .iter()
            .filter_map(|domain| pattern(domain))
            .collect();
        for domain in &domains {
            by_authority.insert(domain.clone(), virtual_hosts.len());
        }
        virtual_hosts.push(VirtualHost {
            name,
            domains,
            routes,
        });
    }
    RouteTable {
        virtual_hosts,
        by_authority,
    }
}
