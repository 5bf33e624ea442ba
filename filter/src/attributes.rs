//! What Envoy knows of a request. What is not there is empty; an error is a refusal that Envoy has no
//! reason for.

use rule::facts::is_grpc;
use rule::{Facts, Misdirection, Protocol, Route};

use crate::abi::{self, Refused};

/// The server name of the TLS or QUIC handshake, in lower case; empty when there was none.
pub(crate) fn sni() -> Result<Vec<u8>, Refused> {
    or_empty(abi::property("connection\0requested_server_name"))
}

/// Whether the gateway found a route. It did so before this filter was asked. A route without a name
/// costs one call that returns no data; with a name, the data are not worth looking at.
pub(crate) fn has_route() -> Result<bool, Refused> {
    match abi::property("xds\0route_name") {
        Ok(_) => Ok(true),
        Err(Refused::NOT_FOUND) => Ok(false),
        Err(refused) => Err(refused),
    }
}

/// The authority as the client sent it.
pub(crate) fn authority() -> Result<Vec<u8>, Refused> {
    or_empty(abi::request_header(":authority"))
}

/// The rest, for a request that is about to be answered 421.
pub(crate) fn facts(reason: Misdirection) -> Result<Facts, Refused> {
    let protocol = or_empty(abi::property("request\0protocol"))?;
    Ok(Facts {
        tls: reason == Misdirection::NoSni && is_tls()?,
        route: if reason == Misdirection::Unrouted { route()? } else { Route::Unmatched },
        connect: or_empty(abi::request_header(":method"))? == b"CONNECT",
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
    match abi::property("xds\0virtual_host_name") {
        Ok(name) => Ok(Route::from_virtual_host(Some(&name))),
        Err(Refused::NOT_FOUND) => Ok(Route::from_virtual_host(None)),
        Err(refused) => Err(refused),
    }
}

fn or_empty(value: Result<Vec<u8>, Refused>) -> Result<Vec<u8>, Refused> {
    match value {
        Err(Refused::NOT_FOUND) => Ok(Vec::new()),
        other => other,
    }
}
