//! Filter chains by the names in their certificates, so that few sets stand for many certificates.
//!
//! Certificates that share a wildcard and differ in a name each would be as many sets, and each would be
//! good for all hosts of the wildcard. What makes no difference is left out of a set, and a name of many
//! sets is one of its own, so that all sets together have hardly more hosts than the listener.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rule::HostPattern;

use super::super::MANY;
use super::super::site::Site;

/// A filter chain, by place, with the names in its certificates.
pub(super) type Shown = (usize, Vec<HostPattern>);

/// Sets of names, each with the filter chains that show them. A filter chain may be in several. Those
/// of many certificates go first.
pub(super) fn sets(site: &Site<'_>, shown: Vec<Shown>) -> Vec<(Vec<HostPattern>, Vec<usize>)> {
    let mut sets = grouped(reduced(site, shown));
    let mut counts: HashMap<&HostPattern, usize> = HashMap::new();
    for name in sets.values().flat_map(|(names, _)| names) {
        *counts.entry(name).or_default() += 1;
    }
    let common: HashSet<HostPattern> = counts
        .into_iter()
        .filter(|(_, sets)| *sets > MANY)
        .map(|(name, _)| name.clone())
        .collect();
    let mut apart: BTreeMap<String, (Vec<HostPattern>, Vec<usize>)> = BTreeMap::new();
    for (names, places) in sets.values_mut() {
        for name in names.extract_if(.., |name| common.contains(name)) {
            let own = apart
                .entry(name.to_string())
                .or_insert_with(|| (vec![name], Vec::new()));
            own.1.extend_from_slice(places);
        }
    }
    let left = sets
        .into_values()
        .flat_map(|(names, places)| places.into_iter().map(move |place| (place, names.clone())));
    apart
        .into_values()
        .chain(grouped(left.collect()).into_values())
        .collect()
}

fn grouped(shown: Vec<Shown>) -> BTreeMap<Vec<String>, (Vec<HostPattern>, Vec<usize>)> {
    let mut sets: BTreeMap<Vec<String>, (Vec<HostPattern>, Vec<usize>)> = BTreeMap::new();
    for (place, names) in shown {
        if !names.is_empty() {
            let key = names.iter().map(ToString::to_string).collect();
            sets.entry(key).or_insert((names, Vec::new())).1.push(place);
        }
    }
    sets
}

/// Leaves out names that are good for nobody's hosts but those of the servers that show them, and names
/// beside a wildcard that is good for the same.
fn reduced(site: &Site<'_>, mut shown: Vec<Shown>) -> Vec<Shown> {
    let mut users: HashMap<&HostPattern, BTreeSet<usize>> = HashMap::new();
    for (place, names) in &shown {
        for name in names {
            users
                .entry(name)
                .or_default()
                .extend(site.server_of(*place));
        }
    }
    let is_for_others = |name: &HostPattern, users: &BTreeSet<usize>| {
        let candidates = site
            .certified_by(name)
            .iter()
            .filter_map(|at| site.candidate(*at));
        let owners: BTreeSet<usize> = candidates
            .filter_map(|host| site.server_of(host.chain))
            .collect();
        !owners.is_empty() && (owners.len() > 1 || owners != *users)
    };
    let useful: HashSet<HostPattern> = users
        .into_iter()
        .filter(|(name, users)| is_for_others(name, users))
        .map(|(name, _)| name.clone())
        .collect();
    for (_, names) in &mut shown {
        let wildcards: Vec<HostPattern> = names
            .iter()
            .filter(|name| matches!(name, HostPattern::Suffix(_)))
            .cloned()
            .collect();
        names.retain(|name| {
            let is_same =
                |wildcard: &HostPattern| name != wildcard && name.is_certified_by(wildcard);
            useful.contains(name)
                && !(matches!(name, HostPattern::Exact(_)) && wildcards.iter().any(is_same))
        });
    }
    shown
}
