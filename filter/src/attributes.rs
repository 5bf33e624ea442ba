//! What Envoy knows of a request. What is not there is empty; an error is a refusal that Envoy has no
//! reason for.

use rule::facts::is_grpc;
use rule::{Facts, Misdirection, Protocol, Route};

use crate::abi::{self, Refused};
use crate::memory::Received;

/// The server name of the TLS or QUIC handshake, in lower case; empty when there was none.
pub(crate) fn sni() -> Result<Received, Refused> {
    or_empty(abi::property("connection\0requested_server_name"))
}

/// Whether the gateway found a route. It did so before this filter was asked. A route without a name
/// costs one call that returns no data; with a name, the data are not worth looking at.
pub(crate) fn has_route() -> Result<bool, Refused> {
    Ok(found(abi::property("xds\0route_name"))?.is_some())
}

/// The authority as the client sent it.
pub(crate) fn authority() -> Result<Received, Refused> {
    or_empty(abi::request_header(":authority"))
}

/// The rest, for a request that is about to be answered 421.
pub(crate) fn facts(reason: Misdirection) -> Result<Facts, Refused> {
    let protocol = or_empty(abi::property("request\0protocol"))?;
    Ok(Facts {
        tls: reason == Misdirection::NoSni && is_tls()?,
        route: if reason == Misdirection::Unrouted {
            route()?
        } else {
            Route::Unmatched
        },
        connect: *or_empty(abi::request_header(":method"))? == *b"CONNECT",
        protocol: Protocol::from_attribute(&protocol),
        grpc: is_grpc(&or_empty(abi::request_header("content-type"))?),
    })
}

fn is_tls() -> Result<bool, Refused> {
    or_empty(abi::property("connection\0tls_version")).map(|version| !version.is_empty())
}

/// By the virtual host and not by the route: a route may be chosen again after this filter, by JWT
/// claims for one, the virtual host may not.
fn route() -> Result<Route, Refused> {
    let name = found(abi::property("xds\0virtual_host_name"))?;
    Ok(Route::from_virtual_host(name.as_deref()))
}

fn or_empty(value: Result<Received, Refused>) -> Result<Received, Refused> {
    Ok(found(value)?.unwrap_or_default())
}

/// What is there, where there may be nothing.
fn found(value: Result<Received, Refused>) -> Result<Option<Received>, Refused> {
    match value {
        Ok(value) => Ok(Some(value)),
        Err(Refused::NOT_FOUND) => Ok(None),
        Err(refused) => Err(refused),
    }
}
