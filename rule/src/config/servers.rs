//! The table of servers whose hosts overlap.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::host::{Host, HostPattern, HostTable};

/// The listed TLS servers of a gateway. A server is one entry of Istio's `Gateway.spec.servers` or
/// one listener of the Gateway API; in Envoy it is one filter chain.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    labels: Vec<String>,
    table: HostTable<ServerIndex>,
    /// The patterns that a wider pattern of another server covers too. Most gateways have few, so
    /// this table is the cheaper one to look in.
    contested: HostTable<ServerIndex>,
    overlaps: usize,
}

/// The index of one of [`Servers`], in the order of their labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServerIndex(usize);

impl Servers {
    /// The number of servers.
    #[must_use]
    pub fn count(&self) -> usize {
        self.labels.len()
    }

    /// The number of patterns that a wider pattern of another server covers.
    #[must_use]
    pub fn overlaps(&self) -> usize {
        self.overlaps
    }

    /// The server with the most specific pattern for a host, as Envoy picks a filter chain
    /// (`FilterChainMatch.server_names`).
    pub(crate) fn of(&self, host: Host<'_>) -> Option<ServerIndex> {
        self.table.best(host).copied()
    }

    /// Whether patterns of two servers cover a host. Then the narrower of two such patterns is a
    /// contested one: it covers the host, and the wider one covers whatever it covers.
    pub(crate) fn is_contested(&self, host: Host<'_>) -> bool {
        self.contested.best(host).is_some()
    }

    pub(crate) fn label(&self, server: ServerIndex) -> Option<&str> {
        self.labels.get(server.0).map(String::as_str)
    }

    /// The hosts of each server, by label, sorted.
    #[must_use]
    pub fn hosts(&self) -> BTreeMap<&str, Vec<String>> {
        let mut hosts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (pattern, server) in self.table.iter() {
            if let Some(label) = self.label(*server) {
                hosts.entry(label).or_default().push(pattern.to_string());
            }
        }
        for hosts in hosts.values_mut() {
            hosts.sort_unstable();
        }
        hosts
    }

    /// Adds a server without hosts.
    pub(super) fn add(&mut self, label: &str) -> ServerIndex {
        self.labels.push(label.into());
        ServerIndex(self.labels.len() - 1)
    }

    /// Adds a pattern to a server. The error is another server that has the pattern already.
    pub(super) fn assign(
        &mut self,
        pattern: HostPattern,
        server: ServerIndex,
    ) -> Result<(), ServerIndex> {
        // The same pattern twice in one server has no effect.
        match self.table.get(&pattern) {
            Some(owner) if *owner != server => Err(*owner),
            _ => {
                self.table.insert(pattern, server);
                Ok(())
            }
        }
    }

    /// Finds the overlaps. Call this after every pattern has its server.
    pub(super) fn finish(mut self) -> Self {
        // A wider pattern of the same server is harmless: both lead to one filter chain.
        for (pattern, server) in self.table.iter() {
            if self.table.covering(&pattern).any(|wider| wider != server) {
                self.contested.insert(pattern, *server);
                self.overlaps += 1;
            }
        }
        self
    }
}
