//! Combines denials.

use std::collections::{BTreeMap, BTreeSet};

use super::Denial;

/// The denials in a fixed order. Denials that differ only in their ports, or only in their hosts, become one.
pub(super) fn merged(denials: Vec<Denial>) -> Vec<Denial> {
    // Ports first: hosts can share a denial only if they have the same ports.
    let mut by_port: BTreeMap<Denial, BTreeSet<u16>> = BTreeMap::new();
    for mut denial in denials {
        let ports = std::mem::take(&mut denial.ports);
        by_port.entry(denial).or_default().extend(ports);
    }
    // Then hosts, for equal ports and connections.
    let mut by_host: BTreeMap<Denial, BTreeSet<_>> = BTreeMap::new();
    for (mut denial, ports) in by_port {
        let hosts = std::mem::take(&mut denial.hosts);
        by_host
            .entry(Denial { ports, ..denial })
            .or_default()
            .extend(hosts);
    }
    let mut merged: Vec<Denial> = by_host
        .into_iter()
        .map(|(denial, hosts)| Denial { hosts, ..denial })
        .collect();
    merged.sort();
    merged
}
