//! Servers in plain text beside the growing one: routes that are bound to its Gateway apply there too.

use rule::host::istio::IstioHost;
use serde_json::Value;

use crate::merge::bindings::{self, Bound};
use crate::merge::group::{Group, split};
use crate::merge::refusal::{GUARD, Obstacle, Reason};
use crate::merge::state::State;
use crate::resources::istio;
use crate::server::{Protocol, sanitize};

/// A server of the growing Gateway that would serve hosts in plain text which it does not serve now.
/// One that redirects to HTTPS does not.
pub(super) fn find(group: &Group<'_>, state: &State) -> Option<Obstacle> {
    let gateway = state.gateway(&group.target.gateway)?;
    let bound = bindings::bound(group, state);
    gateway
        .spec
        .servers
        .iter()
        .enumerate()
        .find_map(|(index, server)| {
            let manifest = state.manifest(&group.target.gateway)?;
            let redirect = manifest.pointer(&format!("/spec/servers/{index}/tls/httpsRedirect"));
            let is_http = Protocol::parse(&server.port.protocol) == Protocol::Http;
            let is_open = server.tls.is_none() || is_http;
            if !is_open || redirect.and_then(Value::as_bool) == Some(true) {
                return None;
            }
            let found = bound
                .iter()
                .find(|bound| serves(server, &gateway.metadata.namespace, bound))?;
            Some(Obstacle::new(
                Reason::RoutesStart,
                format!(
                    "{} would be served in plain text too, by {} servers[{index}]",
                    found.resource, group.target.gateway
                ),
                format!("let that server redirect to HTTPS or have fewer hosts first, or {GUARD}"),
            ))
        })
}

fn serves(server: &istio::Server, namespace: &str, bound: &Bound<'_>) -> bool {
    let spec = &bound.service.spec;
    if Protocol::parse(&server.port.protocol) != Protocol::Http {
        return !spec.tcp.is_empty();
    }
    sanitize(&server.hosts, namespace).iter().any(|host| {
        let (within, host) = split(host);
        let is_visible = within.is_none_or(|within| within == bound.resource.namespace);
        is_visible
            && spec
                .hosts
                .iter()
                .any(|name| IstioHost(name.as_str()).overlaps(IstioHost(host)))
    })
}
