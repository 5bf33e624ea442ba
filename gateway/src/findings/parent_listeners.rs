//! The listeners of the Gateway API that a route refers to, and why one does not accept a host of it.

use std::collections::{HashMap, HashSet};

use rule::host::istio::IstioHost;

use super::context::Context;
use crate::generated::attachments::parent_kind;
use crate::resources::gateway_api::{FromNamespaces, Listener, Reference, Route};
use crate::resources::{HostText, Kind, Labels, ResourceName};

/// A Gateway or ListenerSet with its listeners.
pub(super) struct Parent<'r> {
    pub(super) resource: ResourceName,
    listeners: &'r [Listener],
}

/// The parents of all routes, and what the input has of their namespaces.
pub(super) struct Parents<'r> {
    by_name: HashMap<ResourceName, Parent<'r>>,
    /// The namespaces with Gateways of the Gateway API.
    namespaces: HashSet<&'r str>,
    /// The labels of the namespaces of the input.
    labels: HashMap<&'r str, &'r Labels>,
}

/// Why a listener does not accept a host of a route, the last check first: a listener with a later reason fits
/// more nearly.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal {
    /// The listener has the host, but it allows no routes of the namespace.
    Namespace,
    /// The listener has the host, but it allows no routes of the kind.
    Kind,
    /// The route names another listener by `sectionName` or `port`.
    OtherListener,
    /// The listener has another host.
    Host(String),
}

impl<'r> Parents<'r> {
    pub(super) fn new(context: &Context<'r>) -> Self {
        let resources = context.input.resources;
        let gateways = resources.api_gateways.iter().map(|gateway| Parent {
            resource: gateway.metadata.resource(Kind::ApiGateway),
            listeners: &gateway.spec.listeners,
        });
        let sets = resources.listener_sets.iter().map(|set| Parent {
            resource: set.metadata.resource(Kind::ListenerSet),
            listeners: &set.spec.listeners,
        });
        Self {
            by_name: gateways
                .chain(sets)
                .map(|parent| (parent.resource.clone(), parent))
                .collect(),
            namespaces: resources
                .api_gateways
                .iter()
                .map(|gateway| gateway.metadata.namespace.as_str())
                .collect(),
            labels: resources
                .namespaces
                .iter()
                .map(|namespace| (namespace.metadata.name.as_str(), &namespace.metadata.labels))
                .collect(),
        }
    }

    pub(super) fn get(&self, name: &ResourceName) -> Option<&Parent<'r>> {
        self.by_name.get(name)
    }

    /// Whether the input has a Gateway of the Gateway API in a namespace.
    pub(super) fn has_gateway_in(&self, namespace: &str) -> bool {
        self.namespaces.contains(namespace)
    }

    /// Why no listener of a parent accepts a host of a route, for the listener that fits most nearly; `None` if
    /// one accepts it, or if the parent has no listener.
    pub(super) fn refusal(
        &self,
        parent: &Parent<'_>,
        route: &Route,
        reference: &Reference,
        host: &str,
    ) -> Option<Refusal> {
        let refusals: Vec<Option<Refusal>> = parent
            .listeners
            .iter()
            .map(|listener| self.refusal_of(listener, &parent.resource, route, reference, host))
            .collect();
        if refusals.iter().any(Option::is_none) {
            return None;
        }
        refusals.into_iter().flatten().min()
    }

    /// Why a listener of a parent does not accept a host of a route (Istio
    /// `pilot/pkg/config/kube/gateway/conversion.go`, `referenceAllowed`).
    pub(super) fn refusal_of(
        &self,
        listener: &Listener,
        parent: &ResourceName,
        route: &Route,
        reference: &Reference,
        host: &str,
    ) -> Option<Refusal> {
        let own = host_of(listener);
        if !IstioHost(own).overlaps(IstioHost(host)) {
            return Some(Refusal::Host(own.to_owned()));
        }
        if !is_named(listener, reference) {
            return Some(Refusal::OtherListener);
        }
        if !listener.allows(route.kind) {
            return Some(Refusal::Kind);
        }
        let is_allowed =
            self.allows_namespace(listener, &parent.namespace, &route.metadata.namespace);
        (!is_allowed).then_some(Refusal::Namespace)
    }

    /// Whether a listener of a parent in `own` allows routes of a namespace.
    fn allows_namespace(&self, listener: &Listener, own: &str, namespace: &str) -> bool {
        let namespaces = listener
            .allowed_routes
            .as_ref()
            .and_then(|allowed| allowed.namespaces.as_ref());
        match namespaces.map(|namespaces| (namespaces.from, namespaces.selector.as_ref())) {
            None | Some((None | Some(FromNamespaces::Same), _)) => namespace == own,
            Some((Some(FromNamespaces::All), _) | (Some(FromNamespaces::Selector), None)) => true,
            Some((Some(FromNamespaces::None), _)) => false,
            // The labels of a namespace that is not in the input are unknown: they may be right.
            Some((Some(FromNamespaces::Selector), Some(selector))) => self
                .labels
                .get(namespace)
                .is_none_or(|labels| selector.matches(labels)),
        }
    }
}

impl Parent<'_> {
    /// A listener by its name.
    pub(super) fn listener(&self, name: &str) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.name == name)
    }
}

/// The resource that a route refers to; `None` for a Service, to which routes of the mesh attach.
pub(super) fn parent_of(route: &Route, reference: &Reference) -> Option<ResourceName> {
    Some(ResourceName {
        kind: parent_kind(reference)?,
        namespace: reference
            .namespace
            .as_ref()
            .unwrap_or(&route.metadata.namespace)
            .clone(),
        name: reference.name.clone(),
    })
}

/// The hosts of a route as they are written. A route without hosts is for all.
pub(super) fn hosts_of(route: &Route) -> Vec<&str> {
    if route.spec.hostnames.is_empty() {
        return vec!["*"];
    }
    route.spec.hostnames.iter().map(HostText::as_str).collect()
}

fn host_of(listener: &Listener) -> &str {
    listener.hostname.as_ref().map_or("*", |host| host.as_str())
}

/// Whether a reference names a listener, or no listener in particular.
fn is_named(listener: &Listener, reference: &Reference) -> bool {
    let has_name = reference
        .section_name
        .as_ref()
        .is_none_or(|name| *name == listener.name);
    has_name && reference.port.is_none_or(|port| port == listener.port)
}
