//! The broken pairs that some servers take part in, counted.

use std::collections::BTreeSet;

use super::IsIgnored;
use super::broken_pairs::{BrokenPair, BrokenPairs};
use super::certificate_scopes::{CertificateScope, certificate_scopes};
use super::listener_hosts::ListenerHosts;
use crate::{Certificates, Listener, ServerId, Workload};

/// The number of broken pairs, with one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemainingPairs {
    pub count: usize,
    pub example: Option<RemainingPair>,
}

/// A request for a host that breaks on a connection for another host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemainingPair {
    /// The server name of the connection.
    pub sni: String,
    /// The requested host.
    pub authority: String,
}

impl RemainingPairs {
    /// The broken pairs of a listener in which one of some servers has the connection or the host.
    pub(crate) fn new(
        certificates: &Certificates,
        workload: &Workload,
        listener: &Listener,
        servers: &BTreeSet<&ServerId>,
        is_ignored: IsIgnored<'_>,
    ) -> Self {
        let hosts = ListenerHosts::new(workload, listener, certificates);
        let mut remaining = Self::default();
        for scope in certificate_scopes(&hosts, certificates) {
            remaining.add(&hosts, &scope, servers, is_ignored);
        }
        remaining
    }

    fn add<'h>(
        &mut self,
        hosts: &ListenerHosts<'h>,
        scope: &CertificateScope<'h>,
        servers: &BTreeSet<&ServerId>,
        is_ignored: IsIgnored<'_>,
    ) {
        // The pairs with these servers are the difference between all pairs and those of the others.
        // There may be millions of pairs, so most of them are only counted.
        let all = BrokenPairs::new(hosts, scope, is_ignored);
        let others = BrokenPairs::new(hosts, scope, &|server, defect| {
            servers.contains(server) || is_ignored(server, defect)
        });
        let count = count(&all).saturating_sub(count(&others));
        self.count += count;
        if count > 0 && self.example.is_none() {
            self.example = example(&all, servers);
        }
    }
}

fn count(pairs: &BrokenPairs<'_>) -> usize {
    pairs.with_routes.len() + pairs.count_all()
}

fn example(pairs: &BrokenPairs<'_>, servers: &BTreeSet<&ServerId>) -> Option<RemainingPair> {
    // A request that reaches a wrong backend is worse than a 404.
    let with_routes = pairs
        .with_routes
        .iter()
        .find(|pair| is_wanted(pair, servers));
    let pair = match with_routes {
        Some(pair) => *pair,
        None => first_not_found(pairs, servers)?,
    };
    Some(RemainingPair {
        sni: pair.connection.sni.to_owned(),
        authority: pair.host.name.clone(),
    })
}

fn first_not_found<'h>(
    pairs: &BrokenPairs<'h>,
    servers: &BTreeSet<&ServerId>,
) -> Option<BrokenPair<'h>> {
    for owner in pairs.host_servers() {
        for connection in pairs.connections.values() {
            if let Some(pair) = pairs.first_not_found(connection, owner)
                && is_wanted(&pair, servers)
            {
                return Some(pair);
            }
        }
    }
    None
}

fn is_wanted(pair: &BrokenPair<'_>, servers: &BTreeSet<&ServerId>) -> bool {
    pair.server_ids()
        .iter()
        .any(|server| servers.contains(server))
}
