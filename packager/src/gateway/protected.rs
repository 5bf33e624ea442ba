//! The hosts whose client certificates can be bypassed, and the requests to deny for that.
//!
//! Envoy asks for a client certificate in the TLS handshake, before it reads a request. The server name
//! of the connection decides alone whether it does. So the routes of a host are reached without a
//! certificate where another filter chain has them too and does not ask. A client needs no certificate
//! that is good for both hosts to try this: it can send any authority on any connection.

mod merge;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use rule::HostPattern;
use rule::host::HostTable;

use super::listener::{Service, samples};
use super::resources::istio::TlsMode;
use super::server::Handling;
use super::{FilterChain, Listener, Outcome, ServerId, VirtualHost, Workload};

/// What keeps clients without a certificate from the routes of protected hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary {
    /// The requests to deny, in a fixed order.
    pub denials: Vec<Denial>,
    /// The protected hosts that a listener serves without a certificate on connections of their own.
    /// No denial is about them there: the resources say that it is so.
    pub open: BTreeSet<OpenHost>,
    /// The protected hosts whose routes another server has for a wider pattern, so that they can be
    /// reached by another name.
    pub shared: BTreeSet<SharedRoutes>,
    /// What the denials must not reach.
    pub other_listeners: OtherListeners,
    /// Whether the input leaves no doubt about the ports of the denials.
    pub ports_are_certain: bool,
    /// Whether some workloads need other denials than others.
    pub workloads_differ: bool,
}

/// Requests to deny: those for some hosts, on some connections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denial {
    /// The hosts.
    pub hosts: BTreeSet<HostPattern>,
    /// Hosts below the wildcards of [`Self::hosts`] that have a server without client certificates of
    /// their own.
    pub except: BTreeSet<HostPattern>,
    /// The connections.
    pub connections: Connections,
    /// The ports that Envoy listens on where such requests bypass a certificate.
    pub ports: BTreeSet<u16>,
}

/// Connections by their server names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connections {
    /// The server names; without any, all of them, and connections without a server name.
    pub among: BTreeSet<HostPattern>,
    /// The server names that are left out.
    pub but: BTreeSet<HostPattern>,
}

/// A protected host that is served without a certificate on a connection of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenHost {
    /// The host.
    pub host: HostPattern,
    /// The port that Envoy listens on.
    pub port: u16,
    /// The server that does not demand a certificate.
    pub server: ServerId,
}

/// Routes of a protected host that a server without client certificates has for more hosts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SharedRoutes {
    /// The protected host.
    pub host: HostPattern,
    /// The server without client certificates.
    pub server: ServerId,
}

/// Listeners of the same pods that are not those of the denials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OtherListeners {
    /// There are none.
    None,
    /// Listeners for HTTP in plain text, where a request has no server name and would be denied.
    PlainHttp,
    /// Listeners whose connections istiod would close: for TCP it ignores the hosts of a denial and
    /// keeps the server names (Istio `pilot/pkg/security/authz/model/model.go`, `checkError`).
    Any,
}

impl Boundary {
    /// The denials for workloads that one policy reaches.
    #[must_use]
    pub fn of(workloads: &[&Workload]) -> Self {
        let mut total = Search::default();
        let mut needs = BTreeSet::new();
        for workload in workloads {
            let mut search = Search::default();
            search.workload(workload);
            needs.insert(merge::merged(search.denials.clone()));
            total.denials.append(&mut search.denials);
            total.open.append(&mut search.open);
            total.shared.append(&mut search.shared);
        }
        let denials = merge::merged(total.denials);
        let ports: BTreeSet<u16> = denials
            .iter()
            .flat_map(|denial| &denial.ports)
            .copied()
            .collect();
        let listeners = || workloads.iter().flat_map(|workload| &workload.listeners);
        Self {
            other_listeners: listeners()
                .filter(|listener| {
                    denials
                        .iter()
                        .any(|denial| !denial.ports.contains(&listener.port))
                })
                .map(other_listener)
                .max()
                .unwrap_or(OtherListeners::None),
            ports_are_certain: listeners()
                .filter(|listener| ports.contains(&listener.port))
                .all(|listener| listener.port_is_certain),
            workloads_differ: needs.len() > 1,
            denials,
            open: total.open,
            shared: total.shared,
        }
    }
}

fn other_listener(listener: &Listener) -> OtherListeners {
    let is_plain_http = !listener.is_tls()
        && listener
            .chains
            .iter()
            .all(|chain| chain.server.handling() == Handling::PlainHttp);
    if is_plain_http {
        OtherListeners::PlainHttp
    } else {
        OtherListeners::Any
    }
}

/// A host, and the filter chain that demands a client certificate for it.
#[derive(Clone, Copy)]
struct Protected<'m> {
    pattern: &'m HostPattern,
    /// A host of the pattern.
    host: &'m str,
    owner: &'m FilterChain,
    virtual_host: &'m VirtualHost,
}

#[derive(Default)]
struct Search {
    denials: Vec<Denial>,
    open: BTreeSet<OpenHost>,
    shared: BTreeSet<SharedRoutes>,
}

impl Search {
    fn workload(&mut self, workload: &Workload) {
        // Nothing is served where Envoy refuses the listener.
        let listeners: Vec<&Listener> = workload
            .listeners
            .iter()
            .filter(|listener| listener.is_tls() && !listener.is_rejected())
            .collect();
        let samples = samples(&patterns(&listeners));
        for own in &listeners {
            for protected in protected_hosts(own, &samples) {
                for listener in &listeners {
                    self.listener(listener, protected);
                }
            }
        }
    }

    /// Denies what reaches the routes of a protected host on a listener of the same pods.
    fn listener(&mut self, listener: &Listener, protected: Protected<'_>) {
        let bypasses = bypasses(listener, protected);
        if bypasses.is_empty() {
            return;
        }
        // The host's own connections are not reused ones, and a denial would take the host away.
        if let Some(own) = listener.chain(protected.host.as_bytes())
            && bypasses.iter().any(|chain| std::ptr::eq(*chain, own))
        {
            self.open.insert(OpenHost {
                host: protected.pattern.clone(),
                port: listener.port,
                server: own.server.id.clone(),
            });
            return;
        }
        for chain in &bypasses {
            if has_wider_domain(chain, protected) {
                self.shared.insert(SharedRoutes {
                    host: protected.pattern.clone(),
                    server: chain.server.id.clone(),
                });
            }
        }
        let all_connections = connections(listener, protected, &bypasses);
        self.denials
            .extend(all_connections.into_iter().map(|connections| Denial {
                hosts: BTreeSet::from([protected.pattern.clone()]),
                except: unprotected_below(listener, protected.pattern),
                connections,
                ports: BTreeSet::from([listener.port]),
            }));
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

/// The hosts of a listener that are served after a client certificate was demanded.
fn protected_hosts<'m>(
    listener: &'m Listener,
    samples: &'m BTreeMap<HostPattern, String>,
) -> Vec<Protected<'m>> {
    let mut found = Vec::new();
    for (place, owner) in listener.chains.iter().enumerate() {
        if !demands_certificate(owner) {
            continue;
        }
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
                    owner,
                    virtual_host,
                });
            }
        }
    }
    found
}

/// The filter chains of a listener that have routes of a protected host and demand no certificate.
///
/// istiod gives a filter chain only domains that its server names cover, so the others need not be
/// asked.
fn bypasses<'m>(listener: &'m Listener, protected: Protected<'_>) -> Vec<&'m FilterChain> {
    let table = &listener.by_server_name;
    let places: BTreeSet<usize> = table
        .get(protected.pattern)
        .into_iter()
        .chain(table.covering(protected.pattern))
        .copied()
        .collect();
    places
        .into_iter()
        .filter_map(|place| listener.chains.get(place))
        .filter(|chain| !demands_certificate(chain))
        .filter(|chain| {
            served(chain, protected.host)
                .is_some_and(|found| have_common_routes(found, protected.virtual_host))
        })
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
        found
            .domains
            .iter()
            .any(|domain| table([domain]).covering(protected.pattern).next().is_some())
    })
}

/// The connections of a listener on which requests for a protected host are to be denied.
fn connections(
    listener: &Listener,
    protected: Protected<'_>,
    bypasses: &[&FilterChain],
) -> Vec<Connections> {
    // The connections of the owner, and those that are not HTTP: istiod would close all of these.
    let mut allowed: BTreeSet<HostPattern> = protected.owner.server_names.iter().cloned().collect();
    for chain in &listener.chains {
        if !matches!(chain.service, Service::Https(_)) {
            allowed.extend(chain.server_names.iter().cloned());
        }
    }
    let mut found = Vec::new();
    if !allowed.contains(&HostPattern::Any) {
        found.push(Connections {
            among: BTreeSet::new(),
            but: allowed.clone(),
        });
    }
    // Server names that are allowed, and lead to a filter chain without certificates all the same.
    let allowed_table = table(&allowed);
    let mut among: BTreeSet<HostPattern> = bypasses
        .iter()
        .flat_map(|chain| &chain.server_names)
        .filter(|name| covers(&allowed_table, name))
        .cloned()
        .collect();
    for name in &allowed {
        let leads_to = chain_of_pattern(listener, name);
        if leads_to.is_some_and(|own| bypasses.iter().any(|chain| std::ptr::eq(*chain, own))) {
            among.insert(name.clone());
        }
    }
    if !among.is_empty() {
        let among_table = table(&among);
        let but = allowed
            .into_iter()
            .filter(|name| !among.contains(name) && covers(&among_table, name))
            .collect();
        found.push(Connections { among, but });
    }
    found
}

/// The filter chain for the server names of a pattern that no narrower one has.
fn chain_of_pattern<'m>(listener: &'m Listener, pattern: &HostPattern) -> Option<&'m FilterChain> {
    let table = &listener.by_server_name;
    let place = table
        .get(pattern)
        .or_else(|| table.covering(pattern).next())?;
    listener.chains.get(*place)
}

/// The server names below a wildcard that lead to filter chains without client certificates.
fn unprotected_below(listener: &Listener, pattern: &HostPattern) -> BTreeSet<HostPattern> {
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

fn table<'p>(patterns: impl IntoIterator<Item = &'p HostPattern>) -> HostTable<()> {
    let mut table = HostTable::default();
    for pattern in patterns {
        table.insert(pattern.clone(), ());
    }
    table
}

/// Whether a pattern of a table covers every host of another.
fn covers(table: &HostTable<()>, pattern: &HostPattern) -> bool {
    table.get(pattern).is_some() || table.covering(pattern).next().is_some()
}
