//! Few denials for many.

use std::collections::{BTreeMap, BTreeSet};

use super::Denial;

/// The same denials, where those that differ in their ports or hosts alone are one, in a fixed order.
pub(super) fn merged(denials: Vec<Denial>) -> Vec<Denial> {
    // First the ports: hosts may share a denial only where all its ports are theirs.
    let mut by_port: BTreeMap<Denial, BTreeSet<u16>> = BTreeMap::new();
    for mut denial in denials {
        let ports = std::mem::take(&mut denial.ports);
        by_port.entry(denial).or_default().extend(ports);
    }
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
