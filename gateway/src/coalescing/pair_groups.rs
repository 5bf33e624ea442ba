//! One finding for many pairs that get 404.
//!
//! A report with a finding for each of a million pairs is useless. So many servers that break each
//! other become one group, and if the pairs beside this group are too many to read, they become another.

use std::collections::BTreeSet;

use super::MANY;
use super::broken_pairs::{BrokenPair, BrokenPairs};
use super::index::ServerIndex;

/// Pairs of which one finding reports the number and an example.
pub(crate) struct PairGroup<'h> {
    /// The servers of the connections.
    connections: BTreeSet<ServerIndex>,
    /// The servers of the hosts.
    owners: BTreeSet<ServerIndex>,
    pub(crate) pairs: usize,
    pub(crate) example: BrokenPair<'h>,
}

impl PairGroup<'_> {
    /// All servers of its pairs.
    pub(crate) fn servers(&self) -> BTreeSet<ServerIndex> {
        &self.connections | &self.owners
    }

    /// Whether it includes the 404s of connections to one server for the hosts of another.
    pub(crate) fn includes(&self, connection: ServerIndex, owner: ServerIndex) -> bool {
        self.connections.contains(&connection) && self.owners.contains(&owner)
    }
}

/// The pairs that get 404, divided into what becomes a finding.
#[derive(Default)]
pub(crate) struct GroupedPairs<'h> {
    pub(crate) groups: Vec<PairGroup<'h>>,
    /// The pairs that become a finding each.
    pub(crate) single: Vec<BrokenPair<'h>>,
}

impl<'h> BrokenPairs<'h> {
    pub(crate) fn grouped(&self) -> GroupedPairs<'h> {
        let mut grouped = GroupedPairs::default();
        let mut remaining = self.count_all();
        let mut grouped_servers = BTreeSet::new();
        // Many servers with connections and hosts break each other in a number of pairs that grows with
        // the square of theirs.
        if let Some(group) = self.mutual_group() {
            remaining -= group.pairs;
            grouped_servers.clone_from(&group.connections);
            grouped.groups.push(group);
        }
        // The pairs beside it: one finding each, if their number grows with that of the servers.
        let connections = self.connection_servers();
        let owners = self.host_servers();
        let servers = &connections | &owners;
        if remaining <= MANY * servers.len() {
            grouped.single = self.outside(&grouped_servers, remaining);
            return grouped;
        }
        if let Some(example) = self.outside(&grouped_servers, 1).pop() {
            grouped.groups.push(PairGroup {
                connections,
                owners,
                pairs: remaining,
                example,
            });
        }
        grouped
    }

    /// The group of the servers with both connections and hosts, if they are many.
    fn mutual_group(&self) -> Option<PairGroup<'h>> {
        let mutual = &self.connection_servers() & &self.host_servers();
        let pairs = self.count_not_found(&mutual, &mutual);
        if mutual.len() <= MANY || pairs == 0 {
            return None;
        }
        let example = mutual
            .iter()
            .filter_map(|server| self.connections.get(server))
            .find_map(|connection| {
                mutual
                    .iter()
                    .find_map(|owner| self.first_not_found(connection, *owner))
            })?;
        Some(PairGroup {
            connections: mutual.clone(),
            owners: mutual,
            pairs,
            example,
        })
    }

    /// At most `limit` pairs, without those of two grouped servers.
    fn outside(&self, grouped: &BTreeSet<ServerIndex>, limit: usize) -> Vec<BrokenPair<'h>> {
        let all_owners = self.host_servers();
        let other_owners = &all_owners - grouped;
        let mut pairs = Vec::new();
        for (server, connection) in &self.connections {
            // The group has the pairs of this connection with hosts of grouped servers.
            let owners = if grouped.contains(server) {
                &other_owners
            } else {
                &all_owners
            };
            for owner in owners {
                // The counts give the number of pairs, so there is nothing to find after the last.
                if pairs.len() == limit {
                    return pairs;
                }
                pairs.extend(self.first_not_found(connection, *owner));
            }
        }
        pairs
    }
}
