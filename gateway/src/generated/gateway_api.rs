//! Gateways and ListenerSets of the Gateway API (Istio `pilot/pkg/config/kube/gateway`,
//! `GatewayCollection`, `ListenerSetCollection` and `buildListener`).

mod admission;
mod certificates;
mod listener;

use std::collections::HashMap;

use super::{Generated, Ignored, Unprogrammed, UnprogrammedReason};
use crate::resources::gateway_api::{ApiGateway, Listener, ListenerSet};
use crate::resources::{Kind, Metadata, ResourceName, Resources};
use crate::server::{Attachment, Entry, ServerId};
use admission::{Admission, allows_listeners};
use certificates::Certificates;

/// istiod's own classes, which need no GatewayClass in the input.
const CLASS: &str = "istio";
const CONTROLLER: &str = "istio.io/gateway-controller";

/// What a route may name as its parent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ParentKey {
    pub(super) kind: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// A listener, as routes attach to it.
#[derive(Clone, Debug)]
pub(super) struct Parent {
    /// The Gateway that stands for it, `namespace/name`.
    pub(super) gateway: String,
    pub(super) listener: String,
    /// The host as it is written; empty for all.
    pub(super) hostname: String,
    pub(super) port: u16,
    pub(super) protocol: String,
    /// The hosts with the namespaces of their routes.
    pub(super) hosts: Vec<String>,
    /// The kinds of routes that may attach.
    pub(super) kinds: Vec<&'static str>,
}

/// The listeners by what routes name.
pub(super) type Parents = HashMap<ParentKey, Vec<Parent>>;

/// One listener of a Gateway or of a ListenerSet of it.
struct Placed<'r> {
    gateway: &'r ApiGateway,
    owner: &'r Metadata,
    kind: Kind,
    listener: &'r Listener,
    port: u16,
}

impl Placed<'_> {
    fn id(&self) -> ServerId {
        let entry = Entry::Listener(self.listener.name.clone());
        ServerId {
            resource: self.owner.resource(self.kind),
            entry,
        }
    }

    fn host(&self) -> &str {
        self.listener
            .hostname
            .as_ref()
            .map_or("*", |host| host.as_str())
    }
}

/// Adds a Gateway for each listener, and says what routes may attach to.
pub(super) fn listeners(resources: &Resources, generated: &mut Generated) -> Parents {
    let certificates = Certificates::new(resources);
    let admission = Admission::new(resources);
    let mut sets: HashMap<(String, String), Vec<&ListenerSet>> = HashMap::new();
    for set in &resources.listener_sets {
        let parent = &set.spec.parent_ref;
        let namespace = parent.namespace.as_ref().unwrap_or(&set.metadata.namespace);
        sets.entry((namespace.clone(), parent.name.clone()))
            .or_default()
            .push(set);
    }
    let mut parents = Parents::new();
    for gateway in ours(resources, generated) {
        let key = (
            gateway.metadata.namespace.clone(),
            gateway.metadata.name.clone(),
        );
        let mut sets = sets.remove(&key).unwrap_or_default();
        sets.sort_by_key(|set| {
            (
                set.metadata.creation_timestamp,
                &set.metadata.namespace,
                &set.metadata.name,
            )
        });
        let placed = allowed(gateway, &sets, &admission, generated);
        for placed in distinct(placed, generated) {
            listener::convert(&placed, &certificates, &admission, generated, &mut parents);
        }
    }
    parents
}

/// The Gateways that istiod is in charge of.
fn ours<'r>(resources: &'r Resources, generated: &mut Generated) -> Vec<&'r ApiGateway> {
    let controllers: HashMap<&str, &str> = resources
        .gateway_classes
        .iter()
        .map(|class| {
            (
                class.metadata.name.as_str(),
                class.spec.controller_name.as_str(),
            )
        })
        .collect();
    let is_ours = |gateway: &&ApiGateway| {
        let class = gateway.spec.gateway_class_name.as_str();
        controllers
            .get(class)
            .map_or(class == CLASS, |controller| *controller == CONTROLLER)
    };
    let (ours, others): (Vec<_>, Vec<_>) = resources.api_gateways.iter().partition(is_ours);
    generated
        .ignored
        .extend(others.into_iter().map(|gateway| Ignored {
            resource: gateway.metadata.resource(Kind::ApiGateway),
            class: gateway.spec.gateway_class_name.clone(),
        }));
    ours
}

/// The listeners of a Gateway, then those of the sets that it allows, the oldest first.
fn allowed<'r>(
    gateway: &'r ApiGateway,
    sets: &[&'r ListenerSet],
    admission: &Admission<'_>,
    generated: &mut Generated,
) -> Vec<Placed<'r>> {
    let place = |owner, kind, listener: &'r Listener| {
        let port = port(listener);
        Placed {
            gateway,
            owner,
            kind,
            listener,
            port,
        }
    };
    let own = gateway.spec.listeners.iter();
    let mut placed: Vec<Placed<'r>> = own
        .map(|listener| place(&gateway.metadata, Kind::ApiGateway, listener))
        .collect();
    for set in sets {
        let listeners = set.spec.listeners.iter();
        let listeners = listeners.map(|listener| place(&set.metadata, Kind::ListenerSet, listener));
        if allows_listeners(gateway, &set.metadata.namespace, admission) {
            placed.extend(listeners);
        } else {
            let gateway = gateway.metadata.resource(Kind::ApiGateway);
            let reason = UnprogrammedReason::NotAllowed { gateway };
            let refused = |placed: Placed<'_>| Unprogrammed {
                server: placed.id(),
                reason: reason.clone(),
            };
            generated.unprogrammed.extend(listeners.map(refused));
        }
    }
    placed
}

/// That of the protocol, where a ListenerSet names none (Istio `ListenerEntryPortNumber`).
fn port(listener: &Listener) -> u16 {
    match (listener.port, listener.protocol.as_str()) {
        (0, "HTTP") => 80,
        (0, "HTTPS") => 443,
        (port, _) => port,
    }
}

/// Of two listeners of a Gateway with one port and host, the first (Istio
/// `pilot/pkg/config/kube/gatewaycommon/listener_conflict.go`).
fn distinct<'r>(placed: Vec<Placed<'r>>, generated: &mut Generated) -> Vec<Placed<'r>> {
    let mut accepted: HashMap<(u16, String), ServerId> = HashMap::new();
    let mut kept = Vec::with_capacity(placed.len());
    for placed in placed {
        // Connections have no host, and share a port with nothing.
        let is_raw = matches!(placed.listener.protocol.as_str(), "TCP" | "UDP");
        let host = if is_raw {
            String::new()
        } else {
            placed.host().to_owned()
        };
        let key = (placed.port, host.clone());
        if let Some(winner) = accepted.get(&key) {
            let reason = UnprogrammedReason::SameHost {
                host,
                winner: winner.clone(),
            };
            generated.unprogrammed.push(Unprogrammed {
                server: placed.id(),
                reason,
            });
        } else {
            accepted.insert(key, placed.id());
            kept.push(placed);
        }
    }
    kept
}

/// The Services that a Gateway runs on (Istio `extractGatewayServices` and `IsManaged`).
fn attachments(gateway: &ApiGateway) -> Vec<Attachment> {
    let Metadata {
        namespace, name, ..
    } = &gateway.metadata;
    let is_hostname = |kind: &Option<String>| kind.as_deref() == Some("Hostname");
    let addresses = &gateway.spec.addresses;
    if addresses.len() < 2 && !addresses.iter().any(|address| is_hostname(&address.kind)) {
        return vec![Attachment::Managed {
            namespace: namespace.clone(),
            gateway: name.clone(),
        }];
    }
    let hostnames = addresses
        .iter()
        .filter(|a| a.kind.is_none() || is_hostname(&a.kind));
    let service = |value: &str| {
        let (name, rest) = value.split_once('.').unwrap_or((value, namespace));
        // A Service of another namespace is none that the Gateway may use.
        let own = rest.split('.').next() == Some(namespace);
        own.then(|| Attachment::Service {
            namespace: namespace.clone(),
            name: name.into(),
        })
    };
    hostnames
        .filter_map(|address| service(&address.value))
        .collect()
}

/// The name of a Secret in messages.
fn secret_name(namespace: &str, name: &str) -> ResourceName {
    ResourceName {
        kind: Kind::Secret,
        namespace: namespace.into(),
        name: name.into(),
    }
}
