//! The connections, selected by SNI, on which requests for protected hosts are denied.

use std::collections::BTreeSet;

use rule::HostPattern;
use rule::host::HostTable;

use super::Connections;
use crate::listener::ChainKind;
use crate::{FilterChain, Listener};

/// The indices of filter chains in [`Listener::chains`].
pub(super) type ChainIndices = BTreeSet<usize>;

/// The filter chains with some indices.
pub(super) fn chains_at<'m>(
    listener: &'m Listener,
    indices: &ChainIndices,
) -> impl Iterator<Item = &'m FilterChain> {
    indices
        .iter()
        .filter_map(|index| listener.chains.get(*index))
}

/// The connections of a listener on which requests for protected hosts are denied.
pub(super) fn connections(
    listener: &Listener,
    owner: &FilterChain,
    bypasses: &ChainIndices,
) -> Vec<Connections> {
    let mut found = Vec::new();
    // Deny on all connections except the allowed ones. If `*` is allowed, no bypass has it, and the second
    // part names the connections to deny on.
    let allowed = allowed_names(listener, owner);
    if !allowed.contains(&HostPattern::Any) {
        found.push(Connections {
            among: BTreeSet::new(),
            but: allowed.clone(),
        });
    }
    // Deny on connections with an allowed name too, if Envoy selects a bypass for them.
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

/// The server names whose connections a denial must not match as a whole: the names of the owner, and the
/// names of chains that are not HTTP. istiod would close all connections of the latter, because for TCP it
/// ignores the hosts of a denial.
fn allowed_names(listener: &Listener, owner: &FilterChain) -> BTreeSet<HostPattern> {
    listener
        .chains
        .iter()
        .filter(|chain| !matches!(chain.kind, ChainKind::Https(_)))
        .chain([owner])
        .flat_map(|chain| chain.server_names.iter().cloned())
        .collect()
}

/// The server names that allowed names cover and for which Envoy selects a bypass.
fn allowed_bypasses(
    listener: &Listener,
    allowed: &BTreeSet<HostPattern>,
    bypasses: &ChainIndices,
) -> BTreeSet<HostPattern> {
    // The names of a bypass that an allowed wildcard covers.
    let allowed_table = table(allowed);
    let mut found: BTreeSet<HostPattern> = chains_at(listener, bypasses)
        .flat_map(|chain| &chain.server_names)
        .filter(|name| covers(&allowed_table, name))
        .cloned()
        .collect();
    // The owner can be on another listener. On this one its names can select a bypass.
    for name in allowed {
        let table = &listener.by_server_name;
        let selected = table.get(name).or_else(|| table.covering(name).next());
        if selected.is_some_and(|index| bypasses.contains(index)) {
            found.insert(name.clone());
        }
    }
    found
}

/// A table of patterns, which finds those that cover another pattern.
pub(super) fn table<'p>(patterns: impl IntoIterator<Item = &'p HostPattern>) -> HostTable<()> {
    let mut table = HostTable::default();
    for pattern in patterns {
        table.insert(pattern.clone(), ());
    }
    table
}

/// Whether a pattern of a table covers every host of another pattern.
fn covers(table: &HostTable<()>, pattern: &HostPattern) -> bool {
    table.get(pattern).is_some() || table.covering(pattern).next().is_some()
}
