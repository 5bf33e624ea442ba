//! Servers that no plan changes, and what can be done instead: listeners of the Gateway API, and entries
//! of an Ingress.

use std::collections::{BTreeMap, HashSet};

use rule::HostPattern;

use crate::findings::Remedy;
use crate::listener::ChainKind;
use crate::merge::refusal::{Obstacle, Reason};
use crate::resources::ResourceName;
use crate::server::Entry;
use crate::{FilterChain, Listener, ServerId};

/// Plans change Istio Gateways. All other servers block the merge, so that the servers of Istio Gateways
/// can have a plan without them.
pub(super) fn find(listener: &Listener, servers: &[ServerId]) -> Option<Obstacle> {
    let others: Vec<&ServerId> = servers
        .iter()
        .filter(|server| match server.entry {
            Entry::Server { .. } => false,
            Entry::Listener(_) | Entry::IngressTls(_) | Entry::IngressPlain => true,
        })
        .collect();
    let first = others.first()?;
    let (reason, kind) = match first.entry {
        Entry::Listener(_) => (Reason::GatewayApi, "a listener of the Gateway API"),
        Entry::Server { .. } | Entry::IngressTls(_) | Entry::IngressPlain => {
            (Reason::Generated, "an entry of an Ingress")
        }
    };
    let message = format!("{first} is {kind}, and plans change Istio Gateways only");
    let mut obstacle = Obstacle::new(reason, message);
    if let Some(edit) = one_listener(listener, &others).or_else(|| one_entry(listener, &others)) {
        obstacle = obstacle.or(Remedy::new(edit));
    }
    Some(obstacle.blocking(others))
}

/// The edit that makes one listener of several ones of a Gateway. istiod makes the host `*` of a listener
/// without hostname, and all routes that name their hosts attach to it (Istio
/// `pilot/pkg/config/kube/gateway/conversion.go`, `buildHostnameMatch`).
fn one_listener(listener: &Listener, servers: &[&ServerId]) -> Option<String> {
    let mut by_gateway: BTreeMap<&ResourceName, Vec<(&str, &FilterChain)>> = BTreeMap::new();
    for chain in chains(listener, servers) {
        if let Entry::Listener(name) = &chain.server.id.entry {
            by_gateway
                .entry(&chain.server.id.resource)
                .or_default()
                .push((name, chain));
        }
    }
    let (gateway, listeners) = by_gateway
        .into_iter()
        .rev()
        .max_by_key(|(_, listeners)| listeners.len())?;
    // A listener without hostname is the one that can stay. Another one, outside of these, would be a
    // second listener for all hosts.
    let has_other = listener.chains.iter().any(|chain| {
        is_for_all(chain)
            && !listeners
                .iter()
                .any(|(_, one)| one.server.id == chain.server.id)
    });
    let (kept, _) = listeners
        .iter()
        .find(|(_, chain)| is_for_all(chain))
        .or(listeners.first())?;
    let others: Vec<&str> = listeners
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| name != kept)
        .collect();
    // One listener has one port, one protocol, and one way to demand client certificates.
    let is_https = |chain: &FilterChain| matches!(chain.kind, ChainKind::Https(_));
    let settings: HashSet<_> = listeners
        .iter()
        .map(|(_, chain)| (chain.server.port, is_https(chain), chain.tls))
        .collect();
    let is_possible = settings.len() == 1 && settings.iter().all(|(_, is_https, _)| *is_https);
    if others.is_empty() || has_other || !is_possible {
        return None;
    }
    Some(format!(
        "make one listener of these: in {gateway}, remove hostname from the listener {kept}, delete the \
         {} {}, and set each sectionName that names one of them to {kept}; the listener needs a \
         certificate and allowedRoutes for all of them, and each route needs hostnames",
        if others.len() == 1 {
            "listener"
        } else {
            "listeners"
        },
        others.join(", ")
    ))
}

fn is_for_all(chain: &FilterChain) -> bool {
    chain.server_names.contains(&HostPattern::Any)
}

/// The edit that makes one entry of several ones of Ingresses. istiod makes a server of each entry (Istio
/// `pilot/pkg/config/kube/ingress/gateways.go`, `convertIngressV1alpha3`), and attaches only the rules of
/// the same Ingress to it.
fn one_entry(listener: &Listener, servers: &[&ServerId]) -> Option<String> {
    let entries: Vec<&ServerId> = chains(listener, servers)
        .map(|chain| &chain.server.id)
        .filter(|server| matches!(server.entry, Entry::IngressTls(_)))
        .collect();
    let kept = *entries.first()?;
    // Rules cannot refer to Services of other namespaces.
    let namespace = &kept.resource.namespace;
    if entries.len() < 2
        || entries
            .iter()
            .any(|server| server.resource.namespace != *namespace)
    {
        return None;
    }
    let others: Vec<String> = entries.iter().skip(1).map(ToString::to_string).collect();
    let rules = if entries
        .iter()
        .any(|server| server.resource != kept.resource)
    {
        format!(", and their rules to {}", kept.resource)
    } else {
        String::new()
    };
    Some(format!(
        "make one entry of these: move the hosts of {} to {kept}{rules}; the secretName of the entry \
         needs a certificate for all of them",
        others.join(", ")
    ))
}

/// The filter chains of some servers, in the order of the listener.
fn chains<'l>(
    listener: &'l Listener,
    servers: &[&ServerId],
) -> impl Iterator<Item = &'l FilterChain> {
    listener
        .chains
        .iter()
        .filter(|chain| servers.contains(&&chain.server.id))
}
