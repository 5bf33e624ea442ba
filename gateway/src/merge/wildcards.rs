//! Wildcards that are free to be used for a while.
//!
//! A server's hosts decide two things at once: which server names find its filter chain, and which
//! routes are in its table. A wildcard in the growing server puts the routes of another into its table
//! while that other's own, longer name still finds the old chain; a shorter wildcard in the other
//! keeps the routes in the old table while its name already finds the new chain.

use std::collections::BTreeSet;

use rule::host::istio::IstioHost;

use super::group::{Group, Member, join, split};
use super::state::State;
use crate::server::Protocol;

/// Who holds a wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Target,
    Absorbed,
    Another,
}

/// Hosts of the listener, without their namespaces, and who holds them.
pub(super) struct Held {
    target: BTreeSet<String>,
    absorbed: BTreeSet<String>,
    others: BTreeSet<String>,
}

impl Held {
    pub(super) fn of(group: &Group<'_>, state: &State) -> Self {
        let hosts = |members: &[Member]| {
            let hosts = members.iter().flat_map(|member| member.hosts(state));
            hosts
                .map(|host| split(&host).1.to_owned())
                .collect::<BTreeSet<String>>()
        };
        let is_member = |id| group.members().any(|member| member.id == id);
        let chains = group
            .listener
            .chains
            .iter()
            .filter(|chain| !is_member(chain.server.id.clone()));
        let of_chains = chains.flat_map(|chain| {
            let hosts = chain.server.hosts.iter().map(|host| host.host.clone());
            hosts.chain(chain.server_names.iter().map(ToString::to_string))
        });
        // A server that does not terminate HTTPS may have no chain, and has its hosts all the same.
        let servers = state
            .resources()
            .gateways
            .iter()
            .flat_map(|gateway| &gateway.spec.servers);
        let opaque = servers.filter(|server| {
            let protocol = Protocol::parse(&server.port.protocol);
            let is_passed = server
                .tls
                .as_ref()
                .is_some_and(|tls| !tls.mode.terminates());
            server.tls.is_some()
                && protocol != Protocol::Http
                && (is_passed || protocol != Protocol::Https)
        });
        let of_opaque =
            opaque.flat_map(|server| server.hosts.iter().map(|host| host.host().to_owned()));
        Self {
            target: hosts(std::slice::from_ref(&group.target)),
            absorbed: hosts(&group.absorbed),
            others: of_chains.chain(of_opaque).collect(),
        }
    }

    fn holder(&self, wildcard: &str) -> Option<Holder> {
        if self.others.contains(wildcard) {
            Some(Holder::Another)
        } else if self.target.contains(wildcard) {
            Some(Holder::Target)
        } else {
            self.absorbed.contains(wildcard).then_some(Holder::Absorbed)
        }
    }

    /// The wildcard by which the growing server is to know a host of another, the longest that is
    /// free or that it has already.
    pub(super) fn cover(&self, host: &str) -> Result<String, NoWildcard> {
        for wildcard in wider(host) {
            match self.holder(&wildcard) {
                None | Some(Holder::Target) => return Ok(wildcard),
                // It goes before the hosts that are under it.
                Some(Holder::Absorbed) => {}
                // Names under it would find that one.
                Some(Holder::Another) => break,
            }
        }
        Err(NoWildcard {
            host: host.to_owned(),
        })
    }

    /// Gives wildcards to the growing server.
    pub(super) fn take<'w>(&mut self, wildcards: impl Iterator<Item = &'w String>) {
        self.target.extend(wildcards.cloned());
    }

    /// A wildcard for the hosts of a server that leaves: shorter than those by which they are known
    /// elsewhere.
    pub(super) fn park(&self, hosts: &[String], covers: &[String]) -> Result<String, NoWildcard> {
        let shortest = covers
            .iter()
            .min_by_key(|cover| cover.len())
            .cloned()
            .unwrap_or_default();
        let is_over = |wildcard: &String| {
            hosts
                .iter()
                .all(|host| IstioHost(split(host).1).is_subset_of(IstioHost(wildcard)))
        };
        let free =
            wider(&shortest).find(|wildcard| is_over(wildcard) && self.holder(wildcard).is_none());
        free.ok_or(NoWildcard { host: shortest })
    }
}

/// There is no free wildcard over a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoWildcard {
    pub(super) host: String,
}

/// The wildcards that cover a host, the longest first.
fn wider(host: &str) -> impl Iterator<Item = String> {
    // Of `*.example.com` the first dot is its own.
    let text = host.strip_prefix("*.").unwrap_or(host).to_owned();
    let dots: Vec<usize> = text.match_indices('.').map(|(at, _)| at).collect();
    let below = dots
        .into_iter()
        .filter_map(move |at| Some(format!("*{}", text.get(at..)?)));
    let end = (host != "*").then(|| "*".to_owned());
    below.chain(end)
}

/// The same wildcard for every namespace that hosts have.
pub(super) fn in_namespaces_of(hosts: &[String], wildcard: &str) -> Vec<String> {
    let namespaces: BTreeSet<Option<&str>> = hosts.iter().map(|host| split(host).0).collect();
    namespaces
        .into_iter()
        .map(|namespace| join(namespace, wildcard))
        .collect()
}

/// Whether one of some hosts has all names of a host, for the same routes.
pub(super) fn includes(hosts: &[String], host: &str) -> bool {
    let (namespace, name) = split(host);
    hosts.iter().any(|other| {
        let (other_namespace, other) = split(other);
        let is_open = other_namespace.is_none() || other_namespace == namespace;
        is_open && IstioHost(name).is_subset_of(IstioHost(other))
    })
}
