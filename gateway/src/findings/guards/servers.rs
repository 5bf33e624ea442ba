//! Whether the servers of a configuration are those of listeners.

use std::collections::{BTreeMap, BTreeSet};

use rule::{Config, Document, Rule};
use serde::Deserialize as _;

use crate::Listener;
use crate::resources::extensions::Extension;

/// What is wrong with the servers that a plugin lists, if anything. Labels are free: only which hosts
/// are together counts, and only servers whose hosts overlap have to be listed.
pub(super) fn stale(guard: &Extension, listeners: &[&Listener]) -> Option<String> {
    let listed = listed(guard)?;
    let mut known = BTreeSet::new();
    for listener in listeners {
        let overlapping = listener.overlapping_servers();
        for (server, hosts) in &overlapping {
            if let Some(host) = hosts.iter().find(|host| !listed.contains_key(*host)) {
                return Some(format!("{host} of {server} is missing"));
            }
        }
        let servers = listener.servers();
        if let Some(why) = differs(&listed, &servers) {
            return Some(why);
        }
        known.extend(servers.into_values().flatten());
    }
    // A host that no server has any more is of no use.
    let unknown = listed.keys().find(|host| !known.contains(*host))?;
    Some(format!("no server has {unknown} any more"))
}

/// The label of each host that a plugin lists. `None` where it has no table, because its rule is
/// `exact` or its configuration invalid.
fn listed(guard: &Extension) -> Option<BTreeMap<String, String>> {
    let document = match guard.config() {
        Some(config) => Document::deserialize(config).ok()?,
        None => Document::Null,
    };
    let config = Config::parse(&document).ok()?;
    let Rule::Servers(servers) = config.rule() else {
        return None;
    };
    let mut labels = BTreeMap::new();
    for (label, hosts) in servers.hosts() {
        for host in hosts {
            labels.insert(host, label.to_owned());
        }
    }
    Some(labels)
}

/// How the listed hosts differ from the servers that have them.
fn differs(
    listed: &BTreeMap<String, String>,
    servers: &BTreeMap<String, Vec<String>>,
) -> Option<String> {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for (server, hosts) in servers {
        let mut own = None;
        for label in hosts.iter().filter_map(|host| listed.get(host)) {
            // One server must not be listed as two.
            if own.is_some_and(|own| own != label) {
                return Some(format!(
                    "the hosts of {server} are apart, though they are one server"
                ));
            }
            own = Some(label);
            // Two servers must not be listed as one.
            let other = taken.insert(label, server);
            if let Some(other) = other.filter(|other| other != server) {
                return Some(format!(
                    "{other} and {server} are together as {label}, though they are two servers"
                ));
            }
        }
    }
    None
}
