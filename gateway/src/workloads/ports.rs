//! From the port of a Gateway to the ports that Envoy listens on (Istio `pilot/pkg/model/gateway.go`,
//! `resolvePorts`).

use std::collections::BTreeSet;

use super::ProxyPods;
use crate::resources::kubernetes::{Service, ServicePort, TargetPort};
use crate::server::GatewayPods;

/// The label of Services whose ports istiod does not translate.
const UNTRANSLATED: &str = "experimental.istio.io/disable-gateway-port-translation";

/// A Service that selects pods, with the ports of the pods that it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServicePorts {
    pub(crate) name: String,
    /// `None` if a port has a name that the input does not resolve.
    pub(crate) targets: Option<BTreeSet<u16>>,
}

impl ServicePorts {
    pub(crate) fn new(service: &Service, pods: &ProxyPods<'_>) -> Self {
        let targets: Vec<ListenerPort> = service
            .spec
            .ports
            .iter()
            .map(|port| target_port(port, pods))
            .collect();
        let are_certain = targets.iter().all(|target| target.is_certain);
        Self {
            name: service.metadata.name.clone(),
            targets: are_certain.then(|| targets.iter().map(|target| target.port).collect()),
        }
    }
}

/// A port that Envoy listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListenerPort {
    pub(crate) port: u16,
    /// Whether the input determines the port.
    pub(crate) is_certain: bool,
}

/// The ports for a port of a Gateway. There are none if the Gateway names a Service without such a port.
pub(crate) fn resolve(
    port: u16,
    attachment: &GatewayPods,
    pods: &ProxyPods<'_>,
) -> Vec<ListenerPort> {
    match attachment {
        GatewayPods::Selector(_) => vec![resolve_by_selector(port, pods)],
        GatewayPods::Managed { .. } => {
            let found = translated(port, pods.services.iter().copied(), pods);
            // The Service that istiod creates for the Gateway has the same port on both sides.
            if found.is_empty() {
                return vec![certain(port)];
            }
            distinct(found)
        }
        GatewayPods::Service { name, .. } => {
            let named: Vec<&Service> = pods
                .services
                .iter()
                .copied()
                .filter(|service| service.metadata.name == *name)
                .collect();
            // Without the Service, its ports are unknown.
            if named.is_empty() {
                return vec![uncertain(port)];
            }
            distinct(translated(port, named.into_iter(), pods))
        }
    }
}

/// The port for a Gateway that selects pods by labels, which does not name a Service.
fn resolve_by_selector(port: u16, pods: &ProxyPods<'_>) -> ListenerPort {
    let found = translated(
        port,
        pods.services
            .iter()
            .copied()
            .filter(|service| !service.metadata.labels.contains_key(UNTRANSLATED)),
        pods,
    );
    // istiod uses the port of the first Service in a map, whose order changes. So the port is certain only
    // if all Services agree.
    let all_agree = found.iter().collect::<BTreeSet<_>>().len() == 1;
    match found.first() {
        Some(first) => ListenerPort {
            port: first.port,
            is_certain: first.is_certain && all_agree,
        },
        // With Services that do not have the port, istiod keeps it. Without Services, one may be missing
        // in the input.
        None => ListenerPort {
            port,
            is_certain: !pods.services.is_empty(),
        },
    }
}

fn certain(port: u16) -> ListenerPort {
    ListenerPort {
        port,
        is_certain: true,
    }
}

fn uncertain(port: u16) -> ListenerPort {
    ListenerPort {
        port,
        is_certain: false,
    }
}

fn distinct(found: Vec<ListenerPort>) -> Vec<ListenerPort> {
    found
        .into_iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// The target ports of a port of Services.
fn translated<'s>(
    port: u16,
    services: impl Iterator<Item = &'s Service>,
    pods: &ProxyPods<'_>,
) -> Vec<ListenerPort> {
    services
        .flat_map(|service| &service.spec.ports)
        .filter(|service_port| service_port.port == port)
        .map(|service_port| target_port(service_port, pods))
        .collect()
}

fn target_port(service_port: &ServicePort, pods: &ProxyPods<'_>) -> ListenerPort {
    match &service_port.target_port {
        // Kubernetes uses the port of the Service as the default.
        None | Some(TargetPort::Number(0)) => certain(service_port.port),
        Some(TargetPort::Number(port)) => certain(*port),
        Some(TargetPort::Name(name)) => match pods.named_ports.get(name) {
            Some(port) => certain(*port),
            // Assumed pods have no containers, so the name is unknown.
            None => uncertain(service_port.port),
        },
    }
}
