//! The pairs of a connection and a host that break in one certificate scope.
//!
//! # Example
//!
//! Three servers share a listener and a certificate for `*.example.com`:
//!
//! | server | hosts | its route table has routes for |
//! |---|---|---|
//! | S0 | `a.example.com` | `a.example.com` |
//! | S1 | `b.example.com` | `b.example.com` |
//! | S2 | `*.example.com` | `*.example.com` |
//!
//! A client with a connection to one server may send requests for the hosts of the two others:
//!
//! | connection to | `a` (S0) | `b` (S1) | `x` (S2) |
//! |---|---|---|---|
//! | S0 | its own host | 404 | 404 |
//! | S1 | 404 | its own host | 404 |
//! | S2 | routes of S2 | routes of S2 | its own host |
//!
//! The route table of S2 has routes for `a` and `b`: each such request is examined, and both are pairs
//! with [`Defect::WrongRoute`]. The 404s are the rest, and are counted without a look at each:
//!
//! - 3 connections times 3 servers with hosts are 9 pairs;
//! - 3 of them are a connection and a host of the same server, so 6 remain;
//! - in 2 of those, the connection has routes for all hosts of the other server: S2 with S0 and with S1.
//!   So 4 pairs get 404.
//!
//! With 5,000 servers and no wildcard this counts 24,995,000 pairs in 5,000 steps.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::certificate_scopes::CertificateScope;
use super::defect::{Defect, ReportedDefect, defect};
use super::index::{ChainIndex, ServerIndex};
use super::listener_hosts::{CoalescedConnection, ListenerHost, ListenerHosts};
use super::{IsIgnored, Known};
use crate::{Credential, ServerId};

/// A connection and a host of another server whose requests break on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BrokenPair<'h> {
    pub(crate) connection: CoalescedConnection<'h>,
    pub(crate) host: &'h ListenerHost<'h>,
    pub(crate) defect: Defect,
}

impl<'h> BrokenPair<'h> {
    /// The server of the host.
    pub(crate) fn owner(&self) -> ServerIndex {
        self.host.chain.server
    }

    /// The servers of the connection and of the host.
    pub(crate) fn server_ids(&self) -> [&'h ServerId; 2] {
        [self.connection.chain, self.host.chain].map(|chain| &chain.chain.server.id)
    }
}

/// The broken pairs of a certificate scope, without those that annotations suppress.
pub(crate) struct BrokenPairs<'h> {
    /// Whether the input has the certificates of the scope.
    pub(crate) known: Known,
    /// The credentials with the certificates of the scope.
    pub(crate) credentials: BTreeSet<&'h Credential>,
    /// Pairs whose connection has routes for the host: the first of each kind of defect, for each
    /// connection and server of the host.
    pub(crate) with_routes: Vec<BrokenPair<'h>>,
    /// How many pairs annotations suppress.
    pub(crate) suppressed: usize,
    /// The connections, by server.
    pub(crate) connections: BTreeMap<ServerIndex, CoalescedConnection<'h>>,
    /// The hosts, by server.
    pub(super) hosts: BTreeMap<ServerIndex, Vec<&'h ListenerHost<'h>>>,
    /// How many hosts of a server a connection has routes for. All other hosts get 404.
    routed_hosts: HashMap<(ChainIndex, ServerIndex), usize>,
}

impl<'h> BrokenPairs<'h> {
    pub(crate) fn new(
        hosts: &ListenerHosts<'h>,
        scope: &CertificateScope<'h>,
        is_ignored: IsIgnored<'_>,
    ) -> Self {
        let mut pairs = Self {
            known: scope.known,
            credentials: scope.credentials.clone(),
            with_routes: Vec::new(),
            suppressed: 0,
            connections: scope
                .connections
                .iter()
                .map(|connection| (connection.chain.server, *connection))
                .collect(),
            hosts: BTreeMap::new(),
            routed_hosts: HashMap::new(),
        };
        for host in &scope.hosts {
            pairs.hosts.entry(host.chain.server).or_default().push(host);
        }
        pairs.examine_routed_hosts(hosts);
        pairs.keep_first_of_each_defect(is_ignored);
        pairs.remove_ignored_servers(is_ignored);
        pairs
    }

    /// Asks each connection for the hosts that its route table may have routes for.
    fn examine_routed_hosts(&mut self, hosts: &ListenerHosts<'h>) {
        let connections: HashMap<ChainIndex, CoalescedConnection<'h>> = self
            .connections
            .values()
            .map(|connection| (connection.chain.index, *connection))
            .collect();
        for host in self.hosts.values().flatten().copied() {
            for chain in hosts.chains_with_routes_for(&host.name) {
                // Other chains are not in the scope, or belong to the server of the host.
                let Some(connection) = connections.get(&chain.index) else {
                    continue;
                };
                if chain.server == host.chain.server {
                    continue;
                }
                match defect(chain.chain, host) {
                    // Istio's hosts overlap, but the domains that istiod made of them do not match.
                    Some(Defect::NotFound) => continue,
                    Some(defect @ (Defect::WrongRoute | Defect::TlsPolicy)) => {
                        self.with_routes.push(BrokenPair {
                            connection: *connection,
                            host,
                            defect,
                        });
                    }
                    None => {}
                }
                *self
                    .routed_hosts
                    .entry((chain.index, host.chain.server))
                    .or_default() += 1;
            }
        }
    }

    /// Keeps one pair for each kind of defect between two servers, unless an annotation suppresses it.
    fn keep_first_of_each_defect(&mut self, is_ignored: IsIgnored<'_>) {
        let mut seen = BTreeSet::new();
        let known = self.known;
        self.with_routes.retain(|pair| {
            let defect = ReportedDefect::new(known, pair.defect);
            // One finding with one example is enough, whatever the number of hosts.
            if !seen.insert((defect, pair.connection.chain.index, pair.owner())) {
                return false;
            }
            let is_suppressed = pair
                .server_ids()
                .into_iter()
                .any(|server| is_ignored(server, defect));
            self.suppressed += usize::from(is_suppressed);
            !is_suppressed
        });
    }

    /// Removes the servers whose Gateways suppress the report of 404s.
    fn remove_ignored_servers(&mut self, is_ignored: IsIgnored<'_>) {
        let not_found = ReportedDefect::new(self.known, Defect::NotFound);
        let before = self.count_all();
        self.connections
            .retain(|_, connection| !is_ignored(&connection.chain.chain.server.id, not_found));
        // All hosts of an entry are of the same server.
        self.hosts.retain(|_, hosts| {
            hosts
                .first()
                .is_some_and(|host| !is_ignored(&host.chain.chain.server.id, not_found))
        });
        // The report counts the pairs that went with them.
        self.suppressed += before - self.count_all();
    }

    /// The pairs of the same connection with all hosts of the owner that break in the same way.
    pub(crate) fn alike(&self, pair: &BrokenPair<'h>) -> impl Iterator<Item = BrokenPair<'h>> {
        let pair = *pair;
        self.hosts
            .get(&pair.owner())
            .into_iter()
            .flatten()
            .filter(move |host| defect(pair.connection.chain.chain, host) == Some(pair.defect))
            .map(move |host| BrokenPair { host, ..pair })
    }

    /// The servers with a host in the scope.
    pub(crate) fn host_servers(&self) -> BTreeSet<ServerIndex> {
        self.hosts.keys().copied().collect()
    }

    /// The number of all pairs that get 404.
    pub(crate) fn count_all(&self) -> usize {
        self.not_found_group(&self.host_servers()).pairs
    }

    /// The servers whose hosts a connection has routes for, all of them.
    pub(super) fn routed_owners(&self) -> HashMap<ChainIndex, BTreeSet<ServerIndex>> {
        let mut owners: HashMap<ChainIndex, BTreeSet<ServerIndex>> = HashMap::new();
        for ((chain, owner), routed) in &self.routed_hosts {
            if self.host_count(*owner) == *routed {
                owners.entry(*chain).or_default().insert(*owner);
            }
        }
        owners
    }

    /// The pair of a connection and the first host of a server that gets 404 on it.
    pub(crate) fn first_not_found(
        &self,
        connection: &CoalescedConnection<'h>,
        owner: ServerIndex,
    ) -> Option<BrokenPair<'h>> {
        // The counts decide most cases without a look at the hosts.
        let routed = self
            .routed_hosts
            .get(&(connection.chain.index, owner))
            .copied()
            .unwrap_or_default();
        if routed == self.host_count(owner) {
            return None;
        }
        self.hosts
            .get(&owner)?
            .iter()
            .find(|host| defect(connection.chain.chain, host) == Some(Defect::NotFound))
            .map(|host| BrokenPair {
                connection: *connection,
                host,
                defect: Defect::NotFound,
            })
    }

    fn host_count(&self, owner: ServerIndex) -> usize {
        self.hosts.get(&owner).map_or(0, Vec::len)
    }
}
