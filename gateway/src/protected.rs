//! The hosts whose client certificates can be bypassed, and the requests to deny for that.
//!
//! Envoy asks for a client certificate in the TLS handshake, before it reads a request. The server name
//! of the connection decides alone whether it does. So the routes of a host are reached without a
//! certificate where another filter chain has them too and does not ask. A client needs no certificate
//! that is good for both hosts to try this: it can send any authority on any connection.

mod connections;
mod merge;
mod search;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use rule::HostPattern;

use super::server::Handling;
use super::{Listener, ServerId, Workload};
use search::Search;

/// What keeps clients without a certificate from the routes of protected hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary {
    /// The requests to deny, in a fixed order.
    pub denials: Vec<Denial>,
    /// The protected hosts that a listener serves without a certificate on connections of their own.
    /// No denial is about them there: the resources say that it is so.
    pub open: BTreeSet<OpenHost>,
    /// The protected hosts whose routes another server has for a wider pattern, so that they can be
    /// reached by another name.
    pub shared: BTreeSet<SharedRoutes>,
    /// What the denials must not reach.
    pub other_listeners: OtherListeners,
    /// Whether the input leaves no doubt about the ports of the denials.
    pub ports_are_certain: bool,
    /// Whether some workloads need other denials than others.
    pub workloads_differ: bool,
}

/// Requests to deny: those for some hosts, on some connections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denial {
    pub hosts: BTreeSet<HostPattern>,
    /// Hosts below the wildcards of [`Self::hosts`] that have a server without client certificates of
    /// their own.
    pub except: BTreeSet<HostPattern>,
    pub connections: Connections,
    /// The ports that Envoy listens on where such requests bypass a certificate.
    pub ports: BTreeSet<u16>,
}

/// Connections by their server names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connections {
    /// The server names; without any, all of them, and connections without a server name.
    pub among: BTreeSet<HostPattern>,
    /// The server names that are left out.
    pub but: BTreeSet<HostPattern>,
}

/// A protected host that is served without a certificate on a connection of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenHost {
    pub host: HostPattern,
    /// The port that Envoy listens on.
    pub port: u16,
    /// The server that does not demand a certificate.
    pub server: ServerId,
}

/// Routes of a protected host that a server without client certificates has for more hosts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SharedRoutes {
    pub host: HostPattern,
    /// The server without client certificates.
    pub server: ServerId,
}

/// Listeners of the same pods that are not those of the denials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OtherListeners {
    None,
    /// Listeners for HTTP in plain text, where a request has no server name and would be denied.
    PlainHttp,
    /// Listeners whose connections istiod would close: for TCP it ignores the hosts of a denial and
    /// keeps the server names (Istio `pilot/pkg/security/authz/model/model.go`, `checkError`).
    Any,
}

impl Boundary {
    /// The denials for workloads that one policy reaches.
    #[must_use]
    pub fn of(workloads: &[&Workload]) -> Self {
        let mut total = Search::default();
        let mut needs = BTreeSet::new();
        for workload in workloads {
            let mut search = Search::default();
            search.workload(workload);
            needs.insert(merge::merged(search.denials.clone()));
            total.denials.append(&mut search.denials);
            total.open.append(&mut search.open);
            total.shared.append(&mut search.shared);
        }
        let denials = merge::merged(total.denials);
        let ports: BTreeSet<u16> = denials
            .iter()
            .flat_map(|denial| &denial.ports)
            .copied()
            .collect();
        let listeners = || workloads.iter().flat_map(|workload| &workload.listeners);
        Self {
            other_listeners: listeners()
                .filter(|listener| {
                    denials
                        .iter()
                        .any(|denial| !denial.ports.contains(&listener.port))
                })
                .map(other_listener)
                .max()
                .unwrap_or(OtherListeners::None),
            ports_are_certain: listeners()
                .filter(|listener| ports.contains(&listener.port))
                .all(|listener| listener.port_is_certain),
            workloads_differ: needs.len() > 1,
            denials,
            open: total.open,
            shared: total.shared,
        }
    }
}

fn other_listener(listener: &Listener) -> OtherListeners {
    let is_plain_http = !listener.is_tls()
        && listener
            .chains
            .iter()
            .all(|chain| chain.server.handling() == Handling::PlainHttp);
    if is_plain_http {
        OtherListeners::PlainHttp
    } else {
        OtherListeners::Any
    }
}
