//! From the servers of a port to filter chains (Istio `pilot/pkg/networking/core/gateway.go`,
//! `buildGatewayTCPBasedFilterChains`).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rule::HostPattern;
use rule::host::HostTable;

use super::attached::{Attached, Workload};
use super::credential::Credential;
use super::listener::{Duplicate, FilterChain, Service};
use super::resources::pattern;
use super::routes::{BindingOrigin, l4_applies};
use super::server::{Handling, Server};
use super::virtual_hosts;

/// The server names of the passthrough chains of a workload so far: by port and name, the address
/// that has it last.
pub(crate) type Claimed = HashMap<(u16, String), String>;

/// The filter chains of one server.
pub(crate) fn chains(
    server: &Arc<Server>,
    port: u16,
    attached: &[Attached<'_>],
    workload: Workload<'_>,
    claimed: &mut Claimed,
) -> Vec<FilterChain> {
    let chain = |prefix, server_names, service| FilterChain {
        name: server.chain_name(prefix),
        server: Arc::clone(server),
        server_names,
        tls: server.tls,
        credentials: credentials(server, workload.namespace),
        service,
    };
    match server.handling() {
        Handling::Https => {
            let table = virtual_hosts::route_table(server, attached, workload);
            vec![chain("https", server_names(server), Service::Https(table))]
        }
        Handling::TerminatedTcp if has_tcp_route(server, attached, workload) => {
            vec![chain("tcp", server_names(server), Service::Tcp)]
        }
        Handling::PlainTcp if has_tcp_route(server, attached, workload) => {
            vec![FilterChain {
                tls: None,
                ..chain("plain", any(), Service::Plain)
            }]
        }
        Handling::Passthrough => passthrough(server, port, attached, workload, claimed)
            .into_iter()
            .map(|names| chain("passthrough", names, Service::Passthrough))
            .collect(),
        Handling::PlainHttp => {
            vec![FilterChain {
                tls: None,
                ..chain("plain", any(), Service::Plain)
            }]
        }
        Handling::TerminatedTcp | Handling::PlainTcp | Handling::AutoPassthrough => Vec::new(),
    }
}

fn any() -> Vec<HostPattern> {
    vec![HostPattern::Any]
}

fn credentials(server: &Server, namespace: &str) -> Vec<Credential> {
    server
        .credentials
        .iter()
        .map(|credential| credential.resolve(namespace))
        .collect()
}

/// The hosts without their namespaces (Istio `GetSNIHostsForServer`).
fn server_names(server: &Server) -> Vec<HostPattern> {
    let host = |text: &'_ String| {
        text.split_once('/')
            .map_or(text.clone(), |(_, h)| h.to_owned())
    };
    match_names(server.hosts.iter().map(host))
}

/// What a filter chain is matched by: nothing else counts beside `*` (Istio
/// `pilot/pkg/networking/core/listener.go`, `toFilterChainMatch`).
fn match_names(hosts: impl Iterator<Item = String>) -> Vec<HostPattern> {
    let distinct: BTreeSet<String> = hosts.collect();
    let patterns: Vec<HostPattern> = distinct.iter().filter_map(|host| pattern(host)).collect();
    if patterns.is_empty() || patterns.contains(&HostPattern::Any) {
        any()
    } else {
        patterns
    }
}

/// Whether connections have somewhere to go (Istio `buildGatewayNetworkFiltersFromTCPRoutes`).
fn has_tcp_route(server: &Server, attached: &[Attached<'_>], workload: Workload<'_>) -> bool {
    let asking = workload.asking(server);
    attached.iter().any(|Attached { binding, .. }| {
        let fits = |gateways: &[String], port| l4_applies(gateways, port, asking);
        let mut tcp = binding.tcp.iter().filter(|route| !route.route.is_empty());
        let mut tls = binding.tls.iter().flat_map(|route| &route.matches);
        tcp.any(|route| {
            let mut matches = route.matches.iter();
            route.matches.is_empty() || matches.any(|found| fits(&found.gateways, found.port))
        }) || (binding.origin == BindingOrigin::GatewayApiTls
            && tls.any(|found| fits(&found.gateways, found.port)))
    })
}

/// The server names of each chain, one for each condition of the routes (Istio
/// `buildGatewayNetworkFiltersFromTLSRoutes`).
fn passthrough(
    server: &Server,
    port: u16,
    attached: &[Attached<'_>],
    workload: Workload<'_>,
    claimed: &mut Claimed,
) -> Vec<Vec<HostPattern>> {
    let asking = workload.asking(server);
    let bindings = attached.iter().map(|attached| attached.binding);
    let routes = bindings
        .flat_map(|binding| &binding.tls)
        .filter(|route| !route.route.is_empty());
    let matches = routes.flat_map(|route| &route.matches);
    let fitting = matches.filter(|found| l4_applies(&found.gateways, found.port, asking));
    let mut chains = Vec::new();
    for found in fitting {
        let hosts = || found.sni_hosts.iter().map(|host| host.as_str().to_owned());
        let is_taken = |host| claimed.get(&(port, host)) == Some(&server.bind);
        if hosts().any(is_taken) {
            continue;
        }
        claimed.extend(hosts().map(|host| ((port, host), server.bind.clone())));
        chains.push(match_names(hosts()));
    }
    chains
}

/// Which chain has which server name, and which names two of them have. The first chain wins here;
/// Envoy refuses the listener (`filter_chain_manager_impl.cc`).
pub(crate) fn by_server_name(chains: &[FilterChain]) -> (HostTable<usize>, Vec<Duplicate>) {
    let mut table = HostTable::default();
    let mut duplicates = Vec::new();
    for (second, chain) in chains.iter().enumerate() {
        for host in &chain.server_names {
            match table.get(host).copied() {
                Some(first) => duplicates.push(Duplicate {
                    host: host.clone(),
                    first,
                    second,
                }),
                None => drop(table.insert(host.clone(), second)),
            }
        }
    }
    (table, duplicates)
}

/// Servers in plain text share one filter chain (Istio: one route table for all of a port).
pub(crate) fn one_plain_chain(mut chains: Vec<FilterChain>) -> Vec<FilterChain> {
    let is_plain = |chain: &FilterChain| chain.server.handling() == Handling::PlainHttp;
    let mut has_one = false;
    chains.retain(|chain| {
        let is_another = is_plain(chain) && has_one;
        has_one |= is_plain(chain);
        !is_another
    });
    chains
}
