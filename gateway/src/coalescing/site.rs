//! What can be asked for at a listener.

use std::collections::{BTreeSet, HashMap};

use rule::HostPattern;
use rule::host::certificate::CertifiedHosts;
use rule::host::istio::{IstioHost, IstioHosts};

use crate::listener::sample_hosts;
use crate::{Answer, Certificates, FilterChain, Listener, Outcome, ServerId, Workload};

/// A host, with what becomes of requests for it on a connection of its own.
pub(crate) struct Candidate<'m> {
    pub(crate) name: String,
    /// The place of its filter chain.
    pub(crate) chain: usize,
    pub(crate) fresh: Answer<'m>,
}

/// A listener with the hosts that can be asked for.
pub(crate) struct Site<'m> {
    pub(crate) workload: &'m Workload,
    pub(crate) listener: &'m Listener,
    pub(crate) candidates: Vec<Candidate<'m>>,
    /// By filter chain, the first candidate that leads to it.
    first: HashMap<usize, usize>,
    /// The candidates that are served, by the names of certificates that are good for them.
    served: CertifiedHosts<usize>,
    /// The filter chains by the domains of their virtual hosts.
    domains: IstioHosts<usize>,
    servers: Vec<&'m ServerId>,
    server_of: Vec<usize>,
}

impl<'m> Site<'m> {
    /// The hosts are all those of servers, routes and certificates; a wildcard is one host that
    /// nothing else names, since all such hosts fare alike.
    pub(crate) fn new(
        workload: &'m Workload,
        listener: &'m Listener,
        certificates: &Certificates,
    ) -> Self {
        let mut site = Self {
            workload,
            listener,
            candidates: Vec::new(),
            first: HashMap::new(),
            served: CertifiedHosts::default(),
            domains: IstioHosts::default(),
            servers: Vec::new(),
            server_of: Vec::new(),
        };
        site.number_servers();
        for name in sample_hosts(&patterns(listener, certificates)) {
            site.add(name);
        }
        for (place, chain) in listener.chains.iter().enumerate() {
            for domain in chain.domains() {
                site.domains.insert(&domain.to_string(), place);
            }
        }
        site
    }

    fn number_servers(&mut self) {
        let mut numbers: HashMap<&ServerId, usize> = HashMap::new();
        for chain in &self.listener.chains {
            let next = numbers.len();
            let number = *numbers.entry(&chain.server.id).or_insert(next);
            if number == self.servers.len() {
                self.servers.push(&chain.server.id);
            }
            self.server_of.push(number);
        }
    }

    fn add(&mut self, name: String) {
        let Some(chain) = self.listener.chain_index(name.as_bytes()) else {
            return;
        };
        let fresh = self.listener.answer(name.as_bytes(), name.as_bytes());
        let at = self.candidates.len();
        self.first.entry(chain).or_insert(at);
        if matches!(
            fresh.outcome,
            Outcome::Served | Outcome::Passthrough | Outcome::Tcp
        ) && let Ok(host) = HostPattern::try_from(name.as_str())
        {
            self.served.insert(&host, at);
        }
        self.candidates.push(Candidate { name, chain, fresh });
    }

    pub(crate) fn candidate(&self, at: usize) -> Option<&Candidate<'m>> {
        self.candidates.get(at)
    }

    pub(crate) fn chain(&self, place: usize) -> Option<&'m FilterChain> {
        self.listener.chains.get(place)
    }

    /// The server name that leads to a filter chain; `None` where nothing does.
    pub(crate) fn sni(&self, chain: usize) -> Option<&str> {
        self.candidate(*self.first.get(&chain)?)
            .map(|candidate| candidate.name.as_str())
    }

    /// The number of the server that a filter chain comes from.
    pub(crate) fn server_of(&self, chain: usize) -> Option<usize> {
        self.server_of.get(chain).copied()
    }

    /// All servers, with their numbers.
    pub(crate) fn servers(&self) -> impl Iterator<Item = (usize, &'m ServerId)> {
        self.servers.iter().copied().enumerate()
    }

    pub(crate) fn server(&self, number: usize) -> Option<&'m ServerId> {
        self.servers.get(number).copied()
    }

    /// The candidates that are served and that a name of a certificate is good for.
    pub(crate) fn certified_by(&self, name: &HostPattern) -> &[usize] {
        self.served.certified_by(name)
    }

    /// The filter chains that have routes for a host.
    pub(crate) fn chains_with(&self, name: &str) -> BTreeSet<usize> {
        self.domains
            .intersections(IstioHost(name))
            .map(|(_, chain)| *chain)
            .collect()
    }
}

fn patterns(listener: &Listener, certificates: &Certificates) -> Vec<HostPattern> {
    let mut patterns = Vec::new();
    for chain in &listener.chains {
        patterns.extend_from_slice(&chain.server_names);
        patterns.extend(chain.domains().cloned());
        for credential in &chain.credentials {
            let known = certificates.known(credential);
            patterns.extend(
                known
                    .into_iter()
                    .flat_map(|found| found.names.iter().cloned()),
            );
        }
    }
    patterns
}
