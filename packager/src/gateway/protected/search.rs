//! The filter chains that have routes of protected hosts, and what to deny on their listeners.

use std::collections::{BTreeMap, BTreeSet};

use rule::HostPattern;

use super::connections::{Places, chains_at, connections, table};
use super::{Denial, OpenHost, SharedRoutes};
use crate::gateway::listener::samples;
use crate::gateway::resources::istio::TlsMode;
use crate::gateway::{FilterChain, Listener, Outcome, VirtualHost, Workload};

/// What was found in workloads.
#[derive(Default)]
pub(super) struct Search {
    pub(super) denials: Vec<Denial>,
    pub(super) open: BTreeSet<OpenHost>,
    pub(super) shared: BTreeSet<SharedRoutes>,
}

/// A host that is served after a client certificate was demanded.
#[derive(Clone, Copy)]
struct Protected<'m> {
    pattern: &'m HostPattern,
    /// A host of the pattern.
    host: &'m str,
    virtual_host: &'m VirtualHost,
}

impl Search {
    /// Searches the TLS listeners of a workload, each against each.
    pub(super) fn workload(&mut self, workload: &Workload) {
        // Nothing is served where Envoy refuses the listener.
        let listeners: Vec<&Listener> = workload
            .listeners
            .iter()
            .filter(|listener| listener.is_tls() && !listener.is_rejected())
            .collect();
        let samples = samples(&patterns(&listeners));
        for own in &listeners {
            for (place, owner) in own.chains.iter().enumerate() {
                if demands_certificate(owner) {
                    let hosts = protected_hosts(own, place, owner, &samples);
                    for listener in &listeners {
                        self.listener(listener, owner, &hosts);
                    }
                }
            }
        }
    }

    /// Denies what reaches the routes of an owner's hosts on a listener of the same pods.
    fn listener(&mut self, listener: &Listener, owner: &FilterChain, hosts: &[Protected<'_>]) {
        // Hosts that the same filter chains have routes for are denied together.
        let mut groups: BTreeMap<(Places, BTreeSet<HostPattern>), BTreeSet<HostPattern>> =
            BTreeMap::new();
        for host in hosts {
            let bypasses = bypasses(listener, *host);
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
            for connections in connections(listener, owner, &bypasses) {
                self.denials.push(Denial {
                    hosts: hosts.clone(),
                    except: except.clone(),
                    connections,
                    ports: BTreeSet::from([listener.port]),
                });
            }
        }
    }

    /// Whether a listener serves a host without a certificate on connections of its own. A denial
    /// would take the host away there.
    fn is_open(&mut self, listener: &Listener, host: Protected<'_>, bypasses: &Places) -> bool {
        let own = listener
            .chain_place(host.host.as_bytes())
            .filter(|place| bypasses.contains(place))
            .and_then(|place| listener.chains.get(place));
        if let Some(own) = own {
            self.open.insert(OpenHost {
                host: host.pattern.clone(),
                port: listener.port,
                server: own.server.id.clone(),
            });
        }
        own.is_some()
    }

    fn note_shared(&mut self, listener: &Listener, host: Protected<'_>, bypasses: &Places) {
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

/// The hosts that a filter chain serves on connections of their own.
fn protected_hosts<'m>(
    listener: &Listener,
    place: usize,
    owner: &'m FilterChain,
    samples: &'m BTreeMap<HostPattern, String>,
) -> Vec<Protected<'m>> {
    let mut found = Vec::new();
    for pattern in owner.domains() {
        let Some(host) = samples.get(pattern) else {
            continue;
        };
        // A more specific server name may lead elsewhere.
        if listener.chain_place(host.as_bytes()) != Some(place) {
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

/// The filter chains of a listener that have routes of a protected host and demand no certificate.
///
/// istiod gives a filter chain only domains that its server names cover, so the others need not be
/// asked.
fn bypasses(listener: &Listener, protected: Protected<'_>) -> Places {
    let table = &listener.by_server_name;
    let has_routes = |place: &usize| {
        listener
            .chains
            .get(*place)
            .filter(|chain| !demands_certificate(chain))
            .and_then(|chain| served(chain, protected.host))
            .is_some_and(|found| have_common_routes(found, protected.virtual_host))
    };
    table
        .get(protected.pattern)
        .into_iter()
        .chain(table.covering(protected.pattern))
        .copied()
        .filter(has_routes)
        .collect()
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

/// Whether two virtual hosts have one rule of one resource.
fn have_common_routes(one: &VirtualHost, other: &VirtualHost) -> bool {
    one.routes.iter().any(|route| {
        other.routes.iter().any(|found| {
            found.resource == route.resource
                && found.rules.iter().any(|rule| route.rules.contains(rule))
        })
    })
}

/// Whether a filter chain has the routes for more than the protected hosts.
fn has_wider_domain(chain: &FilterChain, protected: Protected<'_>) -> bool {
    served(chain, protected.host).is_some_and(|found| {
        table(&found.domains)
            .covering(protected.pattern)
            .next()
            .is_some()
    })
}

/// The server names below a wildcard that lead to filter chains without client certificates.
fn unprotected_below(listener: &Listener, pattern: &HostPattern) -> BTreeSet<HostPattern> {
    if matches!(pattern, HostPattern::Exact(_)) {
        return BTreeSet::new();
    }
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
