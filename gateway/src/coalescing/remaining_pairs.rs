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
    let is_wanted = |pair: &BrokenPair<'_>| {
        [pair.connection.chain, pair.host.chain]
            .iter()
            .any(|chain| servers.contains(&chain.chain.server.id))
    };
    // A request that reaches a wrong backend is worse than a 404.
    let pair = pairs
        .with_routes
        .iter()
        .find(|pair| is_wanted(pair))
        .copied()
        .or_else(|| {
            let mut owners = pairs.host_servers().into_iter();
            owners.find_map(|owner| {
                pairs
                    .connections
                    .values()
                    .filter_map(|connection| pairs.first_not_found(connection, owner))
                    .find(is_wanted)
            })
        })?;
    Some(RemainingPair {
        sni: pair.connection.sni.to_owned(),
        authority: pair.host.name.clone(),
    })
}
