//! Routes of the Gateway API that nearly fit a host of a listener.

use std::collections::HashMap;

use super::Near;
use crate::ServerId;
use crate::findings::context::Context;
use crate::findings::parent_listeners::{Parents, Refusal, hosts_of, parent_of};
use crate::findings::similar_host::is_similar;
use crate::findings::{Remedy, kubectl};
use crate::resources::ResourceName;
use crate::resources::gateway_api::{Reference, Route};
use crate::server::Entry;

/// The routes, by the Gateways and ListenerSets that they refer to and by their hosts.
pub(super) struct NearRoutes<'i> {
    parents: Parents<'i>,
    by_parent: HashMap<ResourceName, Vec<(&'i Route, &'i Reference)>>,
    by_host: HashMap<&'i str, &'i Route>,
}

impl<'i> NearRoutes<'i> {
    pub(super) fn new(context: &Context<'i>) -> Self {
        let mut by_parent: HashMap<ResourceName, Vec<(&Route, &Reference)>> = HashMap::new();
        let mut by_host = HashMap::new();
        for route in &context.input.resources.routes {
            for reference in &route.spec.parent_refs {
                if let Some(parent) = parent_of(route, reference) {
                    by_parent
                        .entry(parent)
                        .or_default()
                        .push((route, reference));
                }
            }
            for host in &route.spec.hostnames {
                by_host.entry(host.as_str()).or_insert(route);
            }
        }
        Self {
            parents: Parents::new(context),
            by_parent,
            by_host,
        }
    }

    /// The route that fits most nearly, and why it does not fit.
    pub(super) fn find(&self, server: &ServerId, host: &str) -> Option<Near> {
        let Entry::Listener(name) = &server.entry else {
            return None;
        };
        let parent = self.parents.get(&server.resource)?;
        let listener = parent.listener(name)?;
        let named = self
            .by_parent
            .get(&server.resource)
            .map_or(&[][..], Vec::as_slice);

        let mut nearest: Option<(Refusal, &Route)> = None;
        let mut similar: Option<(&Route, &str)> = None;
        for (route, reference) in named {
            for own in hosts_of(route) {
                let refusal =
                    self.parents
                        .refusal_of(listener, &server.resource, route, reference, own);
                match refusal {
                    Some(Refusal::Host(_)) if is_similar(own, host) => {
                        similar = similar.or(Some((route, own)));
                    }
                    Some(Refusal::Host(_)) | None => {}
                    Some(refusal) => {
                        if nearest.as_ref().is_none_or(|(known, _)| refusal < *known) {
                            nearest = Some((refusal, route));
                        }
                    }
                }
            }
        }
        if let Some((refusal, route)) = nearest {
            return Some(near(route, &reason(&refusal, route, name)));
        }
        if let Some((route, own)) = similar {
            return Some(near(route, &format!("has the similar host {own}")));
        }
        // A route of another Gateway.
        let route = self.by_host.get(host)?;
        let refers = named
            .iter()
            .any(|(other, _)| other.metadata == route.metadata);
        (!refers).then(|| {
            near(
                route,
                &format!("has the host, but does not refer to {}", server.resource),
            )
        })
    }
}

fn near(route: &Route, reason: &str) -> Near {
    let resource = route.metadata.resource(route.kind.resource_kind());
    Near {
        reason: reason.to_owned(),
        hint: Remedy::with_command(
            "correct the route, or the listener",
            kubectl::edit(&resource),
        ),
        resource,
    }
}

fn reason(refusal: &Refusal, route: &Route, listener: &str) -> String {
    match refusal {
        Refusal::Namespace => format!(
            "has the host, but allowedRoutes of listener {listener} excludes namespace {}",
            route.metadata.namespace
        ),
        Refusal::Kind => format!(
            "has the host, but listener {listener} does not allow {}s",
            route.kind.resource_kind().name()
        ),
        Refusal::OtherListener => {
            "has the host, but its parentRef names another listener by sectionName or port"
                .to_owned()
        }
        Refusal::Host(own) => format!("has another host than the listener, {own}"),
    }
}
