//! The VirtualServices of the servers that go away, and how they are bound.

use rule::host::istio::IstioHost;
use serde_json::Value;

use super::group::{Group, Member, split};
use super::state::State;
use super::write::{Edit, Write, texts};
use crate::resources::istio::VirtualService;
use crate::resources::{Kind, ResourceName};
use crate::routes::resolve_gateway;

/// A VirtualService that is bound to a Gateway of the absorbed servers for one of their hosts, or a
/// delegate of one.
pub(super) struct Bound<'s> {
    pub(super) resource: ResourceName,
    pub(super) service: &'s VirtualService,
}

/// Those that are to be bound to the growing Gateway too.
pub(super) fn bound<'s>(group: &Group<'_>, state: &'s State) -> Vec<Bound<'s>> {
    let others: Vec<&Member> = group
        .absorbed
        .iter()
        .filter(|member| member.gateway != group.target.gateway)
        .collect();
    let services = &state.resources().virtual_services;
    let roots = services.iter().filter(|service| {
        others
            .iter()
            .any(|member| is_bound(service, member, &member.hosts(state)))
    });
    let roots: Vec<&VirtualService> = roots.collect();
    let delegates = services.iter().filter(|service| {
        service.spec.hosts.is_empty() && roots.iter().any(|root| names(root, service))
    });
    let bound = |service: &'s VirtualService| Bound {
        resource: service.metadata.resource(Kind::VirtualService),
        service,
    };
    roots.iter().copied().chain(delegates).map(bound).collect()
}

fn is_bound(service: &VirtualService, member: &Member, hosts: &[String]) -> bool {
    let namespace = &service.metadata.namespace;
    let gateway = member.full_gateway();
    let mut gateways = service.spec.gateways.iter();
    gateways.any(|reference| reference.resolve(namespace).to_string() == gateway)
        && hosts.iter().any(|host| {
            let (within, host) = split(host);
            within.is_none_or(|within| within == namespace)
                && service
                    .spec
                    .hosts
                    .iter()
                    .any(|name| IstioHost(name.as_str()).overlaps(IstioHost(host)))
        })
}

fn names(root: &VirtualService, delegate: &VirtualService) -> bool {
    let named = root
        .spec
        .http
        .iter()
        .filter_map(|route| route.delegate.as_ref());
    named.into_iter().any(|named| {
        let namespace = if named.namespace.is_empty() {
            &root.metadata.namespace
        } else {
            &named.namespace
        };
        named.name == delegate.metadata.name && *namespace == delegate.metadata.namespace
    })
}

/// Binds routes to the growing Gateway beside the others.
pub(super) fn bind(group: &Group<'_>, state: &State) -> Vec<Write> {
    let absorbed: Vec<String> = group.absorbed.iter().map(Member::full_gateway).collect();
    let target = group.target.full_gateway();
    let change = |names: &[String], namespace: &str| {
        let resolved = |text: &String| resolve_gateway(text, namespace);
        let is_due = names.iter().any(|text| absorbed.contains(&resolved(text)))
            && !names.iter().any(|text| resolved(text) == target);
        is_due.then(|| [names, &[group.target.reference(namespace)]].concat())
    };
    bound(group, state)
        .iter()
        .filter_map(|bound| rewrite(bound, state, &change))
        .collect()
}

/// Takes Gateways out of the bindings of routes that have another.
pub(super) fn unbind(
    state: &State,
    services: &[ResourceName],
    deleted: &[ResourceName],
) -> Vec<Write> {
    let deleted: Vec<String> = deleted
        .iter()
        .map(|gateway| format!("{}/{}", gateway.namespace, gateway.name))
        .collect();
    let change = |names: &[String], namespace: &str| {
        let is_left = |text: &&String| !deleted.contains(&resolve_gateway(text, namespace));
        let left: Vec<String> = names.iter().filter(is_left).cloned().collect();
        (left.len() < names.len() && !left.is_empty()).then_some(left)
    };
    let all = state.resources().virtual_services.iter();
    let bound = all.map(|service| Bound {
        resource: service.metadata.resource(Kind::VirtualService),
        service,
    });
    bound
        .filter(|bound| services.contains(&bound.resource))
        .filter_map(|bound| rewrite(&bound, state, &change))
        .collect()
}

/// What a list of Gateways is to be in a VirtualService of a namespace; `None` for as it is.
type Change<'c> = &'c dyn Fn(&[String], &str) -> Option<Vec<String>>;

/// Changes every list of Gateways in a VirtualService; `None` where nothing changes.
fn rewrite(bound: &Bound<'_>, state: &State, change: Change<'_>) -> Option<Write> {
    let manifest = state.manifest(&bound.resource)?;
    let lists = gateway_lists(manifest);
    let edits = lists.into_iter().filter_map(|path| {
        let old = manifest.pointer(&path)?;
        let names: Vec<String> = old
            .as_array()?
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        let new = change(&names, &bound.resource.namespace)?;
        Some(Edit::Replace {
            path,
            old: old.clone(),
            new: texts(&new),
        })
    });
    let edits: Vec<Edit> = edits.collect();
    (!edits.is_empty()).then(|| Write::Patch {
        resource: bound.resource.clone(),
        edits,
    })
}

/// Where a VirtualService names Gateways.
fn gateway_lists(manifest: &Value) -> Vec<String> {
    let mut lists = vec!["/spec/gateways".to_owned()];
    let length = |path: &str| {
        manifest
            .pointer(path)
            .and_then(Value::as_array)
            .map_or(0, Vec::len)
    };
    for kind in ["http", "tls", "tcp"] {
        for route in 0..length(&format!("/spec/{kind}")) {
            let matches = format!("/spec/{kind}/{route}/match");
            let of_matches = (0..length(&matches)).map(|at| format!("{matches}/{at}/gateways"));
            lists.extend(of_matches);
        }
    }
    lists
}
