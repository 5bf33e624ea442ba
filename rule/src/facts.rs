//! What is to be known of a request beyond its SNI and its authority, and how Envoy tells it.

use crate::config::Protocol;
#[cfg(doc)]
use crate::reason::Misdirection;

/// What else is to be known of a suspect. Reading them costs calls into Envoy, so nobody asks for
/// them earlier.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Whether the connection is a TLS one. Used for [`Misdirection::NoSni`] only.
    pub tls: bool,
    /// What the gateway found to route by. Used for [`Misdirection::Unrouted`] only.
    pub route: Route,
    /// Whether the method is CONNECT.
    pub connect: bool,
    /// The version of HTTP; `None` when it is none of those a configuration can name.
    pub protocol: Option<Protocol>,
    /// Whether the request is gRPC, by [`is_grpc`].
    pub grpc: bool,
}

/// What the gateway's route table had for the authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A virtual host. A 404 after that is about the path.
    Matched,
    /// No virtual host.
    Unmatched,
    /// Istio's placeholder for an empty route table, [`BLACKHOLE`].
    Blackhole,
}

/// How istiod names the virtual host of a TLS server without routes: this and the port
/// (Istio `pilot/pkg/networking/core/gateway.go`).
pub const BLACKHOLE: &str = "blackhole:";

impl Route {
    /// What the name of the virtual host that matched tells; `None` when none did.
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

/// Whether a content type is gRPC's own, as Envoy tells it (`Grpc::Common::hasGrpcContentType`):
/// `application/grpc` or `application/grpc+…`. gRPC-Web comes from browsers, which follow 421.
#[must_use]
pub fn is_grpc(content_type: &[u8]) -> bool {
    content_type
        .strip_prefix(b"application/grpc".as_slice())
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+"))
}
