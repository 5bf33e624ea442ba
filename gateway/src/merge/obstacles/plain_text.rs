//! Servers in plain text in the Gateway of the target. Routes that a plan binds to that Gateway apply
//! to all its servers.

use crate::merge::bindings::{may_serve, services_to_bind};
use crate::merge::group::Group;
use crate::merge::refusal::{Obstacle, Reason};
use crate::merge::state::State;
use crate::resources::istio::{Server, VirtualService};
use crate::resources::{Kind, ResourceName};
use crate::server::{Protocol, sanitize};

/// A server that would serve hosts in plain text which it does not serve now.
pub(super) fn find(group: &Group<'_>, state: &State) -> Option<Obstacle> {
    let resource = &group.target.gateway;
    let gateway = state.gateway(resource)?;
    let services = services_to_bind(group, state);
    for (index, server) in gateway.spec.servers.iter().enumerate() {
        // A server that redirects to HTTPS serves no routes.
        if !is_plain_text(server) || redirects_to_https(state, resource, index) {
            continue;
        }
        for service in &services {
            if would_serve(server, &resource.namespace, service) {
                let service = service.metadata.resource(Kind::VirtualService);
                return Some(Obstacle::with_filter_hint(
                    Reason::RoutesStart,
                    format!(
                        "{service} would also be served in plain text, by {resource} servers[{index}]"
                    ),
                    "redirect that server to HTTPS or remove hosts from it first",
                ));
            }
        }
    }
    None
}

fn is_plain_text(server: &Server) -> bool {
    server.tls.is_none() || Protocol::parse(&server.port.protocol) == Protocol::Http
}

fn redirects_to_https(state: &State, gateway: &ResourceName, index: usize) -> bool {
    state
        .manifest(gateway)
        .and_then(|manifest| manifest.pointer(&format!("/spec/servers/{index}/tls/httpsRedirect")))
        .is_some_and(|redirect| *redirect == true)
}

fn would_serve(server: &Server, namespace: &str, service: &VirtualService) -> bool {
    // A server without HTTP forwards connections, which only `tcp` routes describe.
    if Protocol::parse(&server.port.protocol) != Protocol::Http {
        return !service.spec.tcp.is_empty();
    }
    sanitize(&server.hosts, namespace)
        .iter()
        .any(|host| may_serve(service, host))
}
