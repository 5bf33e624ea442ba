//! Gateways and ListenerSets of the Gateway API (Istio `pilot/pkg/config/kube/gateway`,
//! `GatewayCollection`, `ListenerSetCollection` and `buildListener`).

mod admission;
mod certificates;
mod classes;
mod listener;

use std::collections::HashMap;

use super::{Generated, Unprogrammed, UnprogrammedReason};
use crate::mesh::MeshSettings;
use crate::resources::gateway_api::{Address, ApiGateway, Listener, ListenerSet, RouteKind};
use crate::resources::{GatewayName, Kind, Metadata, NamespacedHost, ResourceName, Resources};
use crate::server::{Entry, GatewayPods, ServerId};
use admission::{Admission, allows_listeners};
use certificates::Certificates;

/// A resource that routes can refer to as their parent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ParentKey {
    /// [`Kind::ApiGateway`] or [`Kind::ListenerSet`].
    pub(super) kind: Kind,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// A listener that routes can attach to.
#[derive(Clone, Debug)]
pub(super) struct Parent {
    /// The Gateway that istiod generates for the listener.
    pub(super) gateway: GatewayName,
    pub(super) listener: String,
    /// The host as it is written; empty for all hosts.
    pub(super) hostname: String,
    pub(super) port: u16,
    pub(super) protocol: String,
    /// The hosts with the namespaces of the routes that can attach.
    pub(super) hosts: Vec<NamespacedHost>,
    pub(super) kinds: Vec<RouteKind>,
}

/// The listeners of each parent.
pub(super) type Parents = HashMap<ParentKey, Vec<Parent>>;

/// One listener of a Gateway, or of a ListenerSet that the Gateway allows.
struct GatewayListener<'r> {
    gateway: &'r ApiGateway,
    /// The metadata of the Gateway or ListenerSet that contains the listener.
    owner: &'r Metadata,
    kind: Kind,
    listener: &'r Listener,
}

impl GatewayListener<'_> {
    fn id(&self) -> ServerId {
        ServerId {
            resource: self.owner.resource(self.kind),
            entry: Entry::Listener(self.listener.name.clone()),
        }
    }

    fn host(&self) -> &str {
        self.listener
            .hostname
            .as_ref()
            .map_or("*", |host| host.as_str())
    }

    /// The port: by default the port of the protocol, in a ListenerSet (Istio `ListenerEntryPortNumber`).
    fn port(&self) -> u16 {
        match (self.listener.port, self.listener.protocol.as_str()) {
            (0, "HTTP") => 80,
            (0, "HTTPS") => 443,
            (port, _) => port,
        }
    }
}

/// Generates a Gateway for each listener, and returns the listeners that routes can attach to.
pub(super) fn listeners(
    resources: &Resources,
    settings: &MeshSettings,
    generated: &mut Generated,
) -> Parents {
    let certificates = Certificates::new(resources);
    let admission = Admission::new(resources);
    let mut sets = sets_by_gateway(&resources.listener_sets);
    let mut parents = Parents::new();
    for gateway in classes::istio_gateways(resources, settings, generated) {
        let metadata = &gateway.metadata;
        let sets = sets
            .remove(&(metadata.namespace.as_str(), metadata.name.as_str()))
            .unwrap_or_default();
        let allowed = allowed_listeners(gateway, &sets, &admission, generated);
        for listener in without_conflicts(allowed, generated) {
            listener::convert(
                &listener,
                &certificates,
                &admission,
                generated,
                &mut parents,
            );
        }
    }
    parents
}

/// The ListenerSets of each Gateway, by its namespace and name, the oldest first.
fn sets_by_gateway(sets: &[ListenerSet]) -> HashMap<(&str, &str), Vec<&ListenerSet>> {
    let mut sorted: Vec<&ListenerSet> = sets.iter().collect();
    sorted.sort_by_key(|set| {
        (
            set.metadata.creation_timestamp,
            &set.metadata.namespace,
            &set.metadata.name,
        )
    });
    let mut by_gateway: HashMap<_, Vec<&ListenerSet>> = HashMap::new();
    for set in sorted {
        let parent = &set.spec.parent_ref;
        // By default the Gateway is in the namespace of the ListenerSet.
        let namespace = parent.namespace.as_ref().unwrap_or(&set.metadata.namespace);
        by_gateway
            .entry((namespace.as_str(), parent.name.as_str()))
            .or_default()
            .push(set);
    }
    by_gateway
}

/// The listeners of a Gateway, then the listeners of the ListenerSets that it allows. istiod does not program the
/// listeners of other ListenerSets.
fn allowed_listeners<'r>(
    gateway: &'r ApiGateway,
    sets: &[&'r ListenerSet],
    admission: &Admission<'_>,
    generated: &mut Generated,
) -> Vec<GatewayListener<'r>> {
    let mut allowed = Vec::new();
    // The listeners of the Gateway itself come first and win conflicts.
    for listener in &gateway.spec.listeners {
        allowed.push(GatewayListener {
            gateway,
            owner: &gateway.metadata,
            kind: Kind::ApiGateway,
            listener,
        });
    }
    for set in sets {
        let is_allowed = allows_listeners(gateway, &set.metadata.namespace, admission);
        for listener in &set.spec.listeners {
            let listener = GatewayListener {
                gateway,
                owner: &set.metadata,
                kind: Kind::ListenerSet,
                listener,
            };
            if is_allowed {
                allowed.push(listener);
                continue;
            }
            generated.unprogrammed.push(Unprogrammed {
                server: listener.id(),
                reason: UnprogrammedReason::NotAllowed {
                    gateway: gateway.metadata.resource(Kind::ApiGateway),
                },
            });
        }
    }
    allowed
}

/// The listeners without those that conflict: of two listeners of a Gateway with one port and host istiod
/// programs the first (Istio `pilot/pkg/config/kube/gatewaycommon/listener_conflict.go`).
fn without_conflicts<'r>(
    listeners: Vec<GatewayListener<'r>>,
    generated: &mut Generated,
) -> Vec<GatewayListener<'r>> {
    let mut accepted: HashMap<(u16, String), ServerId> = HashMap::new();
    let mut kept = Vec::with_capacity(listeners.len());
    for listener in listeners {
        // TCP and UDP have no hosts, so such listeners cannot share a port.
        let host = match listener.listener.protocol.as_str() {
            "TCP" | "UDP" => "",
            _ => listener.host(),
        };
        // Hosts are compared as they are written: a wildcard and a host below it do not conflict.
        let key = (listener.port(), host.to_owned());
        if let Some(winner) = accepted.get(&key) {
            generated.unprogrammed.push(Unprogrammed {
                server: listener.id(),
                reason: UnprogrammedReason::SameHost {
                    host: host.to_owned(),
                    winner: winner.clone(),
                },
            });
        } else {
            accepted.insert(key, listener.id());
            kept.push(listener);
        }
    }
    kept
}

/// The workloads that a Gateway runs on (Istio `extractGatewayServices` and `IsManaged`).
fn attachments(gateway: &ApiGateway) -> Vec<GatewayPods> {
    let Metadata {
        namespace, name, ..
    } = &gateway.metadata;
    let addresses = &gateway.spec.addresses;
    // Without host names istiod deploys pods for the Gateway. It does so for one IP address too, which
    // the Service gets.
    if addresses.len() < 2 && !addresses.iter().any(is_hostname) {
        return vec![GatewayPods::Managed {
            namespace: namespace.clone(),
            gateway: name.clone(),
        }];
    }
    // Otherwise each host name is a Service whose pods run the Gateway.
    addresses
        .iter()
        .filter(|address| address.kind.is_none() || is_hostname(address))
        .filter_map(|address| local_service(&address.value, namespace))
        .map(|name| GatewayPods::Service {
            namespace: namespace.clone(),
            name: name.to_owned(),
        })
        .collect()
}

fn is_hostname(address: &Address) -> bool {
    address.kind.as_deref() == Some("Hostname")
}

/// The name of the Service that a host name refers to, if it is in the namespace: a Gateway cannot run on
/// the pods of another namespace.
fn local_service<'v>(value: &'v str, namespace: &str) -> Option<&'v str> {
    match value.split_once('.') {
        None => Some(value),
        Some((name, rest)) => (rest.split('.').next() == Some(namespace)).then_some(name),
    }
}

/// The identity of a Secret, for messages.
fn secret_name(namespace: &str, name: &str) -> ResourceName {
    ResourceName {
        kind: Kind::Secret,
        namespace: namespace.into(),
        name: name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::local_service;

    #[test]
    fn services_of_the_namespace() {
        for (value, expected) in [
            ("gateway", Some("gateway")),
            ("gateway.shop", Some("gateway")),
            ("gateway.shop.svc.cluster.local", Some("gateway")),
            ("gateway.other", None),
            ("gateway.other.svc.cluster.local", None),
        ] {
            assert_eq!(local_service(value, "shop"), expected, "{value}");
        }
    }
}
