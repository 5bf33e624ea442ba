//! The pairs of a connection and a host that break, for connections that are good for the same hosts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::covers::Cover;
use super::site::{Candidate, Site};
use super::{IsIgnored, MANY, ReportedDefect};
use crate::resources::istio::TlsMode;
use crate::{FilterChain, Outcome, VirtualHost};

/// How a host fares on a connection of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Defect {
    NotFound,
    WrongRoute,
    TlsPolicy,
}

/// A connection and the server of a host that breaks on it, with that host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    /// The place of the filter chain.
    pub(crate) connection: usize,
    /// The number of the server.
    pub(crate) owner: usize,
    /// The place of the candidate.
    pub(crate) host: usize,
    pub(crate) defect: Defect,
}

/// Pairs that one finding stands for.
pub(crate) struct Many {
    /// The numbers of the servers.
    pub(crate) servers: BTreeSet<usize>,
    pub(crate) pairs: usize,
    pub(crate) example: Pair,
    /// Those whose connections it is about, and those whose hosts.
    pub(crate) sides: (BTreeSet<usize>, BTreeSet<usize>),
    /// Whether it is about what is left beside servers that break each other.
    is_rest: bool,
}

/// The pairs that break.
pub(crate) struct Relation {
    /// Pairs that meet routes, each server once for each kind of defect.
    pub(crate) special: Vec<Pair>,
    /// The connections for which every other server's hosts are not found, by server.
    connections: BTreeMap<usize, usize>,
    /// The hosts that are served, by server.
    owners: BTreeMap<usize, Vec<usize>>,
    /// By connection and server, how many of the hosts meet routes after all.
    known: HashMap<(usize, usize), usize>,
    /// How many pairs annotations leave out.
    pub(crate) suppressed: usize,
}

impl Relation {
    /// What annotations leave out is counted and not in it.
    pub(crate) fn new(site: &Site<'_>, cover: &Cover, is_ignored: IsIgnored<'_>) -> Self {
        let mut relation = Self {
            special: Vec::new(),
            connections: cover
                .connections
                .iter()
                .filter_map(|place| Some((site.server_of(*place)?, *place)))
                .collect(),
            owners: BTreeMap::new(),
            known: HashMap::new(),
            suppressed: 0,
        };
        for at in &cover.hosts {
            let Some(host) = site.candidate(*at) else {
                continue;
            };
            let Some(owner) = site.server_of(host.chain) else {
                continue;
            };
            relation.owners.entry(owner).or_default().push(*at);
            for place in site.chains_with(&host.name) {
                relation.meet(site, place, owner, *at);
            }
        }
        relation.keep_first(site, cover, is_ignored);
        let not_found = ReportedDefect::new(cover.known, Defect::NotFound);
        relation.leave_out(site, not_found, is_ignored);
        relation
    }

    /// A host on a connection that may have routes for it.
    fn meet(&mut self, site: &Site<'_>, place: usize, owner: usize, at: usize) {
        let is_connection = site
            .server_of(place)
            .is_some_and(|server| server != owner && self.connections.get(&server) == Some(&place));
        let (Some(chain), Some(host)) = (site.chain(place), site.candidate(at)) else {
            return;
        };
        if !is_connection {
            return;
        }
        match defect(chain, host) {
            Some(Defect::NotFound) => return,
            Some(defect) => self.special.push(Pair {
                connection: place,
                owner,
                host: at,
                defect,
            }),
            None => {}
        }
        *self.known.entry((place, owner)).or_default() += 1;
    }

    /// Keeps one pair for each kind of defect, and leaves out what annotations say.
    fn keep_first(&mut self, site: &Site<'_>, cover: &Cover, is_ignored: IsIgnored<'_>) {
        let mut seen = BTreeSet::new();
        self.special.retain(|pair| {
            let defect = ReportedDefect::new(cover.known, pair.defect);
            if !seen.insert((defect, pair.connection, pair.owner)) {
                return false;
            }
            let servers = [site.server_of(pair.connection), Some(pair.owner)];
            let mut servers = servers
                .into_iter()
                .flatten()
                .filter_map(|at| site.server(at));
            let is_left_out = servers.any(|server| is_ignored(server, defect));
            self.suppressed += usize::from(is_left_out);
            !is_left_out
        });
    }

    /// Removes the servers whose Gateways do not want to hear of a code.
    fn leave_out(&mut self, site: &Site<'_>, defect: ReportedDefect, is_ignored: IsIgnored<'_>) {
        let before = self.count(|_| true, |_| true);
        let is_told = |number: &usize| {
            site.server(*number)
                .is_some_and(|server| !is_ignored(server, defect))
        };
        self.connections.retain(|number, _| is_told(number));
        self.owners.retain(|number, _| is_told(number));
        self.suppressed += before - self.count(|_| true, |_| true);
    }

    /// How many pairs of servers there are with a host that is not found.
    fn count(&self, connections: impl Fn(usize) -> bool, owners: impl Fn(usize) -> bool) -> usize {
        let sources: Vec<usize> = self
            .connections
            .keys()
            .copied()
            .filter(|server| connections(*server))
            .collect();
        let targets = self.owners.keys().filter(|server| owners(**server)).count();
        let is_target = |server: usize| owners(server) && self.owners.contains_key(&server);
        let own = sources.iter().filter(|server| is_target(**server)).count();
        let places: BTreeSet<usize> = sources
            .iter()
            .filter_map(|server| self.connections.get(server))
            .copied()
            .collect();
        let found = self.known.iter().filter(|((place, owner), known)| {
            places.contains(place) && is_target(*owner) && self.hosts_of(*owner) == **known
        });
        sources.len() * targets - own - found.count()
    }

    fn hosts_of(&self, owner: usize) -> usize {
        self.owners.get(&owner).map_or(0, Vec::len)
    }

    /// The servers that break each other, where they are many; and what is left beside them, where
    /// that is more than one could read.
    pub(crate) fn groups(&self, site: &Site<'_>) -> Vec<Many> {
        let mutual = self.mutual();
        let is_mutual = |server: usize| mutual.contains(&server);
        let pairs = self.count(is_mutual, is_mutual);
        let has_mutual = mutual.len() > MANY && pairs > 0;
        let rest = self.count(|_| true, |_| true) - if has_mutual { pairs } else { 0 };
        let everyone: BTreeSet<usize> = self
            .connections
            .keys()
            .chain(self.owners.keys())
            .copied()
            .collect();
        let mut groups = Vec::new();
        let example = self.pairs(site, &mutual, &mutual).next();
        if let Some(example) = example.filter(|_| has_mutual) {
            let sides = (mutual.clone(), mutual.clone());
            groups.push(Many {
                servers: mutual,
                pairs,
                example,
                sides,
                is_rest: false,
            });
        }
        let example = self.rest(site, &groups).next();
        if let Some(example) = example.filter(|_| rest > MANY * everyone.len()) {
            let connections = self.connections.keys().copied().collect();
            let sides = (connections, self.owners.keys().copied().collect());
            groups.push(Many {
                servers: everyone,
                pairs: rest,
                example,
                sides,
                is_rest: true,
            });
        }
        groups
    }

    /// The servers that are on both sides.
    fn mutual(&self) -> BTreeSet<usize> {
        self.connections
            .keys()
            .copied()
            .filter(|at| self.owners.contains_key(at))
            .collect()
    }

    /// The pairs that no group stands for.
    pub(crate) fn singles<'r>(
        &'r self,
        site: &'r Site<'_>,
        groups: &'r [Many],
    ) -> Box<dyn Iterator<Item = Pair> + 'r> {
        if groups.iter().any(|group| group.is_rest) {
            return Box::new(std::iter::empty());
        }
        Box::new(self.rest(site, groups))
    }

    /// The pairs that are not of servers which break each other.
    fn rest<'r>(
        &'r self,
        site: &'r Site<'_>,
        groups: &'r [Many],
    ) -> impl Iterator<Item = Pair> + 'r {
        let grouped = groups
            .iter()
            .find(|group| !group.is_rest)
            .map(|group| &group.servers);
        let is_grouped = move |server: &usize| grouped.is_some_and(|found| found.contains(server));
        let all: Vec<usize> = self.owners.keys().copied().collect();
        let others: Vec<usize> = all.iter().copied().filter(|at| !is_grouped(at)).collect();
        self.connections.keys().flat_map(move |connection| {
            let owners = if is_grouped(connection) {
                others.clone()
            } else {
                all.clone()
            };
            let connection = *connection;
            owners
                .into_iter()
                .filter_map(move |owner| self.pair(site, connection, owner))
        })
    }

    /// Every connection's server with every host's, which may be one.
    pub(crate) fn sides(&self) -> impl Iterator<Item = (usize, usize)> {
        let owners = || self.owners.keys().copied();
        self.connections
            .keys()
            .flat_map(move |connection| owners().map(|owner| (*connection, owner)))
    }

    fn pairs<'r>(
        &'r self,
        site: &'r Site<'_>,
        connections: &'r BTreeSet<usize>,
        owners: &'r BTreeSet<usize>,
    ) -> impl Iterator<Item = Pair> + 'r {
        connections.iter().flat_map(move |connection| {
            owners
                .iter()
                .filter_map(move |owner| self.pair(site, *connection, *owner))
        })
    }

    /// The first host of a server that is not found on a connection to another.
    pub(crate) fn pair(&self, site: &Site<'_>, server: usize, owner: usize) -> Option<Pair> {
        let place = *self.connections.get(&server)?;
        let known = self.known.get(&(place, owner)).copied().unwrap_or_default();
        if server == owner || known == self.hosts_of(owner) {
            return None;
        }
        let chain = site.chain(place)?;
        let is_lost = |at: &&usize| {
            site.candidate(**at).and_then(|host| defect(chain, host)) == Some(Defect::NotFound)
        };
        let host = *self.owners.get(&owner)?.iter().find(is_lost)?;
        Some(Pair {
            connection: place,
            owner,
            host,
            defect: Defect::NotFound,
        })
    }
}

/// How a host that is served on a connection of its own fares on another.
fn defect(chain: &FilterChain, host: &Candidate<'_>) -> Option<Defect> {
    let answer = chain.answer(host.name.as_bytes());
    if answer.outcome == Outcome::NotFound {
        return Some(Defect::NotFound);
    }
    let fresh = host
        .fresh
        .virtual_host
        .filter(|_| host.fresh.outcome == Outcome::Served);
    if !answer
        .virtual_host
        .is_some_and(|reused| has_routes_of(reused, fresh))
    {
        return Some(Defect::WrongRoute);
    }
    let demands = |chain: Option<&FilterChain>| {
        chain
            .and_then(|chain| chain.tls)
            .is_some_and(TlsMode::demands_client_certificate)
    };
    let is_bypassed = demands(host.fresh.chain) && !demands(Some(chain));
    is_bypassed.then_some(Defect::TlsPolicy)
}

fn has_routes_of(reused: &VirtualHost, fresh: Option<&VirtualHost>) -> bool {
    fresh.is_some_and(|fresh| fresh.routes == reused.routes)
}
