//! Routes of the Gateway API and the listeners that they name.

use std::collections::HashSet;

use super::Context;
use crate::findings::finding::Findings;
use crate::findings::parent_listeners::{Parent, Parents, Refusal, hosts_of, parent_of};
use crate::findings::{Code, Finding, Remedy, kubectl};
use crate::resources::gateway_api::{Reference, Route};
use crate::resources::{Kind, ResourceName};

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    let parents = Parents::new(context);
    // Another controller decides about routes of its Gateways.
    let ignored: HashSet<&ResourceName> = context
        .input
        .model
        .ignored
        .iter()
        .map(|ignored| &ignored.resource)
        .collect();
    for route in &context.input.resources.routes {
        let mut named = Vec::new();
        let mut all_are_known = true;
        for reference in &route.spec.parent_refs {
            let Some(name) = parent_of(route, reference) else {
                // A Service is a parent in the mesh, where the hosts have another meaning.
                all_are_known = false;
                continue;
            };
            match parents.get(&name) {
                Some(_) if ignored.contains(&name) => all_are_known = false,
                Some(parent) => named.push((reference, parent)),
                None => {
                    all_are_known = false;
                    if is_missing(&name, &parents, context) {
                        findings.add(missing(route, &name));
                    }
                }
            }
        }
        // A parent that is not in the input may accept the hosts.
        if all_are_known && !named.is_empty() {
            find_hosts(route, &named, &parents, findings);
        }
    }
}

/// Whether the input would contain a Gateway if it existed. A ListenerSet can be created by any team, so a missing
/// one is usually in other files.
fn is_missing(name: &ResourceName, parents: &Parents<'_>, context: &Context<'_>) -> bool {
    name.kind == Kind::ApiGateway
        && (context.input.has_all_gateways || parents.has_gateway_in(&name.namespace))
}

fn missing(route: &Route, parent: &ResourceName) -> Finding {
    let resource = route.metadata.resource(route.kind.resource_kind());
    let message =
        format!("{resource} refers to {parent}, which does not exist: its routes have no effect");
    let hint = Remedy::with_command(
        "set spec.parentRefs to the name of a Gateway that exists; look it up",
        kubectl::list_everywhere("gateways.gateway.networking.k8s.io"),
    );
    Finding::new(Code::RouteUnattached, message, hint).about(resource)
}

/// Reports the hosts of a route that no listener of its parents accepts.
fn find_hosts(
    route: &Route,
    named: &[(&Reference, &Parent<'_>)],
    parents: &Parents<'_>,
    findings: &mut Findings<'_>,
) {
    let mut refused: Vec<(&str, Refusal, &Parent<'_>)> = Vec::new();
    for host in hosts_of(route) {
        let refusals: Vec<Option<(Refusal, &Parent<'_>)>> = named
            .iter()
            .map(|(reference, parent)| {
                let refusal = parents.refusal(parent, route, reference, host)?;
                Some((refusal, *parent))
            })
            .collect();
        // One listener that accepts the host is enough.
        if refusals.iter().any(Option::is_none) {
            continue;
        }
        let nearest = refusals
            .into_iter()
            .flatten()
            .min_by(|(a, _), (b, _)| a.cmp(b));
        if let Some((refusal, parent)) = nearest {
            refused.push((host, refusal, parent));
        }
    }
    let Some((host, refusal, parent)) = refused.first() else {
        return;
    };
    let others = match refused.len() - 1 {
        0 => String::new(),
        count => format!(" and {count} more of its hosts"),
    };
    let resource = route.metadata.resource(route.kind.resource_kind());
    let message = format!(
        "no listener of {} accepts {host}{others} of {resource} ({}): its routes for the host have no effect",
        parent.resource,
        reason(refusal, route)
    );
    let hint = Remedy::with_command(
        "correct the route, or the listener; the status of the route has the reason",
        kubectl::describe(&resource),
    );
    findings.add(
        Finding {
            authority: Some((*host).to_owned()),
            ..Finding::new(Code::RouteUnattached, message, hint)
        }
        .about(resource)
        .about(parent.resource.clone()),
    );
}

fn reason(refusal: &Refusal, route: &Route) -> String {
    match refusal {
        Refusal::Namespace => format!(
            "allowedRoutes excludes namespace {}",
            route.metadata.namespace
        ),
        Refusal::Kind => format!(
            "the listener does not allow {}s",
            route.kind.resource_kind().name()
        ),
        Refusal::OtherListener => {
            "sectionName or port of the parentRef names another listener".to_owned()
        }
        Refusal::Host(host) => format!("a listener has {host}"),
    }
}
