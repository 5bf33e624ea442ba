//! Filter chains grouped by the names in their certificates, so that few sets represent many
//! certificates.
//!
//! Without this, certificates that share a wildcard and differ in one name each would be as many sets,
//! and each set would cover all hosts of the wildcard. Therefore names that make no difference are left
//! out, and a name in many sets becomes a set of its own. All sets together then have hardly more hosts
//! than the listener.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rule::HostPattern;

use super::super::index::ServerIndex;
use super::super::listener_hosts::{CoalescedConnection, ListenerHosts};
use crate::Credential;

/// How many sets may have a name before it becomes a set of its own.
const MANY: usize = 20;

/// A connection, and the credential with its certificate.
#[derive(Clone, Copy)]
pub(super) struct CertificateUser<'h> {
    pub(super) connection: CoalescedConnection<'h>,
    pub(super) credential: &'h Credential,
}

/// A connection and the names in its certificate. A filter chain with several certificates has several.
pub(super) struct PresentedNames<'h> {
    pub(super) user: CertificateUser<'h>,
    pub(super) names: Vec<HostPattern>,
}

/// Names, and the connections whose certificates have all of them. A connection may be in several sets.
pub(super) struct NameSet<'h> {
    pub(super) names: Vec<HostPattern>,
    pub(super) users: Vec<CertificateUser<'h>>,
}

/// The sets of names. Sets that many certificates share come first.
pub(super) fn name_sets<'h>(
    hosts: &ListenerHosts<'h>,
    mut presented: Vec<PresentedNames<'h>>,
) -> Vec<NameSet<'h>> {
    // Names that make no difference would keep sets apart that cover the same hosts.
    remove_useless_names(hosts, &mut presented);
    let mut sets = grouped_by_names(presented);
    // Each name that many sets share moves to a set of its own.
    let common = common_names(&sets);
    let mut own_sets: BTreeMap<HostPattern, Vec<CertificateUser<'h>>> = BTreeMap::new();
    for set in &mut sets {
        for name in set.names.extract_if(.., |name| common.contains(name)) {
            own_sets
                .entry(name)
                .or_default()
                .extend_from_slice(&set.users);
        }
    }
    // Sets that differed only in such names are equal now, so they are grouped again.
    let remaining = sets
        .into_iter()
        .flat_map(|NameSet { names, users }| {
            users.into_iter().map(move |user| PresentedNames {
                user,
                names: names.clone(),
            })
        })
        .collect();
    own_sets
        .into_iter()
        .map(|(name, users)| NameSet {
            names: vec![name],
            users,
        })
        .chain(grouped_by_names(remaining))
        .collect()
}

/// One set for each list of names, sorted; connections without names are left out.
fn grouped_by_names(presented: Vec<PresentedNames<'_>>) -> Vec<NameSet<'_>> {
    let mut sets: BTreeMap<Vec<HostPattern>, Vec<CertificateUser<'_>>> = BTreeMap::new();
    for PresentedNames { user, names } in presented {
        if !names.is_empty() {
            sets.entry(names).or_default().push(user);
        }
    }
    sets.into_iter()
        .map(|(names, users)| NameSet { names, users })
        .collect()
}

/// The names that more than [`MANY`] sets have.
fn common_names(sets: &[NameSet<'_>]) -> HashSet<HostPattern> {
    let mut counts: HashMap<&HostPattern, usize> = HashMap::new();
    for name in sets.iter().flat_map(|set| &set.names) {
        *counts.entry(name).or_default() += 1;
    }
    counts
        .into_iter()
        .filter(|(_, sets)| *sets > MANY)
        .map(|(name, _)| name.clone())
        .collect()
}

/// Removes the names that cover no host of another server, and exact names beside a wildcard that
/// covers them.
fn remove_useless_names(hosts: &ListenerHosts<'_>, presented: &mut [PresentedNames<'_>]) {
    let useful = names_for_other_servers(hosts, presented);
    for PresentedNames { names, .. } in presented {
        let wildcards: Vec<HostPattern> = names
            .iter()
            .filter(|name| matches!(name, HostPattern::Suffix(_)))
            .cloned()
            .collect();
        names.retain(|name| useful.contains(name) && !is_redundant(name, &wildcards));
    }
}

/// The names that cover a host of a server other than the one server that presents them.
fn names_for_other_servers(
    hosts: &ListenerHosts<'_>,
    presented: &[PresentedNames<'_>],
) -> HashSet<HostPattern> {
    // The servers that present each name.
    let mut users: HashMap<&HostPattern, BTreeSet<ServerIndex>> = HashMap::new();
    for PresentedNames { user, names } in presented {
        for name in names {
            users
                .entry(name)
                .or_default()
                .insert(user.connection.chain.server);
        }
    }
    users
        .into_iter()
        .filter(|(name, users)| {
            // The servers whose hosts the name covers.
            let owners: BTreeSet<ServerIndex> = hosts
                .covered_by(std::slice::from_ref(*name))
                .into_iter()
                .map(|host| host.chain.server)
                .collect();
            // A pair needs a user and an owner that differ.
            owners.len() > 1 || (owners.len() == 1 && owners != *users)
        })
        .map(|(name, _)| name.clone())
        .collect()
}

/// Whether an exact name adds nothing to the wildcards of the same certificates.
fn is_redundant(name: &HostPattern, wildcards: &[HostPattern]) -> bool {
    matches!(name, HostPattern::Exact(_))
        && wildcards
            .iter()
            .any(|wildcard| name.is_certified_by(wildcard))
}
