//! Routes of the Gateway API at their listeners (Istio
//! `pilot/pkg/config/kube/gateway/route_collections.go` and `conversion.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use rule::host::istio::IstioHost;

use super::gateway_api::{Parent, ParentKey, Parents};
use crate::resources::gateway_api::{Reference, Route, RouteKind};
use crate::resources::istio::{Destination, HttpRoute, TlsMatch, TlsRoute};
use crate::resources::{HostText, ResourceName};
use crate::routes::{Binding, BindingOrigin, Visibility};

/// One for each listener and host. Routes of requests that share both become one, in the namespace
/// of the oldest (Istio `mergeHTTPRoutes`).
pub(super) fn bindings(routes: &[Route], parents: &Parents) -> Vec<Binding> {
    let mut sorted: Vec<&Route> = routes.iter().collect();
    sorted.sort_by_key(|route| {
        let metadata = &route.metadata;
        (
            metadata.creation_timestamp,
            &metadata.namespace,
            &metadata.name,
        )
    });
    let mut of_requests: BTreeMap<(String, String), Binding> = BTreeMap::new();
    let mut of_connections = Vec::new();
    for route in sorted {
        if route.spec.rules.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        let resource = Arc::new(route.metadata.resource(route.kind.resource_kind()));
        for (parent, siblings) in accepted(route, parents) {
            match route.kind {
                RouteKind::Tls => of_connections.extend(tls_binding(route, parent, &resource)),
                RouteKind::Http | RouteKind::Grpc => {
                    let hosts = hosts(route).into_iter();
                    for host in hosts.filter(|host| is_isolated(host, parent, siblings)) {
                        let key = (parent.gateway.clone(), host.to_owned());
                        let binding = of_requests
                            .entry(key)
                            .or_insert_with(|| http_binding(route, parent, host));
                        if !binding.sources.contains(&resource) {
                            binding.sources.push(Arc::clone(&resource));
                        }
                    }
                }
            }
        }
    }
    of_connections.extend(of_requests.into_values());
    of_connections
}

/// The hosts as they are written; none stands for all.
fn hosts(route: &Route) -> Vec<&str> {
    if route.spec.hostnames.is_empty() {
        return vec!["*"];
    }
    route.spec.hostnames.iter().map(HostText::as_str).collect()
}

/// The listeners a route attaches to, each with those of the same parent.
fn accepted<'p>(route: &Route, parents: &'p Parents) -> Vec<(&'p Parent, &'p [Parent])> {
    let mut found = Vec::new();
    for reference in &route.spec.parent_refs {
        let Some(kind) = parent_kind(reference) else {
            continue;
        };
        let namespace = reference
            .namespace
            .as_ref()
            .unwrap_or(&route.metadata.namespace)
            .clone();
        let key = ParentKey {
            kind,
            namespace,
            name: reference.name.clone(),
        };
        let siblings = parents.get(&key).map_or(&[][..], Vec::as_slice);
        let fitting = siblings
            .iter()
            .filter(|parent| attaches(route, reference, parent));
        found.extend(fitting.map(|parent| (parent, siblings)));
    }
    found
}

fn parent_kind(reference: &Reference) -> Option<&'static str> {
    match reference.kind.as_deref().unwrap_or("Gateway") {
        "Gateway" => Some("Gateway"),
        "ListenerSet" | "XListenerSet" => Some("ListenerSet"),
        _ => None,
    }
}

/// Istio `referenceAllowed`.
fn attaches(route: &Route, reference: &Reference, parent: &Parent) -> bool {
    let right_port = reference.port.is_none_or(|port| port == parent.port);
    let right_name = reference
        .section_name
        .as_ref()
        .is_none_or(|name| *name == parent.listener);
    let fits = |host: &str| {
        parent.hosts.iter().any(|text| {
            let (namespace, own) = text.split_once('/').unwrap_or(("*", text));
            let is_allowed = namespace == "*" || namespace == route.metadata.namespace;
            is_allowed && IstioHost(own).overlaps(IstioHost(host))
        })
    };
    right_port
        && right_name
        && parent.kinds.contains(&route.kind.resource_kind().name())
        && hosts(route).into_iter().any(fits)
}

/// Whether no other listener of the parent on the port is more specific for a host (Istio
/// `hostnameAllowedByIsolation`).
fn is_isolated(host: &str, parent: &Parent, siblings: &[Parent]) -> bool {
    let own = IstioHost(&parent.hostname);
    if !own.0.is_empty() && !own.is_wildcard() {
        return true;
    }
    if !own.0.is_empty() && !IstioHost(host).overlaps(own) {
        return false;
    }
    let others = siblings.iter().filter(|other| {
        (other.port, &other.protocol) == (parent.port, &parent.protocol)
            && other.hostname != parent.hostname
            && other.hostname.len() >= own.0.len()
    });
    let mut closer = others.filter(|other| !other.hostname.is_empty());
    !closer.any(|other| IstioHost(host).is_subset_of(IstioHost(&other.hostname)))
}

fn http_binding(route: &Route, parent: &Parent, host: &str) -> Binding {
    Binding {
        hosts: vec![host.to_owned()],
        http: vec![HttpRoute::default()],
        ..empty(route, parent, BindingOrigin::GatewayApi)
    }
}

/// With the hosts that route and listener have in common (Istio `constrainTLSRoutesToListenerHost`).
fn tls_binding(route: &Route, parent: &Parent, resource: &Arc<ResourceName>) -> Option<Binding> {
    let own = if parent.hostname.is_empty() {
        "*"
    } else {
        &parent.hostname
    };
    let common = hosts(route)
        .into_iter()
        .filter_map(|host| IstioHost(host).intersection(IstioHost(own)))
        .map(|host| host.0.to_owned());
    let hosts: Vec<String> = common.collect();
    let sni_hosts: Vec<HostText> = hosts
        .iter()
        .filter_map(|host| HostText::try_from(host.clone()).ok())
        .collect();
    let matches = vec![TlsMatch {
        sni_hosts,
        ..TlsMatch::default()
    }];
    let tls = vec![TlsRoute {
        matches,
        route: vec![Destination {}],
    }];
    let base = empty(route, parent, BindingOrigin::GatewayApiTls);
    let sources = vec![Arc::clone(resource)];
    (!hosts.is_empty()).then_some(Binding {
        sources,
        hosts,
        tls,
        ..base
    })
}

fn empty(route: &Route, parent: &Parent, origin: BindingOrigin) -> Binding {
    Binding {
        sources: Vec::new(),
        created: route.metadata.creation_timestamp,
        name: route.metadata.name.clone(),
        namespace: route.metadata.namespace.clone(),
        gateways: vec![parent.gateway.clone()],
        visibility: Visibility::Everywhere,
        origin,
        hosts: Vec::new(),
        http: Vec::new(),
        tls: Vec::new(),
        tcp: Vec::new(),
    }
}
