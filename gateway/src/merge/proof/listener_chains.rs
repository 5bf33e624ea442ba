//! The filter chains of a listener, of which a write replaces a few.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use super::keys::{claim_key, key, keys_covering, keys_of_server, route_table_name};
use crate::attached::Proxy;
use crate::listener::ChainKind;
use crate::model::WithoutChain;
use crate::resources::{Kind, Labels, NamespacedHost, pattern};
use crate::server::Server;
use crate::{FilterChain, Listener, Workload};

/// The filter chains of a listener.
#[derive(Clone)]
pub(super) struct ListenerChains {
    pub(super) site: Rc<Site>,
    /// The name of the chain for each server name, by the key of the server name.
    pub(super) names: HashMap<String, Rc<str>>,
    pub(super) chains: HashMap<Rc<str>, Chain>,
    /// How many hosts of servers have a key. istiod drops a server with a host of another one.
    claims: HashMap<String, usize>,
}

/// Where a listener is, and whether it changes only as its servers do.
pub(super) struct Site {
    pub(super) namespace: String,
    labels: Labels,
    pub(super) port: u16,
    /// Whether Envoy rejects the listener.
    pub(super) is_rejected: bool,
    /// Whether istiod keeps all servers on the port, all use TLS, and no two have a host in common. A change
    /// of one server then affects another one only if it gets a host of the other.
    is_independent: bool,
}

/// A filter chain.
#[derive(Clone)]
pub(super) enum Chain {
    /// A server of an Istio Gateway that terminates HTTPS. Writes can change it and its routes.
    Https(Rc<HttpsServer>),
    /// Any other chain. The supported writes do not change it.
    Fixed(Rc<FilterChain>),
}

/// A server that terminates HTTPS. One that took over all hosts has many of them.
pub(super) struct HttpsServer {
    /// The server without its hosts.
    server: Server,
    /// The hosts of the server by their keys.
    hosts: HashMap<String, Vec<NamespacedHost>>,
}

impl ListenerChains {
    /// `None` if two HTTPS chains have one name.
    pub(super) fn new(workload: &Workload, listener: &Listener) -> Option<Self> {
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
    pub(super) fn replace(&mut self, removed: &[Arc<Server>], added: &[Arc<Server>]) -> Option<()> {
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
        for key in keys_of_server(server) {
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
        for key in keys_of_server(server) {
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
    pub(super) fn with_hosts_for(&self, host: &str) -> Server {
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
    pub(super) fn proxy(&self) -> Proxy<'_> {
        Proxy {
            namespace: &self.namespace,
            labels: &self.labels,
        }
    }
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
