//! The filter chains and routes of a state, in a form in which a write changes a few entries.
//!
//! A [`Model`] of all resources takes a time that grows with the input, and a plan has a
//! write for each server and each `VirtualService`. A snapshot gives the same answers for a host, but computes
//! only the filter chain of this host, with the routes that may serve it. It supports only writes whose
//! effect is known to be this small. For all others the proof makes a model.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use rule::Host;

use super::change::Change;
use super::keys::{keys_covering, keys_of_routes, route_table_name};
use super::listener_chains::{Chain, ListenerChains};
use crate::attached::attach;
use crate::chains::{ClaimedNames, chains};
use crate::generated::{Generated, generate};
use crate::merge::direct_answer::DirectAnswer;
use crate::merge::listener_id::ListenerId;
use crate::merge::state::State;
use crate::mesh::MeshSettings;
use crate::resources::{GatewayName, GatewayReference, Kind, Metadata, ResourceName, Resources};
use crate::revisions::worlds;
use crate::routes::{Binding, Delegates, RouteIndex, binding};
use crate::server::Server;
use crate::server_merge::Dropped;
use crate::{Certificates, DropReason, FilterChain, Model};

/// The listeners with TLS and the routes of one state. A copy is cheap: entries are shared.
#[derive(Clone)]
pub(super) struct Snapshot {
    listeners: BTreeMap<ListenerId, ListenerChains>,
    routes: Vec<Rc<Binding>>,
    constants: Rc<Constants>,
}

/// What the supported writes do not change.
struct Constants {
    settings: MeshSettings,
    /// The routes of each `VirtualService`, by namespace and name.
    by_name: HashMap<(String, String), RoutePosition>,
    /// The routes that have a host, by the key of the host.
    by_host: HashMap<String, Vec<RoutePosition>>,
    /// The Gateways that istiod generates from the Gateway API and from Ingresses.
    generated: HashSet<GatewayName>,
    /// The Gateways with a server that istiod drops.
    with_dropped: HashSet<ResourceName>,
    /// The names of the route tables that dropped servers would have, if they are dropped everywhere because
    /// an older server has one of their hosts. istiod notes nothing about such a server, so it has no effect.
    without_effect: HashSet<String>,
}

/// The position of the routes of a `VirtualService` in [`Snapshot::routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RoutePosition(usize);

impl Snapshot {
    /// The snapshot of a state, whose model is `model`; `None` if a write may change parts of the model that a
    /// snapshot does not have.
    pub(super) fn new(state: &State, model: &Model) -> Option<Self> {
        let resources = state.resources().without_replaced();
        // Revisions see different resources, so each has listeners of its own.
        let (worlds, _) = worlds(&resources);
        let [world] = worlds.as_slice() else {
            return None;
        };
        if world.revision.is_some() || has_twins(state.resources()) {
            return None;
        }
        // Routes of the Gateway API and of Ingresses are not in the snapshot. istiod binds them to Gateways
        // that it generates, so they are on chains that do not change.
        let Generated {
            gateways, bindings, ..
        } = generate(&resources, &world.settings);
        let of_istio: HashSet<GatewayName> = resources
            .gateways
            .iter()
            .map(|gateway| GatewayName::new(&gateway.metadata.namespace, &gateway.metadata.name))
            .collect();
        if bindings.iter().any(|binding| lists_any(binding, &of_istio)) {
            return None;
        }

        let delegates = Delegates::new(
            &resources.virtual_services,
            &world.settings.virtual_service_export_to,
        );
        let routes: Vec<Rc<Binding>> = resources
            .virtual_services
            .iter()
            .filter_map(|service| binding(service, &delegates))
            .map(Rc::new)
            .collect();
        let mut by_name = HashMap::new();
        let mut by_host: HashMap<String, Vec<RoutePosition>> = HashMap::new();
        for (index, binding) in routes.iter().enumerate() {
            let position = RoutePosition(index);
            by_name.insert((binding.namespace.clone(), binding.name.clone()), position);
            for key in keys_of_routes(binding) {
                by_host.entry(key).or_default().push(position);
            }
        }

        let mut listeners = BTreeMap::new();
        for workload in &model.workloads {
            for listener in workload.listeners.iter().filter(|own| own.is_tls()) {
                let chains = ListenerChains::new(workload, listener)?;
                listeners.insert(ListenerId::new(workload, listener), chains);
            }
        }
        Some(Self {
            listeners,
            routes,
            constants: Rc::new(Constants {
                settings: world.settings.clone(),
                by_name,
                by_host,
                generated: gateways
                    .iter()
                    .map(|config| GatewayName::new(&config.namespace, &config.name))
                    .collect(),
                with_dropped: model
                    .workloads
                    .iter()
                    .flat_map(|workload| &workload.dropped)
                    .map(|dropped| dropped.server.id.resource.clone())
                    .collect(),
                without_effect: without_effect(model),
            }),
        })
    }

    pub(super) fn settings(&self) -> &MeshSettings {
        &self.constants.settings
    }

    /// The routes of a `VirtualService`, if it is bound to Gateways of Istio only.
    pub(super) fn routes_of(&self, service: &Metadata) -> Option<(RoutePosition, &Rc<Binding>)> {
        let key = (service.namespace.clone(), service.name.clone());
        let position = *self.constants.by_name.get(&key)?;
        let binding = self.routes.get(position.0)?;
        Some((position, binding))
    }

    /// Whether routes are bound to a Gateway whose chains the snapshot takes as fixed.
    pub(super) fn is_bound_to_generated(&self, binding: &Binding) -> bool {
        lists_any(binding, &self.constants.generated)
    }

    /// Applies a change; `None` if it may have other effects, for example because istiod would drop a
    /// server. The snapshot is of no use then.
    pub(super) fn apply(&mut self, change: &Change) -> Option<()> {
        match change {
            Change::Routes {
                position, after, ..
            } => {
                *self.routes.get_mut(position.0)? = Rc::clone(after);
                Some(())
            }
            Change::Servers {
                gateway,
                removed,
                added,
            } => {
                // istiod may keep the dropped server once its hosts are different.
                if self.constants.with_dropped.contains(gateway)
                    && !self.has_no_effect(removed, added)
                {
                    return None;
                }
                self.listeners
                    .values_mut()
                    .try_for_each(|listener| listener.replace(removed, added))
            }
        }
    }

    /// Whether servers are deleted that istiod drops, as after a step `move-hosts`.
    fn has_no_effect(&self, removed: &[Arc<Server>], added: &[Arc<Server>]) -> bool {
        added.is_empty()
            && removed.iter().all(|server| {
                self.constants
                    .without_effect
                    .contains(&route_table_name(server))
            })
    }

    /// The name of the filter chain for a host.
    pub(super) fn chain_name(&self, listener: &ListenerId, host: &str) -> Option<&Rc<str>> {
        let listener = self.listeners.get(listener)?;
        // An SNI that is not a host name selects the chain for all names.
        if Host::from_sni(host.as_bytes()).is_none() {
            return listener.names.get("");
        }
        // Envoy prefers the exact name, then the longest wildcard.
        keys_covering(host).find_map(|key| listener.names.get(key))
    }

    /// The answer for a host of the filter chains of this state with the route tables of the same or
    /// another state. It equals the answer that the models of these states give.
    pub(super) fn answer(
        &self,
        tables: &Self,
        listener: &ListenerId,
        host: &str,
        certificates: &Certificates,
    ) -> DirectAnswer {
        // Without its last server, Envoy closes the listener.
        if self
            .listeners
            .get(listener)
            .is_none_or(|listener| listener.site.is_rejected)
        {
            return DirectAnswer::reset();
        }
        let Some(name) = self.chain_name(listener, host) else {
            return DirectAnswer::reset();
        };
        let Some(chain) = self.filter_chain(listener, name, host) else {
            return DirectAnswer::reset();
        };
        let table = tables.filter_chain(listener, name, host);
        DirectAnswer::on_chain(&chain, table.as_deref(), host, certificates)
    }

    /// The filter chain with a name. Its route table has all routes for `host`, and may lack others.
    fn filter_chain(
        &self,
        listener: &ListenerId,
        name: &str,
        host: &str,
    ) -> Option<Rc<FilterChain>> {
        let listener = self.listeners.get(listener)?;
        let server = match listener.chains.get(name)? {
            Chain::Fixed(chain) => return Some(Rc::clone(chain)),
            Chain::Https(server) => Arc::new(server.with_hosts_for(host)),
        };
        // A domain that covers the host is the narrower of a host of the server and a host of the
        // routes, so both of these cover the host too.
        let mut positions: Vec<RoutePosition> = keys_covering(host)
            .filter_map(|key| self.constants.by_host.get(key))
            .flatten()
            .copied()
            .collect();
        positions.sort_unstable();
        positions.dedup();
        let routes = RouteIndex::new(
            positions
                .iter()
                .filter_map(|position| self.routes.get(position.0))
                .filter(|binding| lists(binding, |gateway| *gateway == server.gateway))
                .map(|binding| (**binding).clone())
                .collect(),
        );
        let attached = attach(&[&server], &routes, &listener.site.namespace);
        chains(
            &server,
            listener.site.port,
            attached.first().map_or(&[], Vec::as_slice),
            listener.site.proxy(),
            &mut ClaimedNames::default(),
        )
        .into_iter()
        .next()
        .map(Rc::new)
    }
}

fn lists(binding: &Binding, is_wanted: impl Fn(&GatewayName) -> bool) -> bool {
    binding.gateways.iter().any(|reference| match reference {
        GatewayReference::Qualified(gateway) => is_wanted(gateway),
        // Routes of the mesh apply to sidecars only. All references of a binding are resolved.
        GatewayReference::Mesh | GatewayReference::Local(_) => false,
    })
}

fn lists_any(binding: &Binding, gateways: &HashSet<GatewayName>) -> bool {
    lists(binding, |gateway| gateways.contains(gateway))
}

/// The names of [`Constants::without_effect`] (Istio `mergeGateways`: a server with a duplicate host is skipped
/// before anything is noted about it).
fn without_effect(model: &Model) -> HashSet<String> {
    let mut names = HashSet::new();
    let mut excluded = HashSet::new();
    for Dropped { server, reason, .. } in model
        .workloads
        .iter()
        .flat_map(|workload| &workload.dropped)
    {
        match reason {
            DropReason::SameHost { .. } => names.insert(route_table_name(server)),
            // Such a server keeps its hosts, so later servers with them are dropped too.
            DropReason::PlainText { .. } | DropReason::SamePortName { .. } => {
                excluded.insert(route_table_name(server))
            }
        };
    }
    names.retain(|name| !excluded.contains(name));
    names
}

/// Whether two Gateways or two `VirtualServices` have one name.
fn has_twins(resources: &Resources) -> bool {
    let mut names = HashSet::new();
    !resources
        .gateways
        .iter()
        .map(|gateway| gateway.metadata.resource(Kind::Gateway))
        .chain(
            resources
                .virtual_services
                .iter()
                .map(|service| service.metadata.resource(Kind::VirtualService)),
        )
        .all(|name| names.insert(name))
}
