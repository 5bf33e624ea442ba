//! The servers of a listener that break each other, directly or through others.

use std::collections::BTreeMap;

use super::IsIgnored;
use super::broken_pairs::BrokenPairs;
use super::certificate_scopes::certificate_scopes;
use super::index::ServerIndex;
use super::listener_hosts::ListenerHosts;
use crate::disjoint_sets::DisjointSets;
use crate::{Certificates, Listener, ServerId, Workload};

/// The servers of each component with more than one, in the order of their first filter chains. Pairs
/// that annotations suppress do not connect servers.
pub(crate) fn components(
    certificates: &Certificates,
    workload: &Workload,
    listener: &Listener,
    is_ignored: IsIgnored<'_>,
) -> Vec<Vec<ServerId>> {
    let hosts = ListenerHosts::new(workload, listener, certificates);
    let mut connected = ConnectedServers::new(&hosts);
    for scope in certificate_scopes(&hosts, certificates) {
        connected.connect(&BrokenPairs::new(&hosts, &scope, is_ignored));
    }
    connected
        .members(&hosts)
        .into_values()
        .filter(|members| members.len() > 1)
        .collect()
}

/// Sets of servers, each represented by its least index.
pub(crate) struct ConnectedServers(DisjointSets);

impl ConnectedServers {
    /// Each server of a listener in a set of its own.
    pub(crate) fn new(hosts: &ListenerHosts<'_>) -> Self {
        Self(DisjointSets::new(hosts.servers().count()))
    }

    /// Joins the servers of each broken pair.
    pub(crate) fn connect(&mut self, pairs: &BrokenPairs<'_>) {
        for pair in &pairs.with_routes {
            self.join(pair.connection.chain.server, pair.owner());
        }
        for connection in pairs.connections.values() {
            for owner in pairs.hosts.keys() {
                let server = connection.chain.server;
                // After a few joins most servers are in one set, so few pairs are looked at.
                if self.representative(server) != self.representative(*owner)
                    && pairs.first_not_found(connection, *owner).is_some()
                {
                    self.join(server, *owner);
                }
            }
        }
    }

    /// The least index of the set of a server.
    pub(crate) fn representative(&mut self, server: ServerIndex) -> ServerIndex {
        ServerIndex(self.0.first(server.0))
    }

    fn join(&mut self, one: ServerIndex, other: ServerIndex) {
        self.0.join(one.0, other.0);
    }

    /// The servers of each set, by the least index.
    pub(crate) fn members(
        &mut self,
        hosts: &ListenerHosts<'_>,
    ) -> BTreeMap<ServerIndex, Vec<ServerId>> {
        let mut members: BTreeMap<ServerIndex, Vec<ServerId>> = BTreeMap::new();
        for (index, server) in hosts.servers() {
            members
                .entry(self.representative(index))
                .or_default()
                .push(server.clone());
        }
        members
    }
}
