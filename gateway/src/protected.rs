//! The hosts whose client certificates can be bypassed, and the requests that a policy has to deny.
//!
//! Envoy demands a client certificate in the TLS handshake, before it reads a request. Only the SNI of the
//! connection decides whether it does. So a client without a certificate reaches the routes of a protected
//! host if another filter chain has the same routes and does not demand one. This does not depend on the
//! server's certificate: a client can send any authority on any connection.

mod connections;
mod deny_rules;
mod merge;
mod search;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use rule::host::HostTable;
use rule::{Host, HostPattern};

use super::resources::{ResourceName, Resources};
use super::server::Handling;
use super::{Listener, ServerId, Workload};
use deny_rules::DenyRules;
use search::Search;

/// The requests to deny, so that clients without a certificate do not reach the routes of protected hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary {
    /// The requests to deny, in a fixed order.
    pub denials: Vec<Denial>,
    /// The protected hosts that some listener serves without a certificate on their own connections. The
    /// resources allow this explicitly, so no denial is generated for them there.
    pub open: BTreeSet<OpenHost>,
    /// The protected hosts whose routes another server has for a wider pattern, so that clients reach them
    /// with a different authority.
    pub shared: BTreeSet<SharedRoutes>,
    /// The listeners of the same pods that the denials must not affect.
    pub other_listeners: OtherListeners,
    /// Whether the input determines the ports of the denials.
    pub ports_are_certain: bool,
    /// Whether the workloads need different denials.
    pub workloads_differ: bool,
}

/// Requests to deny: requests for some hosts, on some connections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denial {
    pub hosts: BTreeSet<HostPattern>,
    /// Hosts that match a wildcard of [`Self::hosts`] and have their own server without client
    /// certificates.
    pub except: BTreeSet<HostPattern>,
    pub connections: Connections,
    /// The ports that Envoy listens on where such requests bypass a certificate.
    pub ports: BTreeSet<u16>,
}

/// Connections, selected by SNI.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connections {
    /// The SNIs that are included; an empty set means all, and connections without SNI.
    pub among: BTreeSet<HostPattern>,
    /// The SNIs that are excluded.
    pub but: BTreeSet<HostPattern>,
}

/// A protected host that a listener serves without a certificate on its own connections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenHost {
    pub host: HostPattern,
    /// The port that Envoy listens on.
    pub port: u16,
    /// The server without client certificates.
    pub server: ServerId,
}

/// Routes of a protected host that a server without client certificates also has for other hosts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SharedRoutes {
    pub host: HostPattern,
    /// The server without client certificates.
    pub server: ServerId,
}

/// The listeners of the same pods whose ports are not in the denials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OtherListeners {
    None,
    /// Listeners for HTTP in plain text. Their requests have no SNI, so a denial would match them.
    PlainHttp,
    /// Listeners for TCP or TLS, whose connections the denials would close: for TCP istiod ignores the hosts of
    /// a denial and keeps the SNIs (Istio `pilot/pkg/security/authz/model/model.go`, `checkError`).
    Any,
}

impl Boundary {
    /// The boundary of workloads that one policy applies to.
    #[must_use]
    pub fn new(workloads: &[&Workload]) -> Self {
        let mut total = Search::default();
        let mut needs = BTreeSet::new();
        for workload in workloads {
            // Chains of different pods do not share connections, so each workload is searched alone.
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
        // A policy cannot be limited to a listener, only to ports.
        let listeners: Vec<&Listener> = workloads
            .iter()
            .flat_map(|workload| &workload.listeners)
            .collect();
        Self {
            other_listeners: listeners
                .iter()
                .filter(|listener| {
                    denials
                        .iter()
                        .any(|denial| !denial.ports.contains(&listener.port))
                })
                .map(|listener| other_listener(listener))
                .max()
                .unwrap_or(OtherListeners::None),
            ports_are_certain: listeners
                .iter()
                .filter(|listener| ports.contains(&listener.port))
                .all(|listener| listener.port_is_certain),
            workloads_differ: needs.len() > 1,
            denials,
            open: total.open,
            shared: total.shared,
        }
    }
}

impl Boundary {
    /// Whether the rules have to be limited to ports that the input does not determine.
    #[must_use]
    pub fn needs_unknown_ports(&self) -> bool {
        !self.ports_are_certain && self.other_listeners == OtherListeners::Any
    }
}

/// The protected hosts of a workload whose routes clients reach without a certificate, each with the port on
/// which they do.
pub(crate) fn bypasses(workload: &Workload) -> BTreeSet<(HostPattern, u16)> {
    let mut search = Search::default();
    search.workload(workload);
    let denied = search.denials.into_iter().flat_map(|denial| {
        let ports = denial.ports;
        denial.hosts.into_iter().flat_map(move |host| {
            ports
                .clone()
                .into_iter()
                .map(move |port| (host.clone(), port))
        })
    });
    let open = search.open.into_iter().map(|open| (open.host, open.port));
    denied.chain(open).collect()
}

/// What policies do with the requests that bypass the client certificate of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeniedRequests {
    /// The policies that deny some of them.
    pub(crate) policies: BTreeSet<ResourceName>,
    /// Whether the policies deny all of them.
    pub(crate) are_all: bool,
    /// Whether the host is a wildcard. No rule for its hosts matches every authority with a port.
    pub(crate) has_wildcard: bool,
    /// How clients reach the routes without such a request.
    pub(crate) other_way: Option<OtherWay>,
}

/// A way to the routes of a protected host without its certificate that no rule for the host closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OtherWay {
    /// A server has the routes for a wider wildcard, so clients reach them by other hosts.
    Hosts(ServerId),
    /// A server of another port serves the host without a certificate.
    Port(u16, ServerId),
}

impl DeniedRequests {
    fn new(host: &HostPattern) -> Self {
        Self {
            policies: BTreeSet::new(),
            are_all: true,
            has_wildcard: !matches!(host, HostPattern::Exact(_)),
            other_way: None,
        }
    }
}

/// What the policies of a workload do with the requests of clients without a certificate, for the protected hosts of
/// a listener.
pub(crate) struct DenyingPolicies(HostTable<DeniedRequests>);

impl DenyingPolicies {
    pub(crate) fn new(resources: &Resources, workload: &Workload, listener: &Listener) -> Self {
        let rules = DenyRules::new(resources, workload);
        // Most gateways have no such policy, and need no search.
        Self(if rules.is_empty() {
            HostTable::default()
        } else {
            search::denied_requests(workload, listener, &rules)
        })
    }

    /// Whether no policy denies requests of the workload.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().next().is_none()
    }

    /// What they do with the requests for a host of the listener; `None` if they deny none of them.
    pub(crate) fn of(&self, host: &str) -> Option<&DeniedRequests> {
        self.0
            .best(Host::from_authority(host.as_bytes()))
            .filter(|denied| !denied.policies.is_empty())
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
