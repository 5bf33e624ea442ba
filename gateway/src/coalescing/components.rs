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
        // The owners by set: after a few joins most servers are in one set, so few owners are looked at.
        let mut owners: BTreeMap<ServerIndex, Vec<ServerIndex>> = BTreeMap::new();
        for owner in pairs.hosts.keys() {
            let set = self.representative(*owner);
            owners.entry(set).or_default().push(*owner);
        }
        for connection in pairs.connections.values() {
            let server = connection.chain.server;
            let own = self.representative(server);
            let broken: Vec<ServerIndex> = owners
                .iter()
                .filter(|(set, _)| **set != own)
                .filter(|(_, owners)| {
                    owners
                        .iter()
                        .any(|owner| pairs.first_not_found(connection, *owner).is_some())
                })
                .map(|(set, _)| *set)
                .collect();
            if broken.is_empty() {
                continue;
            }
            let mut joined = owners.remove(&own).unwrap_or_default();
            for set in broken {
                joined.extend(owners.remove(&set).unwrap_or_default());
                self.join(server, set);
            }
            owners.insert(self.representative(server), joined);
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
