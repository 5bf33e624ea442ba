//! Routes of the Gateway API and the listeners that they attach to (Istio
//! `pilot/pkg/config/kube/gateway/route_collections.go` and `conversion.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use rule::host::istio::IstioHost;

use super::gateway_api::{Parent, ParentKey, Parents};
use crate::resources::gateway_api::{Reference, Route, RouteKind};
use crate::resources::istio::{Destination, HttpRoute, TcpRoute, TlsMatch, TlsRoute};
use crate::resources::kind::{GATEWAY_API, GATEWAY_API_EXPERIMENTAL};
use crate::resources::{GatewayName, GatewayReference, HostText, Kind, ResourceName};
use crate::routes::{Binding, BindingOrigin, Visibility};

/// The routes as istiod binds them: one [`Binding`] for each listener and host. HTTPRoutes and `GRPCRoutes` of
/// one listener and host become one binding, with the namespace and age of the oldest (Istio
/// `mergeHTTPRoutes`).
pub(super) fn bindings(routes: &[Route], parents: &Parents) -> Vec<Binding> {
    let mut http: BTreeMap<(GatewayName, String), Binding> = BTreeMap::new();
    let mut others = Vec::new();
    for route in sorted_by_age(routes) {
        // An explicit empty list of rules serves nothing.
        if route.spec.rules.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        let resource = Arc::new(route.metadata.resource(route.kind.resource_kind()));
        for (parent, siblings) in accepting_parents(route, parents) {
            match route.kind {
                RouteKind::Tcp => others.push(tcp_binding(route, parent, &resource)),
                RouteKind::Tls => others.extend(tls_binding(route, parent, &resource)),
                RouteKind::Http | RouteKind::Grpc => {
                    for host in hosts(route) {
                        // A more specific listener takes the host.
                        if !is_isolated(host, parent, siblings) {
                            continue;
                        }
                        let binding = http
                            .entry((parent.gateway.clone(), host.to_owned()))
                            .or_insert_with(|| http_binding(route, parent, host));
                        if !binding.sources.contains(&resource) {
                            binding.sources.push(Arc::clone(&resource));
                        }
                    }
                }
            }
        }
    }
    others.extend(http.into_values());
    others
}

/// The routes, the oldest first.
fn sorted_by_age(routes: &[Route]) -> Vec<&Route> {
    let mut sorted: Vec<&Route> = routes.iter().collect();
    sorted.sort_by_key(|route| {
        let metadata = &route.metadata;
        (
            metadata.creation_timestamp,
            &metadata.namespace,
            &metadata.name,
        )
    });
    sorted
}

/// The hosts of a route as they are written. A route without hosts is for all.
fn hosts(route: &Route) -> Vec<&str> {
    if route.spec.hostnames.is_empty() {
        return vec!["*"];
    }
    route.spec.hostnames.iter().map(HostText::as_str).collect()
}

/// The listeners that a route attaches to, each with all listeners of the same Gateway or ListenerSet.
fn accepting_parents<'p>(route: &Route, parents: &'p Parents) -> Vec<(&'p Parent, &'p [Parent])> {
    let mut found = Vec::new();
    for reference in &route.spec.parent_refs {
        // Routes of the mesh attach to Services, which are not gateways.
        let Some(kind) = parent_kind(reference) else {
            continue;
        };
        let key = ParentKey {
            kind,
            namespace: reference
                .namespace
                .as_ref()
                .unwrap_or(&route.metadata.namespace)
                .clone(),
            name: reference.name.clone(),
        };
        let siblings = parents.get(&key).map_or(&[][..], Vec::as_slice);
        found.extend(
            siblings
                .iter()
                .filter(|parent| attaches(route, reference, parent))
                .map(|parent| (parent, siblings)),
        );
    }
    found
}

/// The kind of resource that a route refers to, if it has listeners.
pub(crate) fn parent_kind(reference: &Reference) -> Option<Kind> {
    let group = reference.group.as_deref().unwrap_or(GATEWAY_API);
    match (group, reference.kind.as_deref().unwrap_or("Gateway")) {
        (GATEWAY_API, "Gateway") => Some(Kind::ApiGateway),
        (GATEWAY_API, "ListenerSet") | (GATEWAY_API_EXPERIMENTAL, "XListenerSet") => {
            Some(Kind::ListenerSet)
        }
        _ => None,
    }
}

/// Whether a listener accepts a route that refers to it (Istio `referenceAllowed`).
fn attaches(route: &Route, reference: &Reference, parent: &Parent) -> bool {
    // The reference can name a port and a listener.
    let has_port = reference.port.is_none_or(|port| port == parent.port);
    let has_name = reference
        .section_name
        .as_ref()
        .is_none_or(|name| *name == parent.listener);
    // The listener limits the kinds, the namespaces and the hosts of routes.
    has_port && has_name && parent.kinds.contains(&route.kind) && has_common_host(route, parent)
}

fn has_common_host(route: &Route, parent: &Parent) -> bool {
    hosts(route).into_iter().any(|host| {
        parent.hosts.iter().any(|own| {
            own.admits(&route.metadata.namespace) && IstioHost(&own.host).overlaps(IstioHost(host))
        })
    })
}

/// Whether no other listener of the parent on the port is more specific for a host (Istio
/// `hostnameAllowedByIsolation`).
fn is_isolated(host: &str, parent: &Parent, siblings: &[Parent]) -> bool {
    let own = IstioHost(&parent.hostname);
    let is_for_all = own.0.is_empty();
    // No listener is more specific than one for a single host.
    if !is_for_all && !own.is_wildcard() {
        return true;
    }
    if !is_for_all && !IstioHost(host).overlaps(own) {
        return false;
    }
    // istiod takes a host name that is at least as long for a more specific one.
    !siblings
        .iter()
        .filter(|other| (other.port, &other.protocol) == (parent.port, &parent.protocol))
        .filter(|other| !other.hostname.is_empty() && other.hostname != parent.hostname)
        .filter(|other| other.hostname.len() >= own.0.len())
        .any(|other| IstioHost(host).is_subset_of(IstioHost(&other.hostname)))
}

fn http_binding(route: &Route, parent: &Parent, host: &str) -> Binding {
    Binding {
        hosts: vec![host.to_owned()],
        http: vec![HttpRoute::default()],
        ..binding_without_rules(route, parent, BindingOrigin::GatewayApi)
    }
}

/// The binding of a TLSRoute for the hosts that route and listener have in common, if there are any (Istio
/// `constrainTLSRoutesToListenerHost`).
fn tls_binding(route: &Route, parent: &Parent, resource: &Arc<ResourceName>) -> Option<Binding> {
    let own = match parent.hostname.as_str() {
        "" => IstioHost("*"),
        hostname => IstioHost(hostname),
    };
    let common: Vec<String> = hosts(route)
        .into_iter()
        .filter_map(|host| IstioHost(host).intersection(own))
        .map(|host| host.0.to_owned())
        .collect();
    if common.is_empty() {
        return None;
    }
    Some(Binding {
        sources: vec![Arc::clone(resource)],
        tls: vec![TlsRoute {
            matches: vec![TlsMatch {
                sni_hosts: common
                    .iter()
                    .filter_map(|host| HostText::try_from(host.clone()).ok())
                    .collect(),
                ..TlsMatch::default()
            }],
            route: vec![Destination {}],
        }],
        hosts: common,
        ..binding_without_rules(route, parent, BindingOrigin::GatewayApiTls)
    })
}

/// The binding of a TCPRoute, which istiod binds for all hosts (Istio `TCPRouteCollection`).
fn tcp_binding(route: &Route, parent: &Parent, resource: &Arc<ResourceName>) -> Binding {
    Binding {
        sources: vec![Arc::clone(resource)],
        hosts: vec!["*".to_owned()],
        tcp: vec![TcpRoute {
            matches: Vec::new(),
            route: vec![Destination {}],
        }],
        ..binding_without_rules(route, parent, BindingOrigin::GatewayApi)
    }
}

fn binding_without_rules(route: &Route, parent: &Parent, origin: BindingOrigin) -> Binding {
    Binding {
        sources: Vec::new(),
        created: route.metadata.creation_timestamp,
        name: route.metadata.name.clone(),
        namespace: route.metadata.namespace.clone(),
        gateways: vec![GatewayReference::Qualified(parent.gateway.clone())],
        visibility: Visibility::Everywhere,
        origin,
        hosts: Vec::new(),
        http: Vec::new(),
        tls: Vec::new(),
        tcp: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::is_isolated;
    use crate::generated::gateway_api::Parent;
    use crate::resources::GatewayName;

    fn parent(hostname: &str, port: u16) -> Parent {
        Parent {
            gateway: GatewayName::new("shop", "public"),
            listener: hostname.into(),
            hostname: hostname.into(),
            port,
            protocol: "HTTPS".into(),
            hosts: Vec::new(),
            kinds: Vec::new(),
        }
    }

    #[test]
    fn a_more_specific_listener_takes_a_host() {
        let siblings = [
            parent("", 443),
            parent("*.example.com", 443),
            parent("a.example.com", 443),
            parent("b.example.com", 8443),
        ];
        let [all, wildcard, exact, _] = &siblings;
        for (host, parent, expected) in [
            ("a.example.com", all, false),
            ("a.example.com", wildcard, false),
            ("a.example.com", exact, true),
            ("b.example.com", all, false),
            // The listener for this host has another port.
            ("b.example.com", wildcard, true),
            ("c.test", all, true),
            ("c.test", wildcard, false),
        ] {
            let found = is_isolated(host, parent, &siblings);
            assert_eq!(found, expected, "{host} {:?}", parent.hostname);
        }
    }
}
