//! The connections on which requests for protected hosts are to be denied, by their server names.

use std::collections::BTreeSet;

use rule::HostPattern;
use rule::host::HostTable;

use super::Connections;
use crate::gateway::listener::Service;
use crate::gateway::{FilterChain, Listener};

/// The places of filter chains in their listener.
pub(super) type Places = BTreeSet<usize>;

/// The filter chains at some places.
pub(super) fn chains_at<'m>(
    listener: &'m Listener,
    places: &Places,
) -> impl Iterator<Item = &'m FilterChain> {
    places
        .iter()
        .filter_map(|place| listener.chains.get(*place))
}

/// The connections of a listener on which requests for protected hosts are to be denied.
pub(super) fn connections(
    listener: &Listener,
    owner: &FilterChain,
    bypasses: &Places,
) -> Vec<Connections> {
    let mut found = Vec::new();
    // All but those that have to stay. Where these have `*`, no bypass has it, and the others are named
    // below.
    let allowed = allowed_names(listener, owner);
    if !allowed.contains(&HostPattern::Any) {
        found.push(Connections {
            among: BTreeSet::new(),
            but: allowed.clone(),
        });
    }
    // Of those that stay, the ones that lead to a bypass all the same.
    let among = allowed_bypasses(listener, &allowed, bypasses);
    if !among.is_empty() {
        let among_table = table(&among);
        let but = allowed
            .into_iter()
            .filter(|name| !among.contains(name) && covers(&among_table, name))
            .collect();
        found.push(Connections { among, but });
    }
    found
}

/// The server names of the owner, and of connections that are not HTTP: istiod would close all of
/// these, since for TCP it drops the hosts of a denial.
fn allowed_names(listener: &Listener, owner: &FilterChain) -> BTreeSet<HostPattern> {
    listener
        .chains
        .iter()
        .filter(|chain| !matches!(chain.service, Service::Https(_)))
        .chain([owner])
        .flat_map(|chain| chain.server_names.iter().cloned())
        .collect()
}

/// Server names that allowed ones cover, and that lead to a bypass.
fn allowed_bypasses(
    listener: &Listener,
    allowed: &BTreeSet<HostPattern>,
    bypasses: &Places,
) -> BTreeSet<HostPattern> {
    // Names of a bypass below an allowed wildcard.
    let allowed_table = table(allowed);
    let mut found: BTreeSet<HostPattern> = chains_at(listener, bypasses)
        .flat_map(|chain| &chain.server_names)
        .filter(|name| covers(&allowed_table, name))
        .cloned()
        .collect();
    // Names of an owner on another listener, which lead to a bypass on this one.
    let table = &listener.by_server_name;
    let leads_to_bypass = |name: &&HostPattern| {
        table
            .get(name)
            .or_else(|| table.covering(name).next())
            .is_some_and(|place| bypasses.contains(place))
    };
    found.extend(allowed.iter().filter(leads_to_bypass).cloned());
    found
}

/// A table to compare patterns with.
pub(super) fn table<'p>(patterns: impl IntoIterator<Item = &'p HostPattern>) -> HostTable<()> {
    let mut table = HostTable::default();
    for pattern in patterns {
        table.insert(pattern.clone(), ());
    }
    table
}

/// Whether a pattern of a table covers every host of another.
fn covers(table: &HostTable<()>, pattern: &HostPattern) -> bool {
    table.get(pattern).is_some() || table.covering(pattern).next().is_some()
}
