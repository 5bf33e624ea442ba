//! The server of a Gateway that routes are meant for.

use super::Context;
use crate::resources::istio::{Server, TlsMode};
use crate::resources::{Kind, ResourceName};
use crate::routes::Binding;

/// The index of the server of a Gateway that the routes are most likely for: one that terminates TLS, or passes it
/// through for routes with TLS rules only; else one that is no redirect.
pub(super) fn server_for(context: &Context<'_>, name: &ResourceName, binding: &Binding) -> usize {
    let resources = context.input.resources;
    let gateway = resources
        .gateways
        .iter()
        .find(|gateway| gateway.metadata.resource(Kind::Gateway) == *name);
    let servers = gateway.map_or(&[][..], |gateway| &gateway.spec.servers);
    let wants_passthrough = binding.http.is_empty() && !binding.tls.is_empty();
    let is_no_redirect =
        |server: &Server| !server.tls.as_ref().is_some_and(|tls| tls.https_redirect);
    let is_wanted = |server: &Server| {
        is_no_redirect(server)
            && server
                .tls
                .as_ref()
                .is_some_and(|tls| (tls.mode == TlsMode::Passthrough) == wants_passthrough)
    };
    servers
        .iter()
        .position(is_wanted)
        .or_else(|| servers.iter().position(is_no_redirect))
        .unwrap_or_default()
}
