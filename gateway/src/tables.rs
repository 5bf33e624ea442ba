//! The `servers` of the filter's configuration, for the gateways that a plugin applies to.

use std::collections::BTreeMap;

use super::{Listener, Workload};

/// The hosts of each server, by the label of the server.
pub type Servers = BTreeMap<String, Vec<String>>;

/// The servers on some ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The ports that Envoy listens on, in ascending order.
    pub ports: Vec<u16>,
    pub servers: Servers,
}

/// The tables for some workloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// The tables, sorted by their lowest port. Ports with the same servers share a table.
    pub tables: Vec<Table>,
    /// Whether the input determines all ports.
    pub ports_are_certain: bool,
}

/// The servers that a table lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// The servers whose hosts overlap. They are sufficient on gateways that istiod configures.
    Overlapping,
    All,
}

/// A port on which two listeners have different servers, so that one table cannot describe both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The port that Envoy listens on.
    pub port: u16,
    /// The names of the two workloads; one name twice if its listeners have different addresses.
    pub workloads: [String; 2],
}

impl Tables {
    /// The tables of the TLS listeners of workloads.
    ///
    /// # Errors
    /// Two listeners on one port of different workloads or addresses have different servers. A plugin cannot
    /// distinguish such listeners.
    pub fn new<'m>(
        workloads: impl IntoIterator<Item = &'m Workload>,
        listing: Listing,
    ) -> Result<Self, Conflict> {
        let mut by_port: BTreeMap<u16, (String, Servers)> = BTreeMap::new();
        let mut ports_are_certain = true;
        for workload in workloads {
            for listener in &workload.listeners {
                // Requests in plain text have no SNI that the filter could compare.
                if !listener.is_tls() {
                    continue;
                }
                ports_are_certain &= listener.port_is_certain;
                add(&mut by_port, workload, listener, listing)?;
            }
        }
        // Ports with the same servers share a table, so that one plugin can serve them.
        let mut tables: Vec<Table> = Vec::new();
        for (port, (_, servers)) in by_port {
            match tables.iter_mut().find(|table| table.servers == servers) {
                Some(table) => table.ports.push(port),
                None => tables.push(Table {
                    ports: vec![port],
                    servers,
                }),
            }
        }
        Ok(Self {
            tables,
            ports_are_certain,
        })
    }
}

fn add(
    by_port: &mut BTreeMap<u16, (String, Servers)>,
    workload: &Workload,
    listener: &Listener,
    listing: Listing,
) -> Result<(), Conflict> {
    let name = workload.full_name();
    let servers = match listing {
        Listing::Overlapping => listener.overlapping_servers(),
        Listing::All => listener.servers(),
    };
    // A plugin can be limited to ports. It cannot be limited to addresses, so equal ports need equal servers.
    match by_port.get(&listener.port) {
        Some((other, known)) if *known != servers => Err(Conflict {
            port: listener.port,
            workloads: [other.clone(), name],
        }),
        Some(_) => Ok(()),
        None => {
            by_port.insert(listener.port, (name, servers));
            Ok(())
        }
    }
}
