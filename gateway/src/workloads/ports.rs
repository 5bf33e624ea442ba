//! From the port of a Gateway to the port that Envoy listens on (Istio
//! `pilot/pkg/model/gateway.go`, `resolvePorts`).

use std::collections::BTreeSet;

use super::Target;
use crate::resources::kubernetes::{Service, ServicePort, TargetPort};
use crate::server::Attachment;

/// Services with this label leave ports as they are.
const UNTRANSLATED: &str = "experimental.istio.io/disable-gateway-port-translation";

/// A port that Envoy listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Resolved {
    pub(crate) port: u16,
    /// Whether the input leaves no doubt.
    pub(crate) certain: bool,
}

/// The ports for a port of a Gateway. None, where the Service it names has no such port.
pub(crate) fn resolve(port: u16, attachment: &Attachment, target: &Target<'_>) -> Vec<Resolved> {
    let fallback = |certain| vec![Resolved { port, certain }];
    match attachment {
        Attachment::Selector(_) => {
            let services = target.services.iter();
            let services = services.filter(|s| !s.metadata.labels.contains_key(UNTRANSLATED));
            let found = translated(port, services.copied(), target);
            let agreed = found.iter().collect::<BTreeSet<_>>().len() == 1;
            // istiod takes the first that it finds, whichever that is.
            match found.first().copied() {
                None => fallback(!target.services.is_empty()),
                Some(found) => vec![Resolved {
                    certain: found.certain && agreed,
                    ..found
                }],
            }
        }
        // What istiod makes for the Gateway has the same port on both sides.
        Attachment::Managed { .. } => {
            let found = translated(port, target.services.iter().copied(), target);
            if found.is_empty() {
                fallback(true)
            } else {
                distinct(found)
            }
        }
        Attachment::Service { name, .. } => {
            let named = |service: &&Service| service.metadata.name == *name;
            let mut services = target.services.iter().copied().filter(named).peekable();
            if services.peek().is_none() {
                return fallback(false);
            }
            distinct(translated(port, services, target))
        }
    }
}

fn distinct(found: Vec<Resolved>) -> Vec<Resolved> {
    found
        .into_iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

fn translated<'s>(
    port: u16,
    services: impl Iterator<Item = &'s Service>,
    target: &Target<'_>,
) -> Vec<Resolved> {
    let ports = services.flat_map(|service| &service.spec.ports);
    let same = ports.filter(|candidate| candidate.port == port);
    same.map(|service_port| target_port(service_port, target))
        .collect()
}

fn target_port(service_port: &ServicePort, target: &Target<'_>) -> Resolved {
    let same = service_port.port;
    match &service_port.target_port {
        None | Some(TargetPort::Number(0)) => Resolved {
            port: same,
            certain: true,
        },
        Some(TargetPort::Number(port)) => Resolved {
            port: *port,
            certain: true,
        },
        Some(TargetPort::Name(name)) => match target.named_ports.get(name) {
            Some(port) => Resolved {
                port: *port,
                certain: true,
            },
            None => Resolved {
                port: same,
                certain: false,
            },
        },
    }
}
