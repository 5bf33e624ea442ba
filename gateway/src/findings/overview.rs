//! The checked listeners and their servers, with or without findings.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::context::Context;
use super::{ListenerAddress, WorkloadName};
use crate::{Listener, ServerId};

/// A listener with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedListener {
    pub workload: WorkloadName,
    pub address: ListenerAddress,
    /// The servers of its filter chains.
    pub servers: Vec<CheckedServer>,
}

/// A server of a [`CheckedListener`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedServer {
    pub id: ServerId,
    /// The server names that select a filter chain of the server.
    pub hosts: Vec<String>,
}

pub(super) fn checked_listeners(context: &Context<'_>) -> Vec<CheckedListener> {
    context
        .tls_listeners()
        .map(|(workload, listener)| CheckedListener {
            workload: workload.into(),
            address: listener.into(),
            servers: checked_servers(listener),
        })
        .collect()
}

/// The servers of a listener, in the order of its filter chains.
fn checked_servers(listener: &Listener) -> Vec<CheckedServer> {
    let mut hosts_by_server: HashMap<&ServerId, Vec<String>> = HashMap::new();
    let mut order = Vec::new();
    for chain in &listener.chains {
        // istiod makes a filter chain for each TLS route of a server with passthrough, so a server can
        // have several.
        let hosts = match hosts_by_server.entry(&chain.server.id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                order.push(&chain.server.id);
                new.insert(Vec::new())
            }
        };
        hosts.extend(chain.server_names.iter().map(ToString::to_string));
    }
    order
        .into_iter()
        .map(|id| CheckedServer {
            id: id.clone(),
            hosts: hosts_by_server.remove(id).unwrap_or_default(),
        })
        .collect()
}
