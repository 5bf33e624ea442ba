//! The servers of a listener that break each other, directly or by way of others.

use std::collections::BTreeMap;

use super::IsIgnored;
use super::covers::covers;
use super::relation::Relation;
use super::site::Site;
use crate::disjoint_sets::DisjointSets;
use crate::{Certificates, Listener, ServerId, Workload};

/// The servers, in the order of their first filter chains. Pairs that annotations leave out do not
/// count.
pub(crate) fn components(
    certificates: &Certificates,
    workload: &Workload,
    listener: &Listener,
    is_ignored: IsIgnored<'_>,
) -> Vec<Vec<ServerId>> {
    let site = Site::new(workload, listener, certificates);
    let mut sets = DisjointSets::new(site.servers().count());
    for cover in covers(&site, certificates) {
        let relation = Relation::new(&site, &cover, is_ignored);
        for pair in &relation.special {
            if let Some(connection) = site.server_of(pair.connection) {
                sets.join(connection, pair.owner);
            }
        }
        for (connection, owner) in relation.sides() {
            if sets.first(connection) != sets.first(owner)
                && relation.pair(&site, connection, owner).is_some()
            {
                sets.join(connection, owner);
            }
        }
    }
    let mut members: BTreeMap<usize, Vec<ServerId>> = BTreeMap::new();
    for (number, server) in site.servers() {
        members
            .entry(sets.first(number))
            .or_default()
            .push(server.clone());
    }
    members
        .into_values()
        .filter(|members| members.len() > 1)
        .collect()
}
