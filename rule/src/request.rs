//! The questions of the rule about a request, and the values of Envoy that answer them.

use core::convert::Infallible;

use crate::config::Protocol;

/// A request and its connection.
///
/// Every question may cost a call into Envoy, so [`Config::decide`](crate::Config::decide) asks only
/// what its answer depends on, the cheapest first. A question may be asked more than once.
pub trait Request {
    /// Why a question could not be answered.
    type Error;

    /// Whether a route matched.
    ///
    /// # Errors
    /// The answer is unknown.
    fn has_route(&self) -> Result<bool, Self::Error>;

    /// The result of the route table for the authority.
    ///
    /// # Errors
    /// The answer is unknown.
    fn route(&self) -> Result<Route, Self::Error>;

    /// The authority that Envoy routed by (RFC 9110 §7.2): after a filter or a redirect changed it,
    /// the changed one.
    ///
    /// # Errors
    /// The answer is unknown.
    fn authority(&self) -> Result<&[u8], Self::Error>;

    /// The server name of the TLS or QUIC handshake (RFC 6066 §3). Empty when there was none.
    ///
    /// # Errors
    /// The answer is unknown.
    fn sni(&self) -> Result<&[u8], Self::Error>;

    /// Whether the connection uses TLS.
    ///
    /// # Errors
    /// The answer is unknown.
    fn is_tls(&self) -> Result<bool, Self::Error>;

    /// Whether Envoy made the request itself, following a redirect of an upstream
    /// (`internal_redirect_policy`). Then its authority is not the client's.
    ///
    /// # Errors
    /// The answer is unknown.
    fn is_internal_redirect(&self) -> Result<bool, Self::Error>;

    /// Whether the request is a CONNECT (RFC 9110 §9.3.6) and not an extended one, which has the
    /// pseudo-header `:protocol` (RFC 8441 §4).
    ///
    /// # Errors
    /// The answer is unknown.
    fn is_connect(&self) -> Result<bool, Self::Error>;

    /// The version of HTTP. `None` when a configuration has no name for it.
    ///
    /// # Errors
    /// The answer is unknown.
    fn protocol(&self) -> Result<Option<Protocol>, Self::Error>;

    /// Whether the request is gRPC, by [`is_grpc`].
    ///
    /// # Errors
    /// The answer is unknown.
    fn is_grpc(&self) -> Result<bool, Self::Error>;
}

/// A request with known answers to all questions.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent answers to questions"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    /// The server name; empty without one.
    pub sni: &'a [u8],
    /// The authority that Envoy routes by.
    pub authority: &'a [u8],
    /// The result of the route table for the authority.
    pub route: Route,
    /// Whether the virtual host has a route for the path. This requires [`Route::Matched`].
    pub has_route: bool,
    /// Whether the connection uses TLS.
    pub tls: bool,
    /// Whether Envoy made the request itself, following a redirect.
    pub internal_redirect: bool,
    /// Whether the request is a CONNECT and not an extended one.
    pub connect: bool,
    /// The version of HTTP; `None` if a configuration has no name for it.
    pub protocol: Option<Protocol>,
    /// Whether the request is gRPC.
    pub grpc: bool,
}

/// The result of the gateway's route table for an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A virtual host matched. A later 404 is about the path.
    Matched,
    /// No virtual host matched.
    Unmatched,
    /// Only Istio's placeholder for an empty route table matched, [`BLACKHOLE`].
    Blackhole,
}

/// How istiod names the virtual host of a TLS server without routes: this and the port (Istio
/// `pilot/pkg/networking/core/gateway.go`).
pub const BLACKHOLE: &str = "blackhole:";

impl<'a> Facts<'a> {
    /// A GET over HTTP/2 and TLS that no virtual host matched.
    #[must_use]
    pub fn new(sni: &'a [u8], authority: &'a [u8]) -> Self {
        Self {
            sni,
            authority,
            route: Route::Unmatched,
            has_route: false,
            tls: true,
            internal_redirect: false,
            connect: false,
            protocol: Some(Protocol::Http2),
            grpc: false,
        }
    }

    /// The same request with a virtual host and a route.
    #[must_use]
    pub fn routed(self) -> Self {
        Self {
            route: Route::Matched,
            has_route: true,
            ..self
        }
    }
}

impl Request for Facts<'_> {
    type Error = Infallible;

    fn has_route(&self) -> Result<bool, Infallible> {
        Ok(self.has_route)
    }

    fn route(&self) -> Result<Route, Infallible> {
        Ok(self.route)
    }

    fn authority(&self) -> Result<&[u8], Infallible> {
        Ok(self.authority)
    }

    fn sni(&self) -> Result<&[u8], Infallible> {
        Ok(self.sni)
    }

    fn is_tls(&self) -> Result<bool, Infallible> {
        Ok(self.tls)
    }

    fn is_internal_redirect(&self) -> Result<bool, Infallible> {
        Ok(self.internal_redirect)
    }

    fn is_connect(&self) -> Result<bool, Infallible> {
        Ok(self.connect)
    }

    fn protocol(&self) -> Result<Option<Protocol>, Infallible> {
        Ok(self.protocol)
    }

    fn is_grpc(&self) -> Result<bool, Infallible> {
        Ok(self.grpc)
    }
}

impl Route {
    /// Reads the name of the virtual host that matched; `None` when none did.
    #[must_use]
    pub fn from_virtual_host(name: Option<&[u8]>) -> Self {
        match name {
            None => Self::Unmatched,
            Some(name) if name.starts_with(BLACKHOLE.as_bytes()) => Self::Blackhole,
            Some(_) => Self::Matched,
        }
    }
}

impl Protocol {
    /// Reads Envoy's attribute `request.protocol`.
    #[must_use]
    pub fn from_attribute(attribute: &[u8]) -> Option<Self> {
        match attribute {
            b"HTTP/1.0" | b"HTTP/1.1" => Some(Self::Http1),
            b"HTTP/2" => Some(Self::Http2),
            b"HTTP/3" => Some(Self::Http3),
            _ => None,
        }
    }
}

/// Whether a content type is gRPC's own, as Envoy decides it (`Grpc::Common::hasGrpcContentType`):
/// `application/grpc` or `application/grpc+…`. gRPC-Web comes from browsers, which follow 421.
#[must_use]
pub fn is_grpc(content_type: &[u8]) -> bool {
    content_type
        .strip_prefix(b"application/grpc".as_slice())
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_is_no_route() {
        for (name, expected) in [
            (None, Route::Unmatched),
            (Some("blackhole:443"), Route::Blackhole),
            (Some("blackhole:"), Route::Blackhole),
            (Some("blackhole"), Route::Matched),
            (Some("blackhole.example.com:443"), Route::Matched),
            (Some("a blackhole:443"), Route::Matched),
            (Some(""), Route::Matched),
        ] {
            let found = Route::from_virtual_host(name.map(str::as_bytes));
            assert_eq!(found, expected, "{name:?}");
        }
    }

    #[test]
    fn a_routed_request_has_a_virtual_host_and_a_route() {
        let facts = Facts::new(b"a", b"b");
        assert_eq!((facts.route, facts.has_route), (Route::Unmatched, false));
        let routed = facts.routed();
        assert_eq!((routed.route, routed.has_route), (Route::Matched, true));
    }

    #[test]
    fn versions_of_http() {
        for (attribute, expected) in [
            ("HTTP/1.0", Some(Protocol::Http1)),
            ("HTTP/1.1", Some(Protocol::Http1)),
            ("HTTP/2", Some(Protocol::Http2)),
            ("HTTP/3", Some(Protocol::Http3)),
            ("HTTP/2.0", None),
            ("", None),
        ] {
            assert_eq!(Protocol::from_attribute(attribute.as_bytes()), expected);
        }
    }

    #[test]
    fn grpc_is_not_grpc_web() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc+", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/grpc;charset=utf-8", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_grpc(content_type.as_bytes()), expected, "{content_type}");
        }
    }
}
