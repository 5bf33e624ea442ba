//! The references from VirtualServices to the Gateways of a merge.

use rule::host::istio::IstioHost;
use serde_json::{Value, json};

use super::group::{Group, Member, full_name, split_namespace};
use super::state::State;
use super::write::{Edit, Write};
use crate::ServerId;
use crate::resources::istio::VirtualService;
use crate::resources::{Kind, ResourceName};
use crate::routes::resolve_gateway;

/// The VirtualServices that must be bound to the target's Gateway too: those that are bound to a
/// Gateway of an absorbed server for one of its hosts, and their delegates.
pub(super) fn services_to_bind<'s>(group: &Group<'_>, state: &'s State) -> Vec<&'s VirtualService> {
    let services = &state.resources().virtual_services;
    // Routes that the target's Gateway has already stay as they are.
    let others: Vec<(&Member, Vec<String>)> = group
        .absorbed
        .iter()
        .filter(|member| member.gateway != group.target.gateway)
        .map(|member| (member, member.hosts(state)))
        .collect();
    let mut found: Vec<&VirtualService> = services
        .iter()
        .filter(|service| {
            others
                .iter()
                .any(|(member, hosts)| is_bound(service, member, hosts))
        })
        .collect();

    // A delegate has no hosts and no Gateways of its own: istiod copies its routes into the
    // VirtualService that refers to it. Its matches may still list Gateways.
    let delegates: Vec<&VirtualService> = services
        .iter()
        .filter(|service| service.spec.hosts.is_empty())
        .filter(|service| found.iter().any(|root| delegates_to(root, service)))
        .collect();
    found.extend(delegates);
    found
}

/// The members to which a VirtualService is bound, or a root that delegates to it.
pub(super) fn bound_members<'g>(
    service: &VirtualService,
    group: &'g Group<'_>,
    state: &State,
) -> Vec<&'g ServerId> {
    let roots: Vec<&VirtualService> = if service.spec.hosts.is_empty() {
        state
            .resources()
            .virtual_services
            .iter()
            .filter(|root| delegates_to(root, service))
            .collect()
    } else {
        Vec::new()
    };
    group
        .members()
        .filter(|member| {
            let hosts = member.hosts(state);
            is_bound(service, member, &hosts)
                || roots.iter().any(|root| is_bound(root, member, &hosts))
        })
        .map(|member| &member.id)
        .collect()
}

/// Whether a VirtualService has routes for the hosts of a server.
fn is_bound(service: &VirtualService, member: &Member, hosts: &[String]) -> bool {
    let namespace = &service.metadata.namespace;
    let gateway = member.full_gateway();
    service
        .spec
        .gateways
        .iter()
        .any(|reference| reference.resolve(namespace).to_string() == gateway)
        && hosts.iter().any(|host| may_serve(service, host))
}

/// Whether a server's host admits the namespace of a VirtualService and overlaps one of its hosts.
pub(super) fn may_serve(service: &VirtualService, host: &str) -> bool {
    let (namespace, host) = split_namespace(host);
    namespace.is_none_or(|namespace| *namespace == service.metadata.namespace)
        && service
            .spec
            .hosts
            .iter()
            .any(|name| IstioHost(name.as_str()).overlaps(IstioHost(host)))
}

fn delegates_to(root: &VirtualService, delegate: &VirtualService) -> bool {
    root.spec
        .http
        .iter()
        .filter_map(|route| route.delegate.as_ref())
        .any(|reference| {
            // Without a namespace, the delegate is in the namespace of the root.
            let namespace = if reference.namespace.is_empty() {
                &root.metadata.namespace
            } else {
                &reference.namespace
            };
            reference.name == delegate.metadata.name && *namespace == delegate.metadata.namespace
        })
}

/// Writes that bind routes to the target's Gateway, in addition to the Gateways that they have.
pub(super) fn bind(group: &Group<'_>, state: &State) -> Vec<Write> {
    let absorbed: Vec<String> = group.absorbed.iter().map(Member::full_gateway).collect();
    let target = group.target.full_gateway();
    services_to_bind(group, state)
        .into_iter()
        .filter_map(|service| {
            let resource = service.metadata.resource(Kind::VirtualService);
            rewrite_gateway_lists(&resource, state, |references| {
                let mut is_due = false;
                for reference in references {
                    let gateway = resolve_gateway(reference, &resource.namespace);
                    // The routes reach the target already.
                    if gateway == target {
                        return None;
                    }
                    is_due |= absorbed.contains(&gateway);
                }
                // A list without an absorbed Gateway is a restriction to other Gateways.
                is_due
                    .then(|| [references, &[group.target.reference(&resource.namespace)]].concat())
            })
        })
        .collect()
}

/// Writes that remove deleted Gateways from the lists of VirtualServices that the plan bound.
pub(super) fn unbind(
    state: &State,
    bound: &[ResourceName],
    deleted: &[ResourceName],
) -> Vec<Write> {
    let deleted: Vec<String> = deleted.iter().map(full_name).collect();
    state
        .resources()
        .virtual_services
        .iter()
        .map(|service| service.metadata.resource(Kind::VirtualService))
        .filter(|resource| bound.contains(resource))
        .filter_map(|resource| {
            rewrite_gateway_lists(&resource, state, |references| {
                let left: Vec<String> = references
                    .iter()
                    .filter(|reference| {
                        !deleted.contains(&resolve_gateway(reference, &resource.namespace))
                    })
                    .cloned()
                    .collect();
                // An empty list has another meaning: `mesh` in the spec, every Gateway in a match.
                (left.len() < references.len() && !left.is_empty()).then_some(left)
            })
        })
        .collect()
}

/// A write that changes lists of Gateways in a VirtualService; `None` if no list changes. `change`
/// returns the new list, or `None` for a list that stays.
fn rewrite_gateway_lists(
    resource: &ResourceName,
    state: &State,
    change: impl Fn(&[String]) -> Option<Vec<String>>,
) -> Option<Write> {
    let manifest = state.manifest(resource)?;
    let mut edits = Vec::new();
    for path in gateway_lists(manifest) {
        let Some(old) = manifest.pointer(&path) else {
            continue;
        };
        let references: Vec<String> = old
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        if let Some(new) = change(&references) {
            edits.push(Edit::Replace {
                path,
                old: old.clone(),
                new: json!(new),
            });
        }
    }
    if edits.is_empty() {
        return None;
    }
    Some(Write::Patch {
        resource: resource.clone(),
        edits,
    })
}

/// The JSON pointers at which a VirtualService may list Gateways: `spec.gateways`, and `gateways` of
/// each match of a route.
fn gateway_lists(manifest: &Value) -> Vec<String> {
    let mut lists = vec!["/spec/gateways".to_owned()];
    for kind in ["http", "tls", "tcp"] {
        for route in 0..list_length(manifest, &format!("/spec/{kind}")) {
            let matches = format!("/spec/{kind}/{route}/match");
            for index in 0..list_length(manifest, &matches) {
                lists.push(format!("{matches}/{index}/gateways"));
            }
        }
    }
    lists
}

fn list_length(manifest: &Value, path: &str) -> usize {
    manifest
        .pointer(path)
        .and_then(Value::as_array)
        .map_or(0, Vec::len)
}

#[cfg(test)]
mod tests {
    use super::gateway_lists;
    use serde_json::json;

    #[test]
    fn gateways_of_a_virtual_service_and_of_its_matches() {
        let manifest = json!({ "spec": {
            "http": [{ "match": [{}, {}] }, {}],
            "tcp": [{ "match": [{}] }],
        }});
        let expected = [
            "/spec/gateways",
            "/spec/http/0/match/0/gateways",
            "/spec/http/0/match/1/gateways",
            "/spec/tcp/0/match/0/gateways",
        ];
        assert_eq!(gateway_lists(&manifest), expected);
    }
}
