//! Finds the filter chains through which clients reach protected hosts without a certificate.

use std::collections::{BTreeMap, BTreeSet};

use rule::HostPattern;
use rule::host::HostTable;

use super::connections::{ChainIndices, chains_at, connections, table};
use super::deny_rules::DenyRules;
use super::{Denial, DeniedRequests, OpenHost, OtherWay, SharedRoutes};
use crate::listener::samples;
use crate::resources::istio::TlsMode;
use crate::{FilterChain, Listener, Outcome, VirtualHost, Workload};

/// The results of the search, which accumulate over workloads.
#[derive(Default)]
pub(super) struct Search {
    pub(super) denials: Vec<Denial>,
    pub(super) open: BTreeSet<OpenHost>,
    pub(super) shared: BTreeSet<SharedRoutes>,
}

/// A host that a filter chain serves after it demands a client certificate.
#[derive(Clone, Copy)]
struct Protected<'m> {
    pattern: &'m HostPattern,
    /// A sample host of the pattern.
    host: &'m str,
    virtual_host: &'m VirtualHost,
}

/// A filter chain that demands client certificates, with the hosts that it serves.
struct Owner<'m> {
    chain: &'m FilterChain,
    hosts: Vec<Protected<'m>>,
}

/// The TLS listeners of a workload.
struct Listeners<'m> {
    listeners: Vec<&'m Listener>,
    /// A sample host of each pattern.
    samples: BTreeMap<HostPattern, String>,
}

impl<'m> Listeners<'m> {
    fn new(workload: &'m Workload) -> Self {
        // A listener that Envoy refuses serves nothing.
        let listeners: Vec<&Listener> = workload
            .listeners
            .iter()
            .filter(|listener| listener.is_tls() && !listener.is_rejected())
            .collect();
        Self {
            // One sample for each pattern of the workload, so that the sample of a wildcard has no exact pattern.
            samples: samples(&patterns(&listeners)),
            listeners,
        }
    }

    /// The filter chains of all listeners that demand client certificates.
    fn owners(&self) -> Vec<Owner<'_>> {
        self.listeners
            .iter()
            .flat_map(|listener| self.owners_of(listener))
            .collect()
    }

    fn owners_of<'s>(&'s self, listener: &'s Listener) -> Vec<Owner<'s>> {
        let mut owners = Vec::new();
        for (index, chain) in listener.chains.iter().enumerate() {
            if demands_certificate(chain) {
                let hosts = protected_hosts(listener, index, chain, &self.samples);
                owners.push(Owner { chain, hosts });
            }
        }
        owners
    }
}

/// What rules do with the bypasses of the protected hosts of a listener, on all listeners of its workload.
pub(super) fn denied_requests(
    workload: &Workload,
    own: &Listener,
    rules: &DenyRules,
) -> HostTable<DeniedRequests> {
    let listeners = Listeners::new(workload);
    let owners = listeners.owners_of(own);
    let mut found: BTreeMap<&HostPattern, DeniedRequests> = BTreeMap::new();
    for listener in &listeners.listeners {
        // Hosts with the same bypasses are compared with the same connections.
        let mut groups: BTreeMap<ChainIndices, Vec<Protected<'_>>> = BTreeMap::new();
        for host in owners.iter().flat_map(|owner| &owner.hosts) {
            let denied = found
                .entry(host.pattern)
                .or_insert_with(|| DeniedRequests::new(host.pattern));
            let bypasses = bypasses(listener, *host);
            // A rule for such a host would make it unavailable on this listener.
            if let Some(chain) = own_bypass(listener, *host, &bypasses) {
                let server = chain.server.id.clone();
                denied.other_way = Some(OtherWay::Port(listener.port, server));
                continue;
            }
            let wider = chains_at(listener, &bypasses).find(|chain| has_wider_domain(chain, *host));
            if let Some(chain) = wider {
                denied.other_way = Some(OtherWay::Hosts(chain.server.id.clone()));
            }
            if !bypasses.is_empty() {
                groups.entry(bypasses).or_default().push(*host);
            }
        }
        for (bypasses, hosts) in groups {
            let mut place = rules.place(listener, &bypasses);
            for host in hosts {
                let has_dotted =
                    chains_at(listener, &bypasses).any(|chain| has_dotted(chain, host));
                if let Some(denied) = found.get_mut(host.pattern) {
                    place.add_to(denied, host.pattern, has_dotted);
                }
            }
        }
    }
    let mut table = HostTable::default();
    for (host, denied) in found {
        table.insert(host.clone(), denied);
    }
    table
}

/// Whether a filter chain has the routes of a host for its name with a trailing dot.
fn has_dotted(chain: &FilterChain, protected: Protected<'_>) -> bool {
    served(chain, &format!("{}.", protected.host))
        .is_some_and(|found| have_common_routes(found, protected.virtual_host))
}

impl Search {
    /// Searches the TLS listeners of a workload, every listener for bypasses of every protected host.
    pub(super) fn workload(&mut self, workload: &Workload) {
        let listeners = Listeners::new(workload);
        for owner in listeners.owners() {
            for listener in &listeners.listeners {
                self.listener(listener, &owner);
            }
        }
    }

    /// Adds denials for the requests that reach the routes of an owner's hosts on a listener of the same pods.
    fn listener(&mut self, listener: &Listener, owner: &Owner<'_>) {
        // Hosts with the same bypasses share a denial.
        let mut groups: BTreeMap<(ChainIndices, BTreeSet<HostPattern>), BTreeSet<HostPattern>> =
            BTreeMap::new();
        for host in &owner.hosts {
            let bypasses = bypasses(listener, *host);
            // A denial for a host that the listener serves openly would make the host unavailable.
            if bypasses.is_empty() || self.is_open(listener, *host, &bypasses) {
                continue;
            }
            self.note_shared(listener, *host, &bypasses);
            let except = unprotected_below(listener, host.pattern);
            groups
                .entry((bypasses, except))
                .or_default()
                .insert(host.pattern.clone());
        }
        for ((bypasses, except), hosts) in groups {
            for connections in connections(listener, owner.chain, &bypasses) {
                self.denials.push(Denial {
                    hosts: hosts.clone(),
                    except: except.clone(),
                    connections,
                    ports: BTreeSet::from([listener.port]),
                });
            }
        }
    }

    /// Whether a listener serves a host without a certificate on its own connections. Such hosts are
    /// recorded.
    fn is_open(
        &mut self,
        listener: &Listener,
        host: Protected<'_>,
        bypasses: &ChainIndices,
    ) -> bool {
        let own = own_bypass(listener, host, bypasses);
        if let Some(own) = own {
            self.open.insert(OpenHost {
                host: host.pattern.clone(),
                port: listener.port,
                server: own.server.id.clone(),
            });
        }
        own.is_some()
    }

    fn note_shared(&mut self, listener: &Listener, host: Protected<'_>, bypasses: &ChainIndices) {
        for chain in chains_at(listener, bypasses) {
            if has_wider_domain(chain, host) {
                self.shared.insert(SharedRoutes {
                    host: host.pattern.clone(),
                    server: chain.server.id.clone(),
                });
            }
        }
    }
}

fn patterns(listeners: &[&Listener]) -> Vec<HostPattern> {
    let mut patterns = Vec::new();
    for chain in listeners.iter().flat_map(|listener| &listener.chains) {
        patterns.extend_from_slice(&chain.server_names);
        patterns.extend(chain.domains().cloned());
    }
    patterns
}

/// The hosts that a filter chain serves on their own connections.
fn protected_hosts<'m>(
    listener: &Listener,
    index: usize,
    owner: &'m FilterChain,
    samples: &'m BTreeMap<HostPattern, String>,
) -> Vec<Protected<'m>> {
    let mut found = Vec::new();
    for pattern in owner.domains() {
        let Some(host) = samples.get(pattern) else {
            continue;
        };
        // Envoy selects the chain with the most specific name, which can be another one.
        if listener.chain_index(host.as_bytes()) != Some(index) {
            continue;
        }
        if let Some(virtual_host) = served(owner, host) {
            found.push(Protected {
                pattern,
                host,
                virtual_host,
            });
        }
    }
    found
}

/// The filter chains of a listener that have routes of a protected host and do not demand a certificate.
///
/// istiod gives a filter chain only domains that its server names cover, so the other chains are skipped.
fn bypasses(listener: &Listener, protected: Protected<'_>) -> ChainIndices {
    let table = &listener.by_server_name;
    table
        .get(protected.pattern)
        .into_iter()
        .chain(table.covering(protected.pattern))
        .copied()
        .filter(|index| {
            listener
                .chains
                .get(*index)
                .is_some_and(|chain| is_bypass(chain, protected))
        })
        .collect()
}

/// The filter chain of the own connections of a host, if it is a bypass.
fn own_bypass<'m>(
    listener: &'m Listener,
    host: Protected<'_>,
    bypasses: &ChainIndices,
) -> Option<&'m FilterChain> {
    listener
        .chain_index(host.host.as_bytes())
        .filter(|index| bypasses.contains(index))
        .and_then(|index| listener.chains.get(index))
}

fn is_bypass(chain: &FilterChain, protected: Protected<'_>) -> bool {
    !demands_certificate(chain)
        && served(chain, protected.host)
            .is_some_and(|found| have_common_routes(found, protected.virtual_host))
}

fn demands_certificate(chain: &FilterChain) -> bool {
    chain.tls.is_some_and(TlsMode::demands_client_certificate)
}

/// The virtual host of a filter chain that has routes for a host.
fn served<'m>(chain: &'m FilterChain, host: &str) -> Option<&'m VirtualHost> {
    let answer = chain.answer(host.as_bytes());
    answer
        .virtual_host
        .filter(|_| answer.outcome == Outcome::Served)
}

/// Whether two virtual hosts share a rule of a resource.
fn have_common_routes(one: &VirtualHost, other: &VirtualHost) -> bool {
    // Rules are compared, not virtual hosts: two hosts can share a VirtualService in part.
    one.routes.iter().any(|route| {
        other.routes.iter().any(|found| {
            found.resource == route.resource
                && found.rules.iter().any(|rule| route.rules.contains(rule))
        })
    })
}

/// Whether a filter chain has the routes for a wider pattern than the protected one.
fn has_wider_domain(chain: &FilterChain, protected: Protected<'_>) -> bool {
    served(chain, protected.host).is_some_and(|found| {
        table(&found.domains)
            .covering(protected.pattern)
            .next()
            .is_some()
    })
}

/// The server names that a wildcard covers and whose filter chains do not demand certificates.
fn unprotected_below(listener: &Listener, pattern: &HostPattern) -> BTreeSet<HostPattern> {
    if matches!(pattern, HostPattern::Exact(_)) {
        return BTreeSet::new();
    }
    // A denial for the wildcard would match these hosts too, which clients reach without a certificate.
    let wildcard = table([pattern]);
    listener
        .chains
        .iter()
        .filter(|chain| !demands_certificate(chain))
        .flat_map(|chain| &chain.server_names)
        .filter(|name| wildcard.covering(name).next().is_some())
        .cloned()
        .collect()
}
