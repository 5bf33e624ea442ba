//! The servers of a listener as the filter's configuration lists them.

use std::collections::{BTreeMap, BTreeSet};

use super::Listener;
use crate::server::{Server, ServerId};

impl Listener {
    /// The servers whose hosts overlap: by label, their server names. The filter needs them. For all other
    /// servers a route proves that a request is on the right server, because no other server has routes for
    /// its host.
    #[must_use]
    pub fn overlapping_servers(&self) -> BTreeMap<String, Vec<String>> {
        let mut overlapping: BTreeSet<&ServerId> = BTreeSet::new();
        for chain in self.chains.iter().filter(|chain| chain.tls.is_some()) {
            // The servers with a wider host, which would have routes for the narrower one too.
            let wider: Vec<&ServerId> = chain
                .server_names
                .iter()
                .flat_map(|name| self.by_server_name.covering(name))
                .filter_map(|index| self.chains.get(*index))
                .filter(|wider| wider.tls.is_some() && wider.server.id != chain.server.id)
                .map(|wider| &wider.server.id)
                .collect();
            if !wider.is_empty() {
                overlapping.insert(&chain.server.id);
                overlapping.extend(wider);
            }
        }
        // A listed server is listed with all its names, so that the filter can compare any two of them.
        self.servers_where(|server| overlapping.contains(&server.id))
    }

    /// All TLS servers, including those that do not terminate TLS: by label, their server names. Each name
    /// appears once, so that the filter accepts the table even if Envoy refuses the listener.
    #[must_use]
    pub fn servers(&self) -> BTreeMap<String, Vec<String>> {
        self.servers_where(|_| true)
    }

    fn servers_where(&self, is_listed: impl Fn(&Server) -> bool) -> BTreeMap<String, Vec<String>> {
        let mut labels: BTreeMap<String, &Server> = BTreeMap::new();
        let mut servers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (index, chain) in self.chains.iter().enumerate() {
            if chain.tls.is_none() || !is_listed(&chain.server) {
                continue;
            }
            // A server with several passthrough chains keeps its label.
            let label = free_label(&labels, &chain.server);
            labels.insert(label.clone(), &chain.server);
            // Of two chains with one name, Envoy would use the first.
            servers.entry(label).or_default().extend(
                chain
                    .server_names
                    .iter()
                    .filter(|host| self.by_server_name.get(host) == Some(&index))
                    .map(ToString::to_string),
            );
        }
        // The filter refuses a server without hosts.
        servers.retain(|_, hosts| {
            hosts.sort_unstable();
            hosts.dedup();
            !hosts.is_empty()
        });
        servers
    }
}

/// The label of a server, with a number if another server has the same label: a Gateway of Istio and one of
/// the Gateway API can have one name.
fn free_label(taken: &BTreeMap<String, &Server>, server: &Server) -> String {
    let label = server.id.label();
    let mut free = label.clone();
    let mut number = 1_u32;
    while taken.get(&free).is_some_and(|other| other.id != server.id) {
        number += 1;
        free = format!("{label}~{number}");
    }
    free
}
