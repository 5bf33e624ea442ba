//! What a write changes, where its effect is known to be small.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use super::keys::{keys_of_routes, keys_of_server, route_table_name};
use super::snapshot::{RoutePosition, Snapshot};
use crate::merge::state::State;
use crate::merge::write::Write;
use crate::resources::istio::{self, Gateway, VirtualService};
use crate::resources::{Kind, Metadata, ResourceName};
use crate::routes::{Binding, Delegates, binding};
use crate::server::{GatewayConfig, Handling, Server};

/// The effect of a write on a [`Snapshot`].
pub(super) enum Change {
    /// Servers of a Gateway that terminate HTTPS have other hosts or certificates, or are deleted.
    Servers {
        gateway: ResourceName,
        removed: Vec<Arc<Server>>,
        /// The servers that replace removed ones, with the same names of route tables.
        added: Vec<Arc<Server>>,
    },
    /// A `VirtualService` is bound to other Gateways.
    Routes {
        position: RoutePosition,
        before: Rc<Binding>,
        after: Rc<Binding>,
    },
}

/// The resource of a write, as it is before the write.
pub(super) enum Original {
    Gateway(Gateway),
    VirtualService(VirtualService),
    Missing,
}

impl Original {
    pub(super) fn new(state: &State, write: &Write) -> Self {
        let resource = write.resource();
        if resource.kind == Kind::Gateway {
            state
                .gateway(resource)
                .map_or(Self::Missing, |gateway| Self::Gateway(gateway.clone()))
        } else {
            state
                .virtual_service(resource)
                .map_or(Self::Missing, |service| {
                    Self::VirtualService(service.clone())
                })
        }
    }
}

impl Change {
    /// The effect of a write on a snapshot of the state before it; `None` if the effect may be larger.
    /// `after` is the state with the write.
    pub(super) fn new(
        snapshot: &Snapshot,
        original: &Original,
        write: &Write,
        after: &State,
    ) -> Option<Self> {
        match original {
            // A new Gateway may select pods that had none.
            Original::Missing => None,
            Original::Gateway(before) => servers(snapshot, before, write, after),
            Original::VirtualService(before) => {
                routes(snapshot, before, after.virtual_service(write.resource())?)
            }
        }
    }

    /// The keys of the hosts that the change is about. The answers for all other hosts stay the same.
    pub(super) fn keys(&self) -> Vec<String> {
        match self {
            Self::Servers { removed, added, .. } => removed
                .iter()
                .chain(added)
                .flat_map(|server| keys_of_server(server))
                .collect(),
            Self::Routes { before, after, .. } => [before, after]
                .iter()
                .flat_map(|binding| keys_of_routes(binding))
                .collect(),
        }
    }

    /// The filter chains whose connections or routes change; `None` if the keys alone decide which hosts
    /// the change is about.
    pub(super) fn chains(&self) -> Option<HashSet<String>> {
        match self {
            Self::Servers { removed, added, .. } => Some(
                removed
                    .iter()
                    .chain(added)
                    .map(|server| route_table_name(server))
                    .collect(),
            ),
            Self::Routes { .. } => None,
        }
    }
}

fn servers(snapshot: &Snapshot, before: &Gateway, write: &Write, state: &State) -> Option<Change> {
    let resource = write.resource();
    let (removed, added) = match state.gateway(resource) {
        // Without pods in the input, the selectors of Gateways decide which pods there are.
        None if has_older_twin(snapshot, before, state) => {
            (GatewayConfig::from_gateway(before).servers, Vec::new())
        }
        None => return None,
        Some(after) => {
            if !is_same(&before.metadata, &after.metadata)
                || before.spec.selector != after.spec.selector
            {
                return None;
            }
            different_servers(before, after)
        }
    };

    // Other servers have other routes or share a route table.
    if removed
        .iter()
        .chain(&added)
        .any(|server| server.handling() != Handling::Https)
    {
        return None;
    }
    // A server without a predecessor may conflict with others.
    let names: HashSet<String> = removed
        .iter()
        .map(|server| route_table_name(server))
        .collect();
    if !added
        .iter()
        .all(|server| names.contains(&route_table_name(server)))
    {
        return None;
    }
    Some(Change::Servers {
        gateway: resource.clone(),
        removed,
        added,
    })
}

/// Whether a Gateway of the state is older than a deleted one and selects the same pods. The model then
/// assumes the same pods without the deleted Gateway: of several Gateways with one selector, it uses the
/// oldest one.
fn has_older_twin(snapshot: &Snapshot, deleted: &Gateway, state: &State) -> bool {
    let age = |gateway: &Gateway| {
        let metadata = &gateway.metadata;
        (
            metadata.creation_timestamp,
            metadata.name.clone(),
            metadata.namespace.clone(),
        )
    };
    let age_of_deleted = age(deleted);
    state.resources().gateways.iter().any(|gateway| {
        gateway.spec.selector == deleted.spec.selector
            && (!snapshot.settings().scopes_gateways_to_namespace
                || gateway.metadata.namespace == deleted.metadata.namespace)
            && age(gateway) < age_of_deleted
    })
}

/// The servers of both versions of a Gateway that the other one does not have.
fn different_servers(before: &Gateway, after: &Gateway) -> (Vec<Arc<Server>>, Vec<Arc<Server>>) {
    let (old, new) = (&before.spec.servers, &after.spec.servers);
    let first = common(old.iter().zip(new));
    // The servers after a removed one have other indices, which no answer depends on.
    let rest = old.len().min(new.len()) - first;
    let last = common(old.iter().rev().zip(new.iter().rev()).take(rest));
    (part(before, first, last), part(after, first, last))
}

/// How many of the first pairs are equal.
fn common<'s>(pairs: impl Iterator<Item = (&'s istio::Server, &'s istio::Server)>) -> usize {
    pairs.take_while(|(old, new)| old == new).count()
}

/// The servers of a Gateway without the first and the last ones.
fn part(gateway: &Gateway, first: usize, last: usize) -> Vec<Arc<Server>> {
    let mut servers = GatewayConfig::from_gateway(gateway).servers;
    servers.truncate(servers.len() - last);
    servers.split_off(first)
}

fn routes(snapshot: &Snapshot, before: &VirtualService, after: &VirtualService) -> Option<Change> {
    // Only the Gateways may change. Rules for connections decide which passthrough chains there are, and
    // delegates have routes in other VirtualServices.
    let is_supported = is_same(&before.metadata, &after.metadata)
        && before.spec.hosts == after.spec.hosts
        && before.spec.export_to == after.spec.export_to
        && [before, after].iter().all(|service| {
            service.spec.tls.is_empty()
                && service.spec.tcp.is_empty()
                && service
                    .spec
                    .http
                    .iter()
                    .all(|route| route.delegate.is_none())
        });
    if !is_supported {
        return None;
    }
    let (position, old) = snapshot.routes_of(&before.metadata)?;
    let delegates = Delegates::new(&[], &snapshot.settings().virtual_service_export_to);
    let new = binding(after, &delegates)?;
    if snapshot.is_bound_to_generated(old) || snapshot.is_bound_to_generated(&new) {
        return None;
    }
    Some(Change::Routes {
        position,
        before: Rc::clone(old),
        after: Rc::new(new),
    })
}

/// Whether two versions of a resource have the same identity, age and labels.
fn is_same(before: &Metadata, after: &Metadata) -> bool {
    // A write does not keep the file and the line.
    before.name == after.name
        && before.namespace == after.namespace
        && before.creation_timestamp == after.creation_timestamp
        && before.labels == after.labels
        && before.annotations == after.annotations
}
