//! Unused wildcards that a plan needs for a while.
//!
//! The hosts of a server decide two things: which server names (SNI) select its filter chain, and which
//! routes are in its route table. Envoy selects the filter chain with the longest matching name. So two
//! kinds of wildcards separate the two effects:
//!
//! - A covering wildcard on the target adds the routes of another server to the target's route table.
//!   Connections still select the other server, because its host is longer.
//! - A shorter parking wildcard on the other server keeps its routes in its own route table. New
//!   connections select the target, because the covering wildcard is longer.
//!
//! If a server that stays has the wildcard between the two, it would get the connections. Then the target gets
//! the host itself before the other server gives it up ([`CoveringWildcard::is_hidden`]).

use std::collections::BTreeSet;

use rule::host::istio::IstioHost;

use super::group::{Group, Member, join_namespace, split_namespace};
use super::state::State;
use crate::resources::{Labels, istio};
use crate::server::Protocol;

/// The hosts of a listener, without their namespaces, by the server that has them.
#[derive(Debug, Default)]
pub(super) struct WildcardAllocation {
    target: BTreeSet<String>,
    absorbed: BTreeSet<String>,
    others: BTreeSet<String>,
    /// The wildcards that the target gets for the plan.
    reserved: BTreeSet<String>,
}

/// The wildcard by which the target covers a host of an absorbed server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CoveringWildcard {
    pub(super) wildcard: String,
    /// Whether a server that stays has a longer wildcard over the host. Envoy prefers the longer name, so
    /// connections for the host would select that server.
    pub(super) is_hidden: bool,
}

/// The server that has a wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Target,
    Absorbed,
    Other,
}

impl WildcardAllocation {
    pub(super) fn new(group: &Group<'_>, state: &State) -> Self {
        let mut allocation = Self {
            target: group
                .target
                .hosts(state)
                .iter()
                .map(|host| without_namespace(host))
                .collect(),
            absorbed: group
                .absorbed
                .iter()
                .flat_map(|member| member.hosts(state))
                .map(|host| without_namespace(&host))
                .collect(),
            others: hosts_without_chain(&group.target, state),
            reserved: BTreeSet::new(),
        };
        // A passthrough chain has the SNI hosts of its routes, which differ from the server's hosts.
        for chain in &group.listener.chains {
            if !group.has(&chain.server.id) {
                for host in &chain.server.hosts {
                    allocation.others.insert(host.host.clone());
                }
                for name in &chain.server_names {
                    allocation.others.insert(name.to_string());
                }
            }
        }
        allocation
    }

    /// The longest wildcard that covers a host of an absorbed server and that the target may have.
    pub(super) fn covering_wildcard(&self, host: &str) -> Option<CoveringWildcard> {
        let mut is_hidden = false;
        for wildcard in wider_wildcards(host) {
            match self.holder(&wildcard) {
                None | Some(Holder::Target) => {
                    return Some(CoveringWildcard {
                        wildcard,
                        is_hidden,
                    });
                }
                // The target cannot have it yet: istiod drops the younger of two servers with one host.
                // Its holder leaves before the servers whose hosts it covers, so a wider one works.
                Some(Holder::Absorbed) => {}
                Some(Holder::Other) => is_hidden = true,
            }
        }
        None
    }

    /// Marks wildcards as hosts of the target.
    pub(super) fn reserve(&mut self, wildcards: impl IntoIterator<Item = String>) {
        self.reserved.extend(wildcards);
    }

    /// The unused wildcards that cover all hosts of an absorbed server and are shorter than `covering`, the
    /// shortest wildcard by which the target covers them. The longest is first.
    pub(super) fn parking_wildcards(&self, hosts: &[String], covering: &str) -> Vec<String> {
        // Envoy prefers the longest name, so the wildcard must be shorter than the target's wildcard.
        wider_wildcards(covering)
            .into_iter()
            .filter(|wildcard| self.holder(wildcard).is_none())
            .filter(|wildcard| !self.takes_hosts(wildcard))
            .filter(|wildcard| {
                hosts.iter().all(|host| {
                    IstioHost(split_namespace(host).1).is_subset_of(IstioHost(wildcard))
                })
            })
            .collect()
    }

    /// Whether a server had a wider wildcard than this one at the start. Connections for hosts below both
    /// would select the parked server, which has no routes for them.
    fn takes_hosts(&self, wildcard: &str) -> bool {
        wider_wildcards(wildcard).iter().any(|wider| {
            [&self.target, &self.absorbed, &self.others]
                .iter()
                .any(|hosts| hosts.contains(wider))
        })
    }

    fn holder(&self, wildcard: &str) -> Option<Holder> {
        if self.others.contains(wildcard) {
            Some(Holder::Other)
        } else if self.target.contains(wildcard) || self.reserved.contains(wildcard) {
            Some(Holder::Target)
        } else if self.absorbed.contains(wildcard) {
            Some(Holder::Absorbed)
        } else {
            None
        }
    }
}

/// The hosts of servers that may have no filter chain and still occupy their hosts on the listener of the
/// target: istiod makes a chain for a server that does not terminate HTTPS only if a route is bound to it.
fn hosts_without_chain(target: &Member, state: &State) -> BTreeSet<String> {
    let (Some(gateway), Some(own)) = (state.gateway(&target.gateway), target.server(state)) else {
        return BTreeSet::new();
    };
    state
        .resources()
        .gateways
        .iter()
        .filter(|other| may_share_pods(&gateway.spec.selector, &other.spec.selector))
        .flat_map(|gateway| &gateway.spec.servers)
        .filter(|server| server.port.number == own.port.number && needs_route_for_chain(server))
        .flat_map(|server| &server.hosts)
        .map(|host| host.host().to_owned())
        .collect()
}

/// Whether pods may exist that two selectors match.
fn may_share_pods(one: &Labels, other: &Labels) -> bool {
    one.iter()
        .all(|(key, value)| other.get(key).is_none_or(|other| other == value))
}

fn needs_route_for_chain(server: &istio::Server) -> bool {
    // A server in plain text has no server names.
    let Some(tls) = &server.tls else {
        return false;
    };
    match Protocol::parse(&server.port.protocol) {
        Protocol::Http => false,
        Protocol::Https => !tls.mode.terminates(),
        Protocol::Tls | Protocol::Tcp => true,
    }
}

/// The wildcards that cover a host, the longest first: `*.example.com`, `*.com` and `*` for
/// `a.example.com`.
fn wider_wildcards(host: &str) -> Vec<String> {
    // A wildcard does not cover itself, so the search starts after its own first dot.
    let labels = host.strip_prefix("*.").unwrap_or(host);
    let mut wildcards: Vec<String> = labels
        .match_indices('.')
        .filter_map(|(dot, _)| labels.get(dot..))
        .map(|suffix| format!("*{suffix}"))
        .collect();
    if host != "*" {
        wildcards.push("*".to_owned());
    }
    wildcards
}

/// A wildcard for routes of the same namespaces as hosts.
pub(super) fn in_namespaces_of(hosts: &[String], wildcard: &str) -> Vec<String> {
    let namespaces: BTreeSet<Option<&str>> =
        hosts.iter().map(|host| split_namespace(host).0).collect();
    namespaces
        .into_iter()
        .map(|namespace| join_namespace(namespace, wildcard))
        .collect()
}

/// Whether one of `hosts` covers all names of a host, for routes of the same namespace.
pub(super) fn includes(hosts: &[String], host: &str) -> bool {
    // A host without a namespace admits routes of every namespace, so it also covers hosts with one.
    let (namespace, name) = split_namespace(host);
    hosts.iter().any(|other| {
        let (other_namespace, other_name) = split_namespace(other);
        (other_namespace.is_none() || other_namespace == namespace)
            && IstioHost(name).is_subset_of(IstioHost(other_name))
    })
}

fn without_namespace(host: &str) -> String {
    split_namespace(host).1.to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{WildcardAllocation, in_namespaces_of, includes, wider_wildcards};

    fn owned(hosts: &[&str]) -> Vec<String> {
        hosts.iter().map(|host| (*host).to_owned()).collect()
    }

    fn allocation(target: &[&str], absorbed: &[&str], others: &[&str]) -> WildcardAllocation {
        let set = |hosts| BTreeSet::from_iter(owned(hosts));
        WildcardAllocation {
            target: set(target),
            absorbed: set(absorbed),
            others: set(others),
            reserved: BTreeSet::new(),
        }
    }

    #[test]
    fn wildcards_from_long_to_short() {
        assert_eq!(
            wider_wildcards("a.example.com"),
            ["*.example.com", "*.com", "*"]
        );
        assert_eq!(wider_wildcards("*.example.com"), ["*.com", "*"]);
        assert!(wider_wildcards("*").is_empty());
    }

    #[track_caller]
    fn check_covering(allocation: &WildcardAllocation, host: &str, expected: Option<(&str, bool)>) {
        let covering = allocation.covering_wildcard(host);
        let found = covering
            .as_ref()
            .map(|covering| (&*covering.wildcard, covering.is_hidden));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_covering_wildcard_is_unused_or_of_the_target() {
        let host = "b.example.com";
        let unused = Some(("*.example.com", false));
        check_covering(&allocation(&[], &[host], &[]), host, unused);
        let of_target = allocation(&["*.example.com"], &[host], &[]);
        check_covering(&of_target, host, unused);
        let of_absorbed = allocation(&[], &[host, "*.example.com"], &[]);
        check_covering(&of_absorbed, host, Some(("*.com", false)));
        let of_other = allocation(&[], &[host], &["*.example.com"]);
        check_covering(&of_other, host, Some(("*.com", true)));
        let of_others = allocation(&[], &[host], &["*.example.com", "*.com", "*"]);
        check_covering(&of_others, host, None);
        check_covering(&allocation(&[], &["*"], &[]), "*", None);
    }

    #[track_caller]
    fn check_parking(allocation: &WildcardAllocation, hosts: &[String], expected: &[&str]) {
        let parking = allocation.parking_wildcards(hosts, "*.example.com");
        assert_eq!(parking, expected);
    }

    #[test]
    fn a_parking_wildcard_is_shorter_than_the_covering_one() {
        let hosts = owned(&["b.example.com"]);
        let mut allocation = allocation(&["a.example.com"], &["b.example.com"], &[]);
        allocation.reserve(owned(&["*.example.com"]));
        check_parking(&allocation, &hosts, &["*.com", "*"]);
        allocation.reserve(owned(&["*.com", "*"]));
        check_parking(&allocation, &hosts, &[]);
    }

    #[test]
    fn a_parking_wildcard_takes_no_hosts_of_a_wider_one() {
        let hosts = owned(&["a.b.example.com"]);
        for (target, absorbed, others) in [
            (&["*.com"][..], &[][..], &[][..]),
            (&[], &["*.com"], &[]),
            (&[], &[], &["*.com"]),
        ] {
            let allocation = allocation(target, absorbed, others);
            let parking = allocation.parking_wildcards(&hosts, "*.b.example.com");
            assert_eq!(parking, ["*"], "{target:?} {absorbed:?} {others:?}");
        }
    }

    #[test]
    fn namespaces_of_hosts() {
        let hosts = owned(&["shop/a.example.com", "b.example.com", "shop/c.example.com"]);
        assert_eq!(in_namespaces_of(&hosts, "*.com"), ["*.com", "shop/*.com"]);
        assert!(includes(&owned(&["*.com"]), "shop/a.example.com"));
        assert!(includes(&owned(&["shop/*.com"]), "shop/a.example.com"));
        assert!(!includes(&owned(&["shop/*.com"]), "a.example.com"));
    }
}
