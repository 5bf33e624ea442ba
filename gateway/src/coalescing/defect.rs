//! What is wrong with a request on a connection for another host.

use super::Known;
use super::listener_hosts::ListenerHost;
use crate::resources::istio::TlsMode;
use crate::{Answer, FilterChain, Outcome};

/// How the answer on a reused connection differs from the one on a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Defect {
    /// The route table of the connection has no routes for the host: Envoy responds 404.
    NotFound,
    /// The route table has other routes for the host.
    WrongRoute,
    /// The routes are right, but the connection needed no client certificate.
    TlsPolicy,
}

/// The defect as it is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ReportedDefect {
    /// The input has the certificate, so clients can coalesce the requests.
    Certain(Defect),
    /// Clients can coalesce the requests if the certificate covers what its users suggest.
    Presumed,
}

impl ReportedDefect {
    pub(crate) fn new(known: Known, defect: Defect) -> Self {
        match known {
            Known::Known => Self::Certain(defect),
            Known::Presumed | Known::Unknown => Self::Presumed,
        }
    }
}

/// The defect of a request for a host that is served on its own connection, on a connection to
/// another filter chain.
pub(super) fn defect(connection: &FilterChain, host: &ListenerHost<'_>) -> Option<Defect> {
    // Envoy chose the filter chain by the SNI and now looks for the authority in its route table.
    let reused = connection.answer(host.name.as_bytes());
    if reused.outcome == Outcome::NotFound {
        return Some(Defect::NotFound);
    }
    // Equal routes do the same, whichever virtual host they are in.
    if !has_equal_routes(&reused, &host.fresh) {
        return Some(Defect::WrongRoute);
    }
    // The server of the connection did the TLS handshake, so its TLS mode decided whether the
    // client had to present a certificate.
    let is_bypassed = host.fresh.chain.is_some_and(demands_client_certificate)
        && !demands_client_certificate(connection);
    is_bypassed.then_some(Defect::TlsPolicy)
}

/// Whether both answers come from the same routes. A connection that Envoy forwards without reading
/// requests has none.
fn has_equal_routes(reused: &Answer<'_>, fresh: &Answer<'_>) -> bool {
    let (Some(reused), Some(own)) = (reused.virtual_host, fresh.virtual_host) else {
        return false;
    };
    fresh.outcome == Outcome::Served && reused.routes == own.routes
}

fn demands_client_certificate(chain: &FilterChain) -> bool {
    chain.tls.is_some_and(TlsMode::demands_client_certificate)
}
