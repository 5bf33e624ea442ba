//! Which servers of a workload there are in the end, and on which port: the oldest goes first, and
//! what gets in its way is left out (Istio `pilot/pkg/model/gateway.go`, `mergeGateways`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::server::{Handling, Protocol, Server, ServerId};

/// The address a server without one listens on.
const ANY_ADDRESS: &str = "0.0.0.0";

/// A server that a workload leaves out.
#[derive(Clone, Debug)]
pub struct Dropped {
    /// The server.
    pub server: Arc<Server>,
    /// The port Envoy would listen on.
    pub port: u16,
    /// Why.
    pub reason: DropReason,
}

/// Why a server is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// An older server on the address and port has the same host.
    SameHost {
        /// The host as both have it.
        host: String,
        /// The older server.
        winner: ServerId,
    },
    /// An older server on the address and port speaks plain text.
    PlainText {
        /// The older server.
        winner: ServerId,
    },
    /// Another server of the Gateway has the same port name.
    SamePortName {
        /// The other server.
        winner: ServerId,
    },
}

/// An address and a port that Envoy listens on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) port: u16,
    pub(crate) bind: String,
}

/// What is left of the servers of a workload.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    pub(crate) places: BTreeMap<Place, Vec<Arc<Server>>>,
    pub(crate) dropped: Vec<Dropped>,
}

/// Merges servers, each with the port Envoy listens on, the oldest first.
pub(crate) fn merge(servers: impl IntoIterator<Item = (Arc<Server>, u16)>) -> Merged {
    let (mut state, mut merged) = (State::default(), Merged::default());
    for (server, port) in servers {
        if let Err(reason) = state.admit(&server, port) {
            merged.dropped.push(Dropped {
                server,
                port,
                reason,
            });
            continue;
        }
        let bind = if server.bind.is_empty() {
            ANY_ADDRESS
        } else {
            &server.bind
        };
        let place = Place {
            port,
            bind: bind.to_owned(),
        };
        merged.places.entry(place).or_default().push(server);
    }
    merged
}

/// What was admitted so far.
#[derive(Default)]
struct State {
    /// By port and host, both as they are written, the last server and its address.
    hosts: HashMap<(u16, String), Holder>,
    ports: HashSet<u16>,
    /// By port, the server in plain text that others are measured by.
    plain: HashMap<u16, (Arc<Server>, Protocol)>,
    places: HashSet<(u16, Protocol, String)>,
    route_tables: HashMap<String, ServerId>,
}

struct Holder {
    bind: String,
    server: ServerId,
}

impl State {
    fn admit(&mut self, server: &Arc<Server>, port: u16) -> Result<(), DropReason> {
        if server.tls.is_some() {
            self.claim_hosts(server, port)?;
        }
        let route_table = server.route_table(port);
        let plain = self
            .plain
            .get(&port)
            .map(|(plain, protocol)| (Arc::clone(plain), *protocol));
        if let Some((plain, protocol)) = plain {
            if plain.bind == server.bind {
                let both_http = (protocol, server.protocol) == (Protocol::Http, Protocol::Http);
                let winner = plain.id.clone();
                return if both_http {
                    Ok(())
                } else {
                    Err(DropReason::PlainText { winner })
                };
            }
        } else if self.ports.contains(&port) && server.handling() == Handling::Https {
            self.check_port_name(route_table.as_deref())?;
        }
        self.add(server, port, route_table);
        Ok(())
    }

    /// Only servers on one address get in each other's way; addresses are compared as they are
    /// written (Istio `CheckDuplicates`).
    fn claim_hosts(&mut self, server: &Server, port: u16) -> Result<(), DropReason> {
        for host in &server.hosts {
            let holder = self.hosts.get(&(port, host.clone()));
            if let Some(holder) = holder.filter(|holder| holder.bind == server.bind) {
                let winner = holder.server.clone();
                return Err(DropReason::SameHost {
                    host: host.clone(),
                    winner,
                });
            }
        }
        for host in &server.hosts {
            let holder = Holder {
                bind: server.bind.clone(),
                server: server.id.clone(),
            };
            self.hosts.insert((port, host.clone()), holder);
        }
        Ok(())
    }

    fn check_port_name(&self, route_table: Option<&str>) -> Result<(), DropReason> {
        match route_table.and_then(|table| self.route_tables.get(table)) {
            Some(winner) => Err(DropReason::SamePortName {
                winner: winner.clone(),
            }),
            None => Ok(()),
        }
    }

    fn add(&mut self, server: &Arc<Server>, port: u16, route_table: Option<String>) {
        self.ports.insert(port);
        let is_new = self
            .places
            .insert((port, server.protocol, server.bind.clone()));
        if is_new && !server.is_tls() {
            self.plain
                .insert(port, (Arc::clone(server), server.protocol));
        }
        if let Some(table) = route_table {
            self.route_tables
                .entry(table)
                .or_insert_with(|| server.id.clone());
        }
    }
}
