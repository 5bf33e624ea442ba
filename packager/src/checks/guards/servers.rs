//! Whether the servers of a configuration are those of listeners.

use std::collections::{BTreeMap, BTreeSet};

use rule::host::istio_pattern;
use serde_json::Value;

use crate::gateway::Listener;
use crate::gateway::resources::extensions::Extension;

/// What is wrong with the servers that a plugin is told, if anything. Labels are free: only which
/// hosts are together counts.
pub(super) fn stale(guard: &Extension, listeners: &[&Listener]) -> Option<String> {
    let servers = guard.config()?.get("servers")?.as_object()?;
    let mut labels: BTreeMap<String, &str> = BTreeMap::new();
    for (label, hosts) in servers {
        let hosts = hosts
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let patterns = hosts.filter_map(|host| istio_pattern(host).ok());
        labels.extend(patterns.map(|pattern| (pattern.to_string(), label.as_str())));
    }
    let mut unknown: BTreeSet<&str> = labels.keys().map(String::as_str).collect();
    for listener in listeners {
        let expected = listener.servers();
        for host in expected.values().flatten() {
            unknown.remove(host.as_str());
        }
        if let Some(why) = differs(&labels, &expected) {
            return Some(why);
        }
    }
    unknown
        .first()
        .map(|host| format!("no server has {host} any more"))
}

fn differs(
    labels: &BTreeMap<String, &str>,
    expected: &BTreeMap<String, Vec<String>>,
) -> Option<String> {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for (server, hosts) in expected {
        let mut own = None;
        for host in hosts {
            let Some(label) = labels.get(host) else {
                return Some(format!("{host} of {server} is missing"));
            };
            if own.is_some_and(|own| own != *label) {
                return Some(format!(
                    "the hosts of {server} are apart, though they are one server"
                ));
            }
            own = Some(*label);
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
