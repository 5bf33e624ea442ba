//! The order in which a seamless plan hands over servers, and the wildcards that it uses.
//!
//! While open connections drain, an absorbed server keeps its routes under a parking wildcard. Servers
//! that are handed over at once therefore need different parking wildcards, each of which covers all
//! hosts of its server. No other way keeps the old route table:
//!
//! - The route table has the name of the server's port, Gateway and address, and istiod fills it only
//!   while this server is on the listener (Istio `pilot/pkg/networking/core/gateway.go`,
//!   `buildGatewayHTTPRouteConfig`). Without the server, istiod sends an empty table and Envoy answers
//!   404.
//! - A route is in the table only if a host of the server and a host of the `VirtualService` overlap, and
//!   its domain is the narrower of the two. So a host of the server has to cover the moved host.
//! - Each host of a server is also a server name of its filter chain (`GetSNIHostsForServer`). istiod drops
//!   the younger of two servers with one host (`CheckDuplicates`). A namespace makes the hosts different
//!   for istiod only: Envoy rejects a listener in which two chains have one server name.
//! - A host on another address or port is on another listener, but gives the route table another name
//!   (`gatewayRDSRouteName`).
//!
//! A server that stays may have a wildcard between the two, such as `*.example.com` while the target has
//! `*.com`. Connections for `b.example.com` would select it as soon as the absorbed server gives up its host.
//! So the target first gets this host in another spelling ([`Departure::handover`]). istiod accepts that,
//! since the hosts differ for it, and Envoy rejects the listener and keeps the one that it has. The next write
//! takes the host from the absorbed server, and Envoy accepts the listener. If istiod sends both writes
//! together, nothing is rejected. In both cases, connections change from one server to the other at once.
//!
//! So `a.example.com` can use only `*.example.com`, `*.com` and `*`. The target needs the longest one, and
//! two servers at a time can use the others. Servers of other domains use other wildcards at the same
//! time.

use std::collections::HashMap;

use super::StepsError;
use crate::merge::group::{Group, Member, join_namespace, shortest_wildcard, split_namespace};
use crate::merge::state::State;
use crate::merge::wildcards::WildcardAllocation;

/// An absorbed server with the wildcards that the seamless plan uses for it.
pub(super) struct Departure<'g> {
    pub(super) member: &'g Member,
    pub(super) hosts: Vec<String>,
    /// For each host, the wildcard by which the target covers it, in the namespace of the host.
    pub(super) covering: Vec<String>,
    /// The hosts of the server in another spelling, which the target gets just before the server gives them
    /// up. Empty if the covering wildcards get the connections.
    pub(super) handover: Vec<String>,
    /// The host of the server while it keeps its routes for open connections.
    pub(super) parking: String,
}

/// The position of a batch in a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct BatchIndex(usize);

/// The absorbed servers with their wildcards, in batches that are handed over one after the other. All
/// wildcards are allocated before the first write, so that a plan is either possible or not.
pub(super) fn departures<'g>(
    group: &'g Group<'_>,
    start: &State,
) -> Result<Vec<Vec<Departure<'g>>>, StepsError> {
    let mut allocation = WildcardAllocation::new(group, start);
    let mut covered_members = Vec::new();
    for member in &group.absorbed {
        covered_members.push(CoveredMember::new(member, start, &allocation)?);
    }
    let handovers = covered_members
        .iter()
        .filter(|covered| covered.is_hidden)
        .count();
    if handovers > MAX_HANDOVERS {
        return Err(StepsError::TooManyHandovers { count: handovers });
    }

    // The target has all covering wildcards before the first server is parked.
    for covered in &covered_members {
        allocation.reserve(covered.wildcards.iter().cloned());
    }

    let mut batches: Vec<Vec<Departure<'g>>> = Vec::new();
    let mut schedule = Schedule::default();
    for covered in covered_members {
        let shortest = covered
            .wildcards
            .iter()
            .min_by_key(|wildcard| wildcard.len())
            .cloned()
            .unwrap_or_default();
        let candidates = allocation.parking_wildcards(&covered.hosts, &shortest);
        let Some((parking, batch)) = schedule.add(shortest_wildcard(&covered.hosts), candidates)
        else {
            return Err(StepsError::NoWildcard { host: shortest });
        };
        if batches.len() <= batch.0 {
            batches.resize_with(batch.0 + 1, Vec::new);
        }
        if let Some(batch) = batches.get_mut(batch.0) {
            batch.push(covered.departure(parking, &group.target.gateway.namespace));
        }
    }
    Ok(batches)
}

/// The largest number of servers that a seamless plan hands over with hosts in another spelling. Each of them
/// waits until connections are drained, so a plan for more of them takes hours, and its proof minutes.
const MAX_HANDOVERS: usize = 100;

/// An absorbed server with the wildcards by which the target covers its hosts.
struct CoveredMember<'g> {
    member: &'g Member,
    hosts: Vec<String>,
    /// A wildcard for each host.
    wildcards: Vec<String>,
    /// Whether connections for a host would not select the target by its wildcard.
    is_hidden: bool,
}

impl<'g> CoveredMember<'g> {
    fn new(
        member: &'g Member,
        start: &State,
        allocation: &WildcardAllocation,
    ) -> Result<Self, StepsError> {
        let hosts = member.hosts(start);
        let mut wildcards = Vec::new();
        let mut is_hidden = false;
        for host in &hosts {
            let (_, host) = split_namespace(host);
            let covering = allocation
                .covering_wildcard(host)
                .ok_or_else(|| StepsError::NoWildcard { host: host.into() })?;
            is_hidden |= covering.is_hidden;
            wildcards.push(covering.wildcard);
        }
        Ok(Self {
            member,
            hosts,
            wildcards,
            is_hidden,
        })
    }

    fn departure(self, parking: String, namespace_of_target: &str) -> Departure<'g> {
        // Each host admits routes of one namespace or of all, and so must its wildcard.
        let covering = self
            .hosts
            .iter()
            .zip(&self.wildcards)
            .map(|(host, wildcard)| join_namespace(split_namespace(host).0, wildcard))
            .collect();
        let handover = if self.is_hidden {
            self.hosts
                .iter()
                .map(|host| other_spelling(host, namespace_of_target))
                .collect()
        } else {
            Vec::new()
        };
        Departure {
            member: self.member,
            hosts: self.hosts,
            covering,
            handover,
            parking,
        }
    }
}

/// A host with the same server name, which istiod takes for another host. It admits routes of another
/// namespace only; the target's wildcards admit the routes that the host needs.
fn other_spelling(host: &str, namespace_of_target: &str) -> String {
    match split_namespace(host) {
        (Some(namespace), name) if namespace == namespace_of_target => {
            join_namespace(Some(OTHER_NAMESPACE), name)
        }
        (_, name) => join_namespace(Some(namespace_of_target), name),
    }
}

/// A namespace of every cluster. Kubernetes creates it for the heartbeats of nodes.
const OTHER_NAMESPACE: &str = "kube-node-lease";

/// Assigns servers to batches, in the order in which they have to leave.
#[derive(Default)]
struct Schedule {
    /// For each wildcard, the first batch in which it is unused. A wildcard is used once in each batch,
    /// because the servers of a batch are deleted only with the next batch.
    unused_from: HashMap<String, BatchIndex>,
    /// The first batch for servers with the present width.
    first: BatchIndex,
    /// The last batch that has a server.
    last: BatchIndex,
    width: usize,
}

impl Schedule {
    /// The earliest batch for a server, with the wildcard for it; `None` without a candidate. `width` is
    /// the length of the server's shortest wildcard host, which does not decrease from call to call.
    fn add(&mut self, width: usize, candidates: Vec<String>) -> Option<(String, BatchIndex)> {
        // A server with a wider wildcard must not leave later: a wildcard that stays would get the
        // connections of the hosts below it.
        if width > self.width {
            self.width = width;
            self.first = self.last;
        }
        // Of two wildcards that are unused equally early, the first and longest one is taken: fewer
        // other servers can use it.
        let (batch, parking) = candidates
            .into_iter()
            .map(|wildcard| {
                let unused = self.unused_from.get(&wildcard).copied().unwrap_or_default();
                (unused.max(self.first), wildcard)
            })
            .min_by_key(|(batch, _)| *batch)?;
        self.unused_from
            .insert(parking.clone(), BatchIndex(batch.0 + 1));
        self.last = self.last.max(batch);
        Some((parking, batch))
    }
}

#[cfg(test)]
mod tests {
    use super::{BatchIndex, Schedule};

    /// Each server as the length of its shortest wildcard, with its candidates.
    #[track_caller]
    fn check(servers: &[(usize, &[&str])], expected: &[(&str, usize)]) {
        let mut schedule = Schedule::default();
        let found: Vec<(String, BatchIndex)> = servers
            .iter()
            .map(|(width, candidates)| {
                let candidates = candidates.iter().map(ToString::to_string).collect();
                schedule.add(*width, candidates).unwrap()
            })
            .collect();
        let expected: Vec<(String, BatchIndex)> = expected
            .iter()
            .map(|(wildcard, batch)| ((*wildcard).to_owned(), BatchIndex(*batch)))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_wildcard_parks_one_server_of_a_batch() {
        let server = (usize::MAX, &["*.com", "*"][..]);
        check(
            &[server, server, server],
            &[("*.com", 0), ("*", 0), ("*.com", 1)],
        );
    }

    #[test]
    fn servers_of_other_domains_share_a_batch() {
        let (com, org) = (["*.com", "*"], ["*.org", "*"]);
        check(
            &[
                (usize::MAX, &com),
                (usize::MAX, &com),
                (usize::MAX, &org),
                (usize::MAX, &org),
            ],
            &[("*.com", 0), ("*", 0), ("*.org", 0), ("*.org", 1)],
        );
    }

    #[test]
    fn a_server_never_leaves_before_one_with_a_wider_wildcard() {
        check(
            &[(5, &["*"]), (5, &["*"]), (usize::MAX, &["*.com", "*"])],
            &[("*", 0), ("*", 1), ("*.com", 1)],
        );
    }

    #[test]
    fn a_server_without_a_candidate_has_no_batch() {
        assert_eq!(Schedule::default().add(usize::MAX, Vec::new()), None);
    }
}
