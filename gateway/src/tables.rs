//! The `servers` of the filter's configuration for the gateways that a resource reaches.

use std::collections::BTreeMap;

use super::{Listener, Workload};

/// Hosts by the label of their server.
pub type Servers = BTreeMap<String, Vec<String>>;

/// One table, and the ports that Envoy listens on where it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The ports, in ascending order.
    pub ports: Vec<u16>,
    pub servers: Servers,
}

/// The tables of some workloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// By their lowest port; one where all ports have the same servers.
    pub tables: Vec<Table>,
    /// Whether the input leaves no doubt about the ports.
    pub ports_are_certain: bool,
}

/// Which servers a table lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Those whose hosts overlap, which is enough on gateways of istiod.
    Overlapping,
    All,
}

/// A port that has other servers elsewhere, so that no one table is right for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The port that Envoy listens on.
    pub port: u16,
    /// Two workloads that differ there; the same one twice where it has two addresses.
    pub workloads: [String; 2],
}

impl Tables {
    /// The tables of the TLS listeners of workloads.
    ///
    /// # Errors
    /// Two listeners that a resource cannot tell apart, on one port of different workloads or
    /// addresses, have different servers.
    pub fn of<'m>(
        workloads: impl IntoIterator<Item = &'m Workload>,
        listing: Listing,
    ) -> Result<Self, Conflict> {
        let mut by_port: BTreeMap<u16, (String, Servers)> = BTreeMap::new();
        let mut ports_are_certain = true;
        for workload in workloads {
            for listener in workload
                .listeners
                .iter()
                .filter(|listener| listener.is_tls())
            {
                ports_are_certain &= listener.port_is_certain;
                add(&mut by_port, workload, listener, listing)?;
            }
        }
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
