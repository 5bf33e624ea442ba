//! From the servers of a port to filter chains (Istio `pilot/pkg/networking/core/gateway.go`,
//! `buildGatewayTCPBasedFilterChains`).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rule::HostPattern;
use rule::host::HostTable;

use super::attached::{Attached, Proxy};
use super::listener::{ChainKind, Duplicate, FilterChain};
use super::resources::istio::{TcpRoute, TlsRoute};
use super::resources::{HostText, pattern};
use super::routes::{Binding, BindingOrigin, ProxyContext, l4_applies};
use super::server::{Handling, Server};
use super::virtual_hosts;

/// The server names that the passthrough chains of a workload have so far: by port and name, the address of
/// the server that claimed the name last.
#[derive(Debug, Default)]
pub(crate) struct ClaimedNames(HashMap<(u16, String), String>);

/// The filter chains of one server.
pub(crate) fn chains(
    server: &Arc<Server>,
    port: u16,
    attached: &[Attached<'_>],
    proxy: Proxy<'_>,
    claimed: &mut ClaimedNames,
) -> Vec<FilterChain> {
    match server.handling() {
        // The only handling in which Envoy reads requests, so the only one with virtual hosts.
        Handling::Https => {
            let table = virtual_hosts::route_table(server, attached, proxy);
            vec![FilterChain {
                server_names: server_names(server),
                kind: ChainKind::Https(table),
                ..chain_for_all(server, "https", proxy)
            }]
        }
        // istiod does not build a chain for TCP that has no destination.
        Handling::TerminatedTcp if has_tcp_route(server, attached, proxy) => {
            vec![FilterChain {
                server_names: server_names(server),
                ..chain_for_all(server, "tcp", proxy)
            }]
        }
        Handling::PlainTcp if has_tcp_route(server, attached, proxy) => {
            vec![plain_chain(server, proxy)]
        }
        Handling::PlainHttp => vec![plain_chain(server, proxy)],
        Handling::Passthrough => passthrough_names(server, port, attached, proxy, claimed)
            .into_iter()
            .map(|server_names| FilterChain {
                server_names,
                kind: ChainKind::Passthrough,
                ..chain_for_all(server, "passthrough", proxy)
            })
            .collect(),
        // AUTO_PASSTHROUGH has chains for the clusters of the mesh, whose names browsers do not use.
        Handling::TerminatedTcp | Handling::PlainTcp | Handling::AutoPassthrough => Vec::new(),
    }
}

/// A chain for every server name, which forwards TCP.
fn chain_for_all(server: &Arc<Server>, prefix: &str, proxy: Proxy<'_>) -> FilterChain {
    let mut credentials = Vec::new();
    let mut refused_secrets = Vec::new();
    for credential in &server.credentials {
        match credential.resolve(proxy.namespace) {
            Ok(credential) => credentials.push(credential),
            Err(secret) => refused_secrets.push(secret),
        }
    }
    FilterChain {
        name: server.chain_name(prefix),
        server: Arc::clone(server),
        server_names: vec![HostPattern::Any],
        tls: server.tls,
        credentials,
        refused_secrets,
        kind: ChainKind::Tcp,
    }
}

/// A chain in plain text, for which istiod ignores the TLS settings of the server.
fn plain_chain(server: &Arc<Server>, proxy: Proxy<'_>) -> FilterChain {
    FilterChain {
        tls: None,
        kind: ChainKind::Plain,
        ..chain_for_all(server, "plain", proxy)
    }
}

/// The server names of a server: its hosts without their namespaces (Istio `GetSNIHostsForServer`).
fn server_names(server: &Server) -> Vec<HostPattern> {
    match_names(server.hosts.iter().map(|host| host.host.as_str()))
}

/// The server names that a filter chain matches (Istio `pilot/pkg/networking/core/listener.go`,
/// `toFilterChainMatch`). A chain with `*` matches every connection, so istiod sets no name at all.
fn match_names<'h>(hosts: impl Iterator<Item = &'h str>) -> Vec<HostPattern> {
    // A host can be there for several namespaces. Sorted, so that equal inputs have equal output.
    let distinct: BTreeSet<&str> = hosts.collect();
    let patterns: Vec<HostPattern> = distinct.into_iter().filter_map(pattern).collect();
    if patterns.is_empty() || patterns.contains(&HostPattern::Any) {
        return vec![HostPattern::Any];
    }
    patterns
}

/// Whether a route gives the connections of a server a destination (Istio
/// `buildGatewayNetworkFiltersFromTCPRoutes`).
fn has_tcp_route(server: &Server, attached: &[Attached<'_>], proxy: Proxy<'_>) -> bool {
    let context = proxy.context(server);
    attached.iter().any(|attached| {
        let binding = attached.binding;
        binding
            .tcp
            .iter()
            .any(|route| tcp_route_applies(route, context))
            || terminated_tls_route_applies(binding, context)
    })
}

fn tcp_route_applies(route: &TcpRoute, context: ProxyContext<'_>) -> bool {
    let applies = route.matches.is_empty()
        || route
            .matches
            .iter()
            .any(|condition| l4_applies(&condition.gateways, condition.port, context));
    !route.route.is_empty() && applies
}

/// Whether a TLSRoute of the Gateway API applies: istiod attaches it to listeners that terminate TLS too.
fn terminated_tls_route_applies(binding: &Binding, context: ProxyContext<'_>) -> bool {
    binding.origin == BindingOrigin::GatewayApiTls
        && binding
            .tls
            .iter()
            .flat_map(|route| &route.matches)
            .any(|condition| l4_applies(&condition.gateways, condition.port, context))
}

/// The server names of each passthrough chain. istiod builds one chain for each condition of the routes
/// (Istio `buildGatewayNetworkFiltersFromTLSRoutes`).
fn passthrough_names(
    server: &Server,
    port: u16,
    attached: &[Attached<'_>],
    proxy: Proxy<'_>,
    claimed: &mut ClaimedNames,
) -> Vec<Vec<HostPattern>> {
    let context = proxy.context(server);
    // istiod skips a rule without a destination.
    let with_destination: Vec<&TlsRoute> = attached
        .iter()
        .flat_map(|attached| &attached.binding.tls)
        .filter(|route| !route.route.is_empty())
        .collect();
    let mut chains = Vec::new();
    for condition in with_destination.iter().flat_map(|route| &route.matches) {
        if !l4_applies(&condition.gateways, condition.port, context) {
            continue;
        }
        // istiod skips a condition if an earlier chain on the address has one of its names: Envoy would
        // refuse the listener.
        let names: Vec<&str> = condition.sni_hosts.iter().map(HostText::as_str).collect();
        if claimed.claim(port, &names, &server.bind) {
            chains.push(match_names(names.into_iter()));
        }
    }
    chains
}

impl ClaimedNames {
    /// Claims names for an address. Returns `false`, without a change, if the address has one of them.
    fn claim(&mut self, port: u16, names: &[&str], bind: &str) -> bool {
        let keys: Vec<(u16, String)> = names
            .iter()
            .map(|name| (port, (*name).to_owned()))
            .collect();
        let is_taken = keys
            .iter()
            .any(|key| self.0.get(key).is_some_and(|address| address == bind));
        if !is_taken {
            self.0
                .extend(keys.into_iter().map(|key| (key, bind.to_owned())));
        }
        !is_taken
    }
}

/// The chain of each server name, and the names that two chains have. Envoy refuses a listener with such
/// names (`filter_chain_manager_impl.cc`); the table has the first chain of each.
pub(crate) fn by_server_name(chains: &[FilterChain]) -> (HostTable<usize>, Vec<Duplicate>) {
    let mut table = HostTable::default();
    let mut duplicates = Vec::new();
    for (index, chain) in chains.iter().enumerate() {
        for host in &chain.server_names {
            // One chain can have a name twice: `a.com` and `A.com` are equal for Envoy.
            if let Some(first) = table.get(host) {
                duplicates.push(Duplicate {
                    host: host.clone(),
                    first: *first,
                    second: index,
                });
            } else {
                table.insert(host.clone(), index);
            }
        }
    }
    (table, duplicates)
}

/// The chains of a listener with at most one chain for HTTP in plain text: all servers for HTTP on a port
/// share one route table.
pub(crate) fn with_one_plain_chain(mut chains: Vec<FilterChain>) -> Vec<FilterChain> {
    let mut has_plain_chain = false;
    // The first chain represents all of them: in plain text the filter does not distinguish servers.
    chains.retain(|chain| {
        let is_plain = chain.server.handling() == Handling::PlainHttp;
        let is_kept = !is_plain || !has_plain_chain;
        has_plain_chain |= is_plain;
        is_kept
    });
    chains
}

#[cfg(test)]
mod tests {
    use super::{ClaimedNames, match_names};

    #[test]
    fn a_chain_for_every_name_has_no_other_names() {
        for (hosts, expected) in [
            (
                &["b.example.com", "a.example.com"][..],
                &["a.example.com", "b.example.com"][..],
            ),
            (&["a.example.com", "a.example.com"], &["a.example.com"]),
            (&["a.example.com", "*"], &["*"]),
            (&[], &["*"]),
        ] {
            let names: Vec<String> = match_names(hosts.iter().copied())
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(names, expected, "{hosts:?}");
        }
    }

    #[test]
    fn names_are_claimed_by_port_and_address() {
        let mut claimed = ClaimedNames::default();
        assert!(claimed.claim(443, &["a.example.com"], ""));
        assert!(!claimed.claim(443, &["b.example.com", "a.example.com"], ""));
        // The refused claim has left the other name free.
        assert!(claimed.claim(443, &["b.example.com"], ""));
        assert!(claimed.claim(8443, &["a.example.com"], ""));
        assert!(claimed.claim(443, &["a.example.com"], "127.0.0.1"));
    }
}
