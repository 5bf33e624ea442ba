//! What was checked: the listeners and their servers, those with nothing wrong too.

use std::collections::HashMap;

use crate::{Listener, Model, ServerId, Workload};

/// A listener that clients begin TLS with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedListener {
    /// The pods, `namespace/name`.
    pub workload: String,
    /// Its name in Envoy.
    pub name: String,
    /// The servers that it has filter chains of.
    pub servers: Vec<CheckedServer>,
}

/// A server of such a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedServer {
    /// Its name, as findings have it.
    pub name: String,
    /// The server names that lead to it.
    pub hosts: Vec<String>,
}

pub(super) fn listeners(model: &Model) -> Vec<CheckedListener> {
    let tls = |workload: &Workload| {
        let listeners = workload
            .listeners
            .iter()
            .filter(|listener| listener.is_tls());
        listeners
            .map(|listener| checked(workload, listener))
            .collect::<Vec<_>>()
    };
    model.workloads.iter().flat_map(tls).collect()
}

fn checked(workload: &Workload, listener: &Listener) -> CheckedListener {
    let mut places: HashMap<&ServerId, usize> = HashMap::new();
    let mut servers: Vec<CheckedServer> = Vec::new();
    for chain in &listener.chains {
        let id = &chain.server.id;
        let place = *places.entry(id).or_insert(servers.len());
        if place == servers.len() {
            servers.push(CheckedServer {
                name: id.to_string(),
                hosts: Vec::new(),
            });
        }
        if let Some(server) = servers.get_mut(place) {
            server
                .hosts
                .extend(chain.server_names.iter().map(ToString::to_string));
        }
    }
    CheckedListener {
        workload: workload.full_name(),
        name: listener.name(),
        servers,
    }
}
