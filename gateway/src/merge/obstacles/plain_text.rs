//! Servers in plain text in the Gateway of the target. Routes that a plan binds to that Gateway apply
//! to all its servers.

use std::collections::BTreeSet;

use crate::ServerId;
use crate::findings::Remedy;
use crate::merge::bindings::{bound_members, may_serve, services_to_bind};
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
        let exposed: Vec<&VirtualService> = services
            .iter()
            .copied()
            .filter(|service| would_serve(server, &resource.namespace, service))
            .collect();
        if let Some(first) = exposed.first() {
            let service = first.metadata.resource(Kind::VirtualService);
            return Some(
                Obstacle::new(
                    Reason::RoutesStart,
                    format!(
                        "{service} would also be served in plain text, by {resource} servers[{index}]"
                    ),
                )
                .or(Remedy::new(
                    "redirect that server to HTTPS or remove hosts from it first",
                ))
                .blocking(blocking(group, state, &exposed)),
            );
        }
    }
    None
}

/// The servers with the routes that would be exposed, or the servers of the target's Gateway if these
/// are fewer.
fn blocking<'g>(
    group: &'g Group<'_>,
    state: &State,
    exposed: &[&VirtualService],
) -> BTreeSet<&'g ServerId> {
    let routed: BTreeSet<&ServerId> = exposed
        .iter()
        .flat_map(|service| bound_members(service, group, state))
        .collect();
    let of_target: BTreeSet<&ServerId> = group
        .members()
        .filter(|member| member.gateway == group.target.gateway)
        .map(|member| &member.id)
        .collect();
    if routed.len() <= of_target.len() {
        routed
    } else {
        of_target
    }
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
