//! The pairs that get 404, counted and listed.
//!
//! Their number grows with the square of the number of servers, so a report has their number, their servers
//! and the first of them.

use std::collections::{BTreeMap, BTreeSet};

use super::broken_pairs::{BrokenPair, BrokenPairs};
use super::index::ServerIndex;

/// A group of pairs: their servers and their number, without a list of the pairs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct NotFoundGroup {
    /// The servers of the connections.
    pub(crate) connections: BTreeSet<ServerIndex>,
    /// The servers of the hosts.
    pub(crate) owners: BTreeSet<ServerIndex>,
    pub(crate) pairs: usize,
}

impl NotFoundGroup {
    /// Whether it includes the 404s of connections to one server for the hosts of another.
    pub(crate) fn includes(&self, connection: ServerIndex, owner: ServerIndex) -> bool {
        self.connections.contains(&connection) && self.owners.contains(&owner)
    }
}

impl<'h> BrokenPairs<'h> {
    /// The pairs with a host of some servers. It takes a step for each connection, each server and each
    /// server that a connection has routes for, but none for each pair.
    pub(crate) fn not_found_group(&self, owners: &BTreeSet<ServerIndex>) -> NotFoundGroup {
        let routed = self.routed_owners();
        let mut group = NotFoundGroup::default();
        // How many connections do not break each owner's hosts.
        let mut unbroken: BTreeMap<ServerIndex, usize> = BTreeMap::new();
        for (server, connection) in &self.connections {
            // The connection has routes for all hosts of these servers. None of them is its own server.
            let routed: Vec<ServerIndex> = routed
                .get(&connection.chain.index)
                .into_iter()
                .flatten()
                .copied()
                .filter(|owner| owners.contains(owner))
                .collect();
            // Its own hosts do not break on it either.
            let own = owners.get(server).copied();
            let intact = routed.len() + usize::from(own.is_some());
            for owner in routed.into_iter().chain(own) {
                *unbroken.entry(owner).or_default() += 1;
            }
            if intact < owners.len() {
                group.connections.insert(*server);
                group.pairs += owners.len() - intact;
            }
        }
        // An owner is in a pair if some connection breaks its hosts.
        group.owners = owners
            .iter()
            .copied()
            .filter(|owner| {
                unbroken.get(owner).copied().unwrap_or_default() < self.connections.len()
            })
            .collect();
        group
    }

    /// The first pairs with a host of some servers, at most `limit`.
    pub(crate) fn not_found_pairs(
        &self,
        owners: &BTreeSet<ServerIndex>,
        limit: usize,
    ) -> Vec<BrokenPair<'h>> {
        let mut pairs = Vec::new();
        for connection in self.connections.values() {
            for owner in owners {
                if pairs.len() == limit {
                    return pairs;
                }
                pairs.extend(self.first_not_found(connection, *owner));
            }
        }
        pairs
    }

    /// The first pair with a host of one server.
    pub(crate) fn not_found_of(&self, owner: ServerIndex) -> Option<BrokenPair<'h>> {
        self.connections
            .values()
            .find_map(|connection| self.first_not_found(connection, owner))
    }
}
