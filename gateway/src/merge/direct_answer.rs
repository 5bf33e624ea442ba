//! The answer for a host on a connection that was opened for this host.

use std::collections::HashMap;

use rule::Host;

use crate::listener::{ChainKind, RouteSource, reached_rules};
use crate::resources::istio::TlsMode;
use crate::{Certificates, FilterChain, Listener, Outcome};

/// What a client gets that opens a connection for a host and requests this host there. No other host
/// has used the connection, so connection coalescing has no effect on the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectAnswer {
    /// Whether the request is served.
    pub outcome: Outcome,
    /// The routes of the virtual host.
    pub(super) routes: Vec<RouteSource>,
    /// Whether the server demands a client certificate.
    pub(super) demands_certificate: bool,
    /// Whether the server's certificate covers the host; `None` if its contents are unknown.
    pub(super) is_certified: Option<bool>,
}

/// The route tables of a listener, by name. A table has the name of its filter chain.
#[derive(Default)]
pub(super) struct RouteTables<'m>(HashMap<&'m str, &'m FilterChain>);

impl DirectAnswer {
    /// The answer of the filter chains of one state with the route tables of the same or another one:
    /// istiod sends them separately, as listeners (LDS) and routes (RDS).
    pub(super) fn new(
        listener: &Listener,
        tables: &RouteTables<'_>,
        host: &str,
        certificates: &Certificates,
    ) -> Self {
        // Envoy keeps no part of a listener that it rejects.
        if listener.is_rejected() {
            return Self::reset();
        }
        // No filter chain matches the server name: Envoy closes the connection.
        let Some(chain) = listener.chain(host.as_bytes()) else {
            return Self::reset();
        };
        Self::on_chain(
            chain,
            tables.0.get(chain.name.as_str()).copied(),
            host,
            certificates,
        )
    }

    /// The answer of a filter chain with a route table. `table` is the chain that has the table in the
    /// state of the tables; `None` if no server has its name.
    pub(super) fn on_chain(
        chain: &FilterChain,
        table: Option<&FilterChain>,
        host: &str,
        certificates: &Certificates,
    ) -> Self {
        // Only HTTPS chains have route tables. istiod sends an empty table for a name that no server
        // has any more, and Envoy answers 404.
        let answer = match &chain.kind {
            ChainKind::Https(_) => table.map(|table| table.answer(host.as_bytes())),
            ChainKind::Tcp | ChainKind::Passthrough | ChainKind::Plain => {
                Some(chain.answer(host.as_bytes()))
            }
        };
        Self {
            outcome: answer.map_or(Outcome::NotFound, |answer| answer.outcome),
            routes: answer
                .and_then(|answer| answer.virtual_host)
                .map(|virtual_host| virtual_host.routes.clone())
                .unwrap_or_default(),
            demands_certificate: chain.tls.is_some_and(TlsMode::demands_client_certificate),
            is_certified: certifies(chain, host, certificates),
        }
    }

    pub(super) fn reset() -> Self {
        Self {
            outcome: Outcome::Reset,
            routes: Vec::new(),
            demands_certificate: false,
            is_certified: None,
        }
    }

    pub(super) fn is_served(&self) -> bool {
        match self.outcome {
            Outcome::Served | Outcome::Passthrough | Outcome::Tcp => true,
            Outcome::NotFound | Outcome::Reset => false,
        }
    }

    /// Whether requests get the same routes with another answer.
    pub(super) fn has_equal_routes(&self, other: &Self) -> bool {
        self.routes == other.routes || {
            let reached = reached_rules(&self.routes);
            reached.is_some() && reached == reached_rules(&other.routes)
        }
    }

    /// Whether a host that had this answer loses nothing with another one. A host that was not served
    /// cannot lose anything. A certificate may cover more than before, and unknown certificates are
    /// not compared.
    pub(super) fn is_kept_by(&self, after: &Self) -> bool {
        let loses_certificate =
            self.is_certified == Some(true) && after.is_certified == Some(false);
        !self.is_served()
            || self.outcome == after.outcome
                && self.has_equal_routes(after)
                && self.demands_certificate == after.demands_certificate
                && !loses_certificate
    }
}

impl<'m> RouteTables<'m> {
    pub(super) fn new(listener: &'m Listener) -> Self {
        Self(
            listener
                .chains
                .iter()
                .map(|chain| (chain.name.as_str(), chain))
                .collect(),
        )
    }
}

/// Whether the certificates of a filter chain cover a host; `None` if the contents of one are unknown.
pub(super) fn certifies(
    chain: &FilterChain,
    host: &str,
    certificates: &Certificates,
) -> Option<bool> {
    let host = Host::from_authority(host.as_bytes());
    let mut is_certified = false;
    for credential in &chain.credentials {
        let known = certificates.known(credential)?;
        is_certified |= known.names.iter().any(|name| name.certifies(host));
    }
    Some(is_certified)
}

#[cfg(test)]
mod tests {
    use super::DirectAnswer;
    use crate::Outcome;

    fn served(is_certified: Option<bool>) -> DirectAnswer {
        DirectAnswer {
            outcome: Outcome::Served,
            is_certified,
            ..DirectAnswer::reset()
        }
    }

    #[test]
    fn only_a_served_host_can_lose_its_answer() {
        let reset = DirectAnswer::reset();
        assert!(reset.is_kept_by(&served(None)));
        assert!(!served(None).is_kept_by(&reset));
    }

    #[test]
    fn a_certificate_may_cover_more_but_not_less() {
        assert!(served(Some(false)).is_kept_by(&served(Some(true))));
        assert!(!served(Some(true)).is_kept_by(&served(Some(false))));
        assert!(served(Some(true)).is_kept_by(&served(None)));
    }

    #[test]
    fn a_client_certificate_must_not_be_demanded_suddenly() {
        let demanding = DirectAnswer {
            demands_certificate: true,
            ..served(None)
        };
        assert!(!served(None).is_kept_by(&demanding));
        assert!(!demanding.is_kept_by(&served(None)));
    }
}
