//! What Envoy knows of a request.

use std::cell::{Cell, OnceCell};

use rule::request::is_grpc;
use rule::{Protocol, Request, Route};

use super::abi::{self, Status};
use crate::memory::Received;

/// The request that Envoy is asking about. The names are read once, and kept for the log.
#[derive(Default)]
pub(crate) struct EnvoyRequest {
    authority: OnceCell<Received>,
    sni: OnceCell<Received>,
    is_grpc: Cell<Option<bool>>,
}

impl Request for EnvoyRequest {
    /// A refusal that is not an answer: what does not exist is empty or missing.
    type Error = Status;

    /// Envoy chose the route before it asked this filter. A route without a name costs one call that
    /// returns no data. If the route has a name, its text is not needed.
    fn has_route(&self) -> Result<bool, Status> {
        Ok(found(abi::property("xds\0route_name"))?.is_some())
    }

    /// By the virtual host and not by the route: a later filter may have the route chosen again, by
    /// JWT claims for one, but not the virtual host.
    fn route(&self) -> Result<Route, Status> {
        let name = found(abi::property("xds\0virtual_host_name"))?;
        Ok(Route::from_virtual_host(name.as_deref()))
    }

    /// Envoy rejects requests without an authority, so a missing one is an error.
    fn authority(&self) -> Result<&[u8], Status> {
        read_once(&self.authority, || abi::request_header(":authority"))
    }

    fn sni(&self) -> Result<&[u8], Status> {
        read_once(&self.sni, || {
            or_empty(abi::property("connection\0requested_server_name"))
        })
    }

    fn is_tls(&self) -> Result<bool, Status> {
        let version = or_empty(abi::property("connection\0tls_version"))?;
        Ok(!version.is_empty())
    }

    /// Envoy's router counts the redirects that it follows in the filter state (Envoy
    /// `source/common/router/router.cc`, `convertRequestHeadersForInternalRedirect`). No client can
    /// write there.
    fn is_internal_redirect(&self) -> Result<bool, Status> {
        let count = abi::property("filter_state\0num_internal_redirects");
        Ok(found(count)?.is_some())
    }

    fn is_connect(&self) -> Result<bool, Status> {
        let method = or_empty(abi::request_header(":method"))?;
        Ok(*method == *b"CONNECT" && found(abi::request_header(":protocol"))?.is_none())
    }

    fn protocol(&self) -> Result<Option<Protocol>, Status> {
        let protocol = or_empty(abi::property("request\0protocol"))?;
        Ok(Protocol::from_attribute(&protocol))
    }

    fn is_grpc(&self) -> Result<bool, Status> {
        if let Some(is_grpc) = self.is_grpc.get() {
            return Ok(is_grpc);
        }
        let is_grpc = is_grpc(&or_empty(abi::request_header("content-type"))?);
        self.is_grpc.set(Some(is_grpc));
        Ok(is_grpc)
    }
}

fn read_once(
    cell: &OnceCell<Received>,
    read: impl FnOnce() -> Result<Received, Status>,
) -> Result<&[u8], Status> {
    if cell.get().is_none() {
        // It is empty, so that it takes the value.
        let _ = cell.set(read()?);
    }
    Ok(cell.get().map_or(&[], |value| value))
}

fn or_empty(value: Result<Received, Status>) -> Result<Received, Status> {
    Ok(found(value)?.unwrap_or_default())
}

/// What exists, where nothing may.
pub(crate) fn found(value: Result<Received, Status>) -> Result<Option<Received>, Status> {
    match value {
        Ok(value) => Ok(Some(value)),
        Err(Status::NOT_FOUND) => Ok(None),
        Err(status) => Err(status),
    }
}
