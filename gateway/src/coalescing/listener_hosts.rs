//! The hosts that clients can request at a listener.

use std::collections::{BTreeMap, HashMap};

use rule::host::certificate::CertifiedHosts;
use rule::host::istio::{IstioHost, IstioHosts};
use rule::{Host, HostPattern};

use super::index::{ChainIndex, HostIndex, ServerIndex};
use crate::listener::{ChainKind, sample_hosts};
use crate::resources::istio::TlsMode;
use crate::{Answer, Certificates, FilterChain, Listener, Outcome, ServerId, Workload};

/// A filter chain of a listener, with its index and the index of its server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexedChain<'m> {
    pub(crate) index: ChainIndex,
    pub(crate) server: ServerIndex,
    pub(crate) chain: &'m FilterChain,
}

/// A connection that a client can reuse, and an SNI that selects its filter chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoalescedConnection<'m> {
    pub(crate) chain: IndexedChain<'m>,
    pub(crate) sni: &'m str,
}

/// A host, with the answer to requests for it on a new connection of its own.
#[derive(Debug)]
pub(crate) struct ListenerHost<'m> {
    index: HostIndex,
    pub(crate) name: String,
    /// The filter chain that an SNI with this name selects.
    pub(crate) chain: IndexedChain<'m>,
    pub(crate) fresh: Answer<'m>,
}

/// A listener with its filter chains, their servers and the hosts that clients can request.
///
/// Indices are resolved only here. Everything that it returns holds references.
pub(crate) struct ListenerHosts<'m> {
    pub(crate) workload: &'m Workload,
    pub(crate) listener: &'m Listener,
    chains: Vec<IndexedChain<'m>>,
    servers: Vec<&'m ServerId>,
    hosts: Vec<ListenerHost<'m>>,
    /// The hosts that select each filter chain, in ascending order.
    hosts_by_chain: HashMap<ChainIndex, Vec<HostIndex>>,
    /// The hosts that are served, found by a name in a certificate that covers them.
    served: CertifiedHosts<HostIndex>,
    /// The filter chains, found by a domain of their virtual hosts.
    routed: IstioHosts<ChainIndex>,
}

impl<'m> ListenerHosts<'m> {
    /// Lists the hosts of servers, routes and certificates. A wildcard becomes one host that nothing
    /// else names, because all such hosts get the same answer.
    pub(crate) fn new(
        workload: &'m Workload,
        listener: &'m Listener,
        certificates: &Certificates,
    ) -> Self {
        let (chains, servers) = indexed_chains(listener);
        let mut listener_hosts = Self {
            workload,
            listener,
            chains,
            servers,
            hosts: Vec::new(),
            hosts_by_chain: HashMap::new(),
            served: CertifiedHosts::default(),
            routed: IstioHosts::default(),
        };
        for name in sample_hosts(&patterns(listener, certificates)) {
            listener_hosts.add_host(name);
        }
        listener_hosts.add_domains();
        listener_hosts
    }

    fn add_host(&mut self, name: String) {
        // Envoy resets connections whose SNI selects no filter chain, so no request for this host arrives.
        let Some(chain) = self
            .listener
            .chain_index(name.as_bytes())
            .and_then(|place| self.chains.get(place).copied())
        else {
            return;
        };
        let index = HostIndex(self.hosts.len());
        self.hosts_by_chain
            .entry(chain.index)
            .or_default()
            .push(index);
        let fresh = self.listener.answer(name.as_bytes(), name.as_bytes());
        // A host that is not served on its own connection cannot break on another one.
        if is_served(fresh.outcome)
            && let Ok(host) = HostPattern::try_from(name.as_str())
        {
            self.served.insert(&host, index);
        }
        self.hosts.push(ListenerHost {
            index,
            name,
            chain,
            fresh,
        });
    }

    fn add_domains(&mut self) {
        for chain in &self.chains {
            for domain in chain.chain.domains() {
                self.routed.insert(&domain.to_string(), chain.index);
            }
        }
    }

    pub(crate) fn chains(&self) -> &[IndexedChain<'m>] {
        &self.chains
    }

    /// All servers, in the order of their indices.
    pub(crate) fn servers(&self) -> impl Iterator<Item = (ServerIndex, &'m ServerId)> {
        self.servers
            .iter()
            .enumerate()
            .map(|(number, id)| (ServerIndex(number), *id))
    }

    pub(crate) fn server(&self, index: ServerIndex) -> Option<&'m ServerId> {
        self.servers.get(index.0).copied()
    }

    /// The connection that clients open to a filter chain and reuse, if they accept any SNI of the chain;
    /// `None` if no SNI selects the chain, or clients cannot reuse its connections.
    pub(crate) fn connection(&self, chain: IndexedChain<'m>) -> Option<CoalescedConnection<'_>> {
        self.connections(chain).next()
    }

    /// The connection that clients open to a filter chain and reuse, if they accept the names of a
    /// certificate only: without a name for the SNI they refuse the certificate (RFC 9110 §4.3.4), and
    /// there is no connection.
    pub(crate) fn connection_with(
        &self,
        chain: IndexedChain<'m>,
        names: &[HostPattern],
    ) -> Option<CoalescedConnection<'_>> {
        self.connections(chain).find(|connection| {
            let host = Host::from_authority(connection.sni.as_bytes());
            names.iter().any(|name| name.certifies(host))
        })
    }

    /// A connection for each host that selects a filter chain; none if clients cannot reuse them.
    fn connections(
        &self,
        chain: IndexedChain<'m>,
    ) -> impl Iterator<Item = CoalescedConnection<'_>> {
        // Clients coalesce HTTP/2 requests, and only if a certificate for public names covers them.
        // With ISTIO_MUTUAL the gateway presents a certificate of the mesh.
        let is_reusable = matches!(chain.chain.kind, ChainKind::Https(_))
            && chain.chain.tls != Some(TlsMode::IstioMutual);
        self.hosts_by_chain
            .get(&chain.index)
            .filter(|_| is_reusable)
            .into_iter()
            .flatten()
            .filter_map(|index| self.hosts.get(index.0))
            .map(move |host| CoalescedConnection {
                chain,
                sni: &host.name,
            })
    }

    /// The served hosts that a certificate with any of these names covers, each once and sorted.
    pub(crate) fn covered_by(&self, names: &[HostPattern]) -> Vec<&ListenerHost<'m>> {
        names
            .iter()
            .flat_map(|name| self.served.certified_by(name))
            .filter_map(|index| self.hosts.get(index.0))
            .map(|host| (host.index, host))
            .collect::<BTreeMap<_, _>>()
            .into_values()
            .collect()
    }

    /// The filter chains whose route tables have routes for a host.
    pub(crate) fn chains_with_routes_for(
        &self,
        host: &str,
    ) -> impl Iterator<Item = IndexedChain<'m>> {
        self.routed
            .intersections(IstioHost(host))
            .filter_map(|(_, index)| self.chains.get(index.0).copied())
            .map(|chain| (chain.index, chain))
            .collect::<BTreeMap<_, _>>()
            .into_values()
    }
}

fn is_served(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Served | Outcome::Passthrough | Outcome::Tcp => true,
        Outcome::NotFound | Outcome::Reset => false,
    }
}

/// Numbers the filter chains of a listener, and their servers by their first filter chains.
fn indexed_chains(listener: &Listener) -> (Vec<IndexedChain<'_>>, Vec<&ServerId>) {
    let mut servers: Vec<&ServerId> = Vec::new();
    let mut indices: HashMap<&ServerId, ServerIndex> = HashMap::new();
    let mut chains = Vec::with_capacity(listener.chains.len());
    for (position, chain) in listener.chains.iter().enumerate() {
        let id = &chain.server.id;
        let server = *indices.entry(id).or_insert_with(|| {
            servers.push(id);
            ServerIndex(servers.len() - 1)
        });
        chains.push(IndexedChain {
            index: ChainIndex(position),
            server,
            chain,
        });
    }
    (chains, servers)
}

/// The patterns of all servers, routes and certificates of a listener.
fn patterns(listener: &Listener, certificates: &Certificates) -> Vec<HostPattern> {
    let mut patterns = Vec::new();
    for chain in &listener.chains {
        patterns.extend_from_slice(&chain.server_names);
        patterns.extend(chain.domains().cloned());
        for certificate in chain
            .credentials
            .iter()
            .filter_map(|credential| certificates.known(credential))
        {
            patterns.extend_from_slice(&certificate.names);
        }
    }
    patterns
}
