//! The filter chains and routes of a state, in a form in which a write changes a few entries.
//!
//! A [`Model`](crate::Model) of all resources takes a time that grows with the input, and a plan has a
//! write for each server and each `VirtualService`. A snapshot gives the same answers for a host, but computes
//! only the filter chain of this host, with the routes that may serve it. It supports only writes whose
//! effect is known to be this small. For all others the proof makes a model.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use rule::{Host, HostPattern};

use super::change::Change;
use crate::attached::{Proxy, attach};
use crate::chains::{ClaimedNames, chains};
use crate::generated::{Generated, generate};
use crate::listener::ChainKind;
use crate::merge::direct_answer::DirectAnswer;
use crate::merge::listener_id::ListenerId;
use crate::merge::state::State;
use crate::mesh::MeshSettings;
use crate::model::WithoutChain;
use crate::resources::{
    GatewayName, GatewayReference, Kind, Labels, Metadata, NamespacedHost, ResourceName, Resources,
    pattern,
};
use crate::revisions::worlds;
use crate::routes::{Binding, Delegates, RouteIndex, binding};
use crate::server::Server;
use crate::{Certificates, FilterChain, Listener, Model, Workload};

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
}

/// The position of the routes of a `VirtualService` in [`Snapshot::routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RoutePosition(usize);

/// The filter chains of a listener.
#[derive(Clone)]
struct ListenerChains {
    site: Rc<Site>,
    /// The name of the chain for each server name, by the key of the server name.
    names: HashMap<String, Rc<str>>,
    chains: HashMap<Rc<str>, Chain>,
    /// How many hosts of servers have a key. istiod drops a server with a host of another one.
    claims: HashMap<String, usize>,
}

/// Where a listener is, and whether it changes only as its servers do.
struct Site {
    namespace: String,
    labels: Labels,
    port: u16,
    /// Whether Envoy rejects the listener.
    is_rejected: bool,
    /// Whether istiod keeps all servers on the port, all use TLS, and no two have a host in common. A change
    /// of one server then affects another one only if it gets a host of the other.
    is_independent: bool,
}

/// A filter chain.
#[derive(Clone)]
enum Chain {
    /// A server of an Istio Gateway that terminates HTTPS. Writes can change it and its routes.
    Https(Rc<HttpsServer>),
    /// Any other chain. The supported writes do not change it.
    Fixed(Rc<FilterChain>),
}

/// A server that terminates HTTPS. One that took over all hosts has many of them.
struct HttpsServer {
    /// The server without its hosts.
    server: Server,
    /// The hosts of the server by their keys.
    hosts: HashMap<String, Vec<NamespacedHost>>,
}

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
                if self.constants.with_dropped.contains(gateway) {
                    return None;
                }
                self.listeners
                    .values_mut()
                    .try_for_each(|listener| listener.replace(removed, added))
            }
        }
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
        let is_rejected = |snapshot: &Self| {
            snapshot
                .listeners
                .get(listener)
                .is_none_or(|listener| listener.site.is_rejected)
        };
        if is_rejected(self) {
            return DirectAnswer::reset();
        }
        let Some(name) = self.chain_name(listener, host) else {
            return DirectAnswer::reset();
        };
        let Some(chain) = self.chain(listener, name, host) else {
            return DirectAnswer::reset();
        };
        let table = tables.chain(listener, name, host);
        DirectAnswer::on_chain(&chain, table.as_deref(), host, certificates)
    }

    /// The filter chain with a name. Its route table has all routes for `host`, and may lack others.
    fn chain(&self, listener: &ListenerId, name: &str, host: &str) -> Option<Rc<FilterChain>> {
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

impl ListenerChains {
    /// `None` if two HTTPS chains have one name.
    fn new(workload: &Workload, listener: &Listener) -> Option<Self> {
        let site = Site {
            namespace: workload.namespace.clone(),
            labels: workload.labels.clone(),
            port: listener.port,
            is_rejected: listener.is_rejected(),
            is_independent: is_independent(workload, listener),
        };
        let mut found = Self {
            site: Rc::new(site),
            names: HashMap::new(),
            chains: HashMap::new(),
            claims: HashMap::new(),
        };
        let mut servers: HashSet<*const Server> = HashSet::new();
        for (index, chain) in listener.chains.iter().enumerate() {
            // The chains of a passthrough server share a name.
            let is_https = matches!(chain.kind, ChainKind::Https(_))
                && chain.server.id.resource.kind == Kind::Gateway;
            let name: Rc<str> = if is_https {
                chain.name.as_str().into()
            } else {
                format!("{} {index}", chain.name).into()
            };
            for server_name in &chain.server_names {
                // Of two chains with one name, the first would get the connections.
                found
                    .names
                    .entry(key(server_name))
                    .or_insert_with(|| Rc::clone(&name));
            }
            if servers.insert(Arc::as_ptr(&chain.server)) {
                found.claim(&chain.server);
            }
            let chain = if is_https {
                Chain::Https(Rc::new(HttpsServer::new(&chain.server)))
            } else {
                Chain::Fixed(Rc::new(chain.clone()))
            };
            if found.chains.insert(name, chain).is_some() {
                return None;
            }
        }
        // A server without a chain keeps its hosts as well.
        for WithoutChain { server, .. } in without_chains(workload, listener) {
            found.claim(server);
        }
        Some(found)
    }

    fn claim(&mut self, server: &Server) {
        for host in &server.hosts {
            *self.claims.entry(claim_key(&host.host)).or_default() += 1;
        }
    }

    /// Replaces the servers that are on this listener; `None` if this may affect other servers.
    fn replace(&mut self, removed: &[Arc<Server>], added: &[Arc<Server>]) -> Option<()> {
        let present: HashSet<Rc<str>> = removed
            .iter()
            .filter_map(|server| {
                let (name, _) = self.chains.get_key_value(&*route_table_name(server))?;
                Some(Rc::clone(name))
            })
            .collect();
        if present.is_empty() {
            return Some(());
        }
        if !self.site.is_independent {
            return None;
        }
        for server in removed {
            if let Some(name) = present.get(&*route_table_name(server)) {
                self.remove(server, name);
            }
        }
        for server in added {
            // A server that was not on the listener may be new there, and istiod may drop it.
            if let Some(name) = present.get(&*route_table_name(server)) {
                self.add(server, name)?;
            }
        }
        Some(())
    }

    fn remove(&mut self, server: &Server, name: &Rc<str>) {
        for key in self.site.server_names(server) {
            self.names.remove(&key);
        }
        for host in &server.hosts {
            if let Some(count) = self.claims.get_mut(&claim_key(&host.host)) {
                *count -= 1;
            }
        }
        self.chains.remove(name);
    }

    /// Adds a server; `None` if istiod may drop it, or Envoy reject the listener.
    fn add(&mut self, server: &Arc<Server>, name: &Rc<str>) -> Option<()> {
        let is_claimed = server.hosts.iter().any(|host| {
            self.claims
                .get(&claim_key(&host.host))
                .is_some_and(|count| *count > 0)
        });
        if is_claimed {
            return None;
        }
        for key in self.site.server_names(server) {
            if self.names.insert(key, Rc::clone(name)).is_some() {
                return None;
            }
        }
        self.claim(server);
        self.chains.insert(
            Rc::clone(name),
            Chain::Https(Rc::new(HttpsServer::new(server))),
        );
        Some(())
    }
}

impl HttpsServer {
    fn new(server: &Server) -> Self {
        let mut hosts: HashMap<String, Vec<NamespacedHost>> = HashMap::new();
        for host in &server.hosts {
            if let Some(pattern) = pattern(&host.host) {
                hosts.entry(key(&pattern)).or_default().push(host.clone());
            }
        }
        Self {
            server: Server {
                hosts: Vec::new(),
                ..server.clone()
            },
            hosts,
        }
    }

    /// The server with the hosts that cover a host.
    fn with_hosts_for(&self, host: &str) -> Server {
        Server {
            hosts: keys_covering(host)
                .filter_map(|key| self.hosts.get(key))
                .flatten()
                .cloned()
                .collect(),
            ..self.server.clone()
        }
    }
}

impl Site {
    fn proxy(&self) -> Proxy<'_> {
        Proxy {
            namespace: &self.namespace,
            labels: &self.labels,
        }
    }

    /// The keys of the server names of a server's filter chain.
    fn server_names(&self, server: &Server) -> Vec<String> {
        server_name_keys(server, self.port, self.proxy())
    }
}

/// The keys of the server names that an HTTPS server has on each listener.
pub(super) fn keys_of_server(server: &Server) -> Vec<String> {
    let labels = Labels::default();
    let proxy = Proxy {
        namespace: "",
        labels: &labels,
    };
    server_name_keys(server, server.port, proxy)
}

/// The server names of an HTTPS server depend only on its hosts.
fn server_name_keys(server: &Server, port: u16, proxy: Proxy<'_>) -> Vec<String> {
    let server = Arc::new(server.clone());
    chains(&server, port, &[], proxy, &mut ClaimedNames::default())
        .iter()
        .flat_map(|chain| &chain.server_names)
        .map(key)
        .collect()
}

/// The name of the route table of an HTTPS server, which is the name of its filter chain too.
pub(super) fn route_table_name(server: &Server) -> String {
    server.chain_name("https")
}

/// Whether a key is a host, not a wildcard.
pub(super) fn is_host(key: &str) -> bool {
    !key.is_empty() && !key.starts_with('.')
}

/// Whether a host is below a key: it is the host, or a wildcard that covers it.
pub(super) fn is_below(host: &str, key: &str) -> bool {
    keys_covering(host).any(|covering| covering == key)
}

/// The keys of the hosts of routes.
pub(super) fn keys_of_routes(binding: &Binding) -> Vec<String> {
    binding
        .hosts
        .iter()
        .filter_map(|host| pattern(host))
        .map(|pattern| key(&pattern))
        .collect()
}

/// The key of a pattern: the host itself, `.example.com` for `*.example.com`, and the empty text for `*`.
fn key(pattern: &HostPattern) -> String {
    let text = pattern.to_string();
    match text.strip_prefix('*') {
        Some(suffix) => suffix.to_owned(),
        None => text,
    }
}

/// istiod compares hosts letter by letter, and Envoy without case: the key makes both equal.
fn claim_key(host: &str) -> String {
    host.to_ascii_lowercase()
}

/// The keys of all patterns that cover a host, the most specific first.
fn keys_covering(host: &str) -> impl Iterator<Item = &str> {
    std::iter::once(host)
        .chain(
            host.match_indices('.')
                .filter_map(|(dot, _)| host.get(dot..)),
        )
        .chain(std::iter::once(""))
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

/// Whether istiod keeps all servers on the port of a listener, all use TLS, and no two have a host in common.
fn is_independent(workload: &Workload, listener: &Listener) -> bool {
    let listeners = workload
        .listeners
        .iter()
        .filter(|other| other.port == listener.port);
    let servers = listeners
        .clone()
        .flat_map(|other| &other.chains)
        .map(|chain| &chain.server)
        .chain(
            workload
                .without_chains
                .iter()
                .filter(|without| without.port == listener.port)
                .map(|without| &without.server),
        );
    // istiod finds a common host only if no server on another address has it too (`CheckDuplicates`). So a
    // change on one address can drop a server on another.
    let mut owners: HashMap<(&str, &NamespacedHost), *const Server> = HashMap::new();
    let has_common_host = servers.clone().any(|server| {
        server.hosts.iter().any(|host| {
            let own = Arc::as_ptr(server);
            *owners.entry((&server.bind, host)).or_insert(own) != own
        })
    });
    let has_dropped = workload
        .dropped
        .iter()
        .any(|dropped| dropped.port == listener.port);
    let is_rejected = listeners.clone().any(Listener::is_rejected);
    let has_plain_text = servers.clone().any(|server| !server.is_tls());
    !has_common_host && !has_dropped && !is_rejected && !has_plain_text
}

fn without_chains<'w>(
    workload: &'w Workload,
    listener: &Listener,
) -> impl Iterator<Item = &'w WithoutChain> {
    workload
        .without_chains
        .iter()
        .filter(move |without| without.port == listener.port && without.bind == listener.bind)
}

/// Whether two Gateways or two `VirtualServices` have one name.
fn has_twins(resources: &Resources) -> bool {
    let mut names = HashSet::new();
    let mut is_new = |kind: Kind, metadata: &Metadata| names.insert(metadata.resource(kind));
    !resources
        .gateways
        .iter()
        .all(|gateway| is_new(Kind::Gateway, &gateway.metadata))
        || !resources
            .virtual_services
            .iter()
            .all(|service| is_new(Kind::VirtualService, &service.metadata))
}
