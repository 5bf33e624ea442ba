//! The decision: from a configuration and a request to an answer and its reason.

use alloc::boxed::Box;

use crate::config::{Action, Config, Rule, Servers, Treatment};
use crate::fault::Faults;
use crate::host::Host;
use crate::reason::{Misdirection, Pass};
use crate::request::{Request, Route};

/// The configuration of a running filter.
#[derive(Clone, Debug)]
pub enum Policy {
    /// A configuration in force.
    Active(Box<Config>),
    /// An invalid configuration: every request passes. A filter that refuses to start instead makes
    /// every gateway pod that starts afterwards answer 500 to everything.
    Invalid(Faults),
}

/// The gateway that the filter runs in, which decides how much a route proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// istiod configured it. istiod gives a filter chain only virtual hosts that the hosts of its
    /// server cover (Istio `pilot/pkg/networking/core/gateway.go`). So a route proves that the
    /// request is on the right server, unless patterns of two servers cover its host.
    Istio,
    /// Any other Envoy. A route proves nothing there: one route table may serve all filter chains.
    Other,
}

/// The answer to a request, with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The request passes to the next filter.
    Pass(Pass),
    /// The request is misdirected. It passes and is counted and logged, because the action is `report`.
    Report(Misdirection),
    /// The request is misdirected and gets the answer 421.
    Reject(Misdirection),
}

impl Policy {
    /// Decides on a request. With an invalid configuration the request is not read.
    ///
    /// # Errors
    /// A question about the request could not be answered.
    pub fn decide<R: Request>(&self, gateway: Gateway, request: &R) -> Result<Decision, R::Error> {
        match self {
            Self::Active(config) => config.decide(gateway, request),
            Self::Invalid(_) => Ok(Decision::Pass(Pass::InvalidConfig)),
        }
    }
}

impl From<Result<Config, Faults>> for Policy {
    fn from(config: Result<Config, Faults>) -> Self {
        config.map_or_else(Self::Invalid, |config| Self::Active(Box::new(config)))
    }
}

impl Config {
    /// Decides on a request. The order of the steps is the precedence of their reasons.
    ///
    /// # Errors
    /// A question about the request could not be answered.
    pub fn decide<R: Request>(&self, gateway: Gateway, request: &R) -> Result<Decision, R::Error> {
        // A route is the cheapest thing to ask for, and most requests have one.
        if self.route_suffices(gateway, request)? {
            return Ok(Decision::Pass(Pass::RouteFound));
        }
        // Without a route, or where a route proves nothing, the two names decide.
        match self.compare(request)? {
            Ok(pass) => Ok(Decision::Pass(pass)),
            Err(suspect) => self.settle(suspect, request),
        }
    }

    /// Whether the request has a route and a route is enough to know that it passes.
    fn route_suffices<R: Request>(&self, gateway: Gateway, request: &R) -> Result<bool, R::Error> {
        // Rule exact compares the names of every request.
        let Rule::Servers(servers) = &self.rule else {
            return Ok(false);
        };
        // These settings reject requests whatever route they have.
        if self.missing_sni == Treatment::Reject || self.unlisted_sni == Treatment::Reject {
            return Ok(false);
        }
        match gateway {
            // Without a table of servers, the comparison of names would end with the route too.
            Gateway::Other if servers.count() > 0 => return Ok(false),
            Gateway::Istio if servers.overlaps() > 0 => {
                // The authority alone shows whether patterns of two servers cover its host.
                let host = Host::from_authority(request.authority()?);
                if servers.is_contested(host.without_trailing_dot()) {
                    return Ok(false);
                }
            }
            Gateway::Istio | Gateway::Other => {}
        }
        request.has_route()
    }

    /// Compares the SNI with the authority. The error is a request that looks misdirected.
    // Out of line: in one function with it, requests that need no comparison would set up its variables.
    #[inline(never)]
    fn compare<R: Request>(&self, request: &R) -> Result<Result<Pass, Suspect>, R::Error> {
        let Some(sni) = Host::from_sni(request.sni()?) else {
            return self.without_sni(request);
        };
        // A client may keep the dot of a host in the authority and leave it out of the SNI.
        let host = Host::from_authority(request.authority()?);
        let name = host.without_trailing_dot();
        if sni == host || sni == name {
            return Ok(Ok(Pass::Equal));
        }
        // Clients of a trusted SNI, such as another proxy, may send any authority.
        if self.trusted_sni.iter().any(|pattern| pattern.covers(sni)) {
            return Ok(Ok(Pass::TrustedSni));
        }
        let action = self.action_for(host);
        if action == Action::Off {
            return Ok(Ok(Pass::Off));
        }
        // The names differ, so the rule decides whether that matters.
        let compared = match &self.rule {
            Rule::Exact => Some(Err(Misdirection::NotEqual)),
            Rule::Servers(servers) => self.compare_servers(servers, sni, name),
        };
        let compared = match compared {
            Some(compared) => compared,
            // The table does not list these names, so the virtual host decides.
            None => match request.route()? {
                Route::Matched => Ok(Pass::Routed),
                Route::Unmatched | Route::Blackhole => Err(Misdirection::Unrouted),
            },
        };
        Ok(compared.map_err(|reason| Suspect { reason, action }))
    }

    fn without_sni<R: Request>(&self, request: &R) -> Result<Result<Pass, Suspect>, R::Error> {
        if self.missing_sni == Treatment::Pass || !request.is_tls()? {
            return Ok(Ok(Pass::NoSni));
        }
        // The action belongs to the host of the request, with or without SNI.
        let action = self.action_for(Host::from_authority(request.authority()?));
        if action == Action::Off {
            return Ok(Ok(Pass::Off));
        }
        Ok(Err(Suspect {
            reason: Misdirection::NoSni,
            action,
        }))
    }

    /// Compares the servers of two names that differ. `None` if the table does not list both names.
    fn compare_servers(
        &self,
        servers: &Servers,
        sni: Host<'_>,
        host: Host<'_>,
    ) -> Option<Result<Pass, Misdirection>> {
        let host = servers.of(host)?;
        match servers.of(sni) {
            Some(sni) if sni == host => Some(Ok(Pass::SameServer)),
            Some(_) => Some(Err(Misdirection::OtherServer)),
            None if self.unlisted_sni == Treatment::Reject => Some(Err(Misdirection::UnlistedSni)),
            None => None,
        }
    }

    /// Decides on a request that looks misdirected.
    fn settle<R: Request>(&self, suspect: Suspect, request: &R) -> Result<Decision, R::Error> {
        let Suspect { reason, action } = suspect;
        // The client requested another host, and the connection may be right for that host.
        if request.is_internal_redirect()? {
            return Ok(Decision::Pass(Pass::InternalRedirect));
        }
        // The authority of CONNECT is the destination of a tunnel.
        if request.is_connect()? {
            return Ok(Decision::Pass(Pass::Connect));
        }
        // Clients reuse connections for other hosts in HTTP/2 and HTTP/3 only, so by default only these count.
        let protocol = request.protocol()?;
        if !protocol.is_some_and(|protocol| self.protocols.contains(&protocol)) {
            return Ok(Decision::Pass(Pass::Protocol));
        }
        if self.grpc == Treatment::Pass && request.is_grpc()? {
            return Ok(Decision::Pass(Pass::Grpc));
        }
        Ok(match action {
            Action::Enforce => Decision::Reject(reason),
            Action::Report => Decision::Report(reason),
            Action::Off => Decision::Pass(Pass::Off),
        })
    }
}

/// A request that looks misdirected, with the action for its host.
#[derive(Clone, Copy)]
struct Suspect {
    reason: Misdirection,
    action: Action,
}

impl Decision {
    /// The status of the filter's answer; `None` if the gateway answers.
    #[must_use]
    pub fn status(self) -> Option<u16> {
        match self {
            Self::Pass(_) | Self::Report(_) => None,
            Self::Reject(_) => Some(421),
        }
    }

    /// The name of the reason in metrics, access logs and `explain`.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Pass(pass) => pass.name(),
            Self::Report(_) => "reported",
            Self::Reject(misdirection) => misdirection.name(),
        }
    }
}
