//! What becomes of every host at every step.
//!
//! A plan is proved on the model: after each write, every host that was served is answered as before
//! on a connection of its own. istiod sends filter chains and route tables apart, and Envoy has new
//! chains with old tables, or the reverse, for a moment; a plan without an outage holds then too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use rule::{Host, HostPattern};

use super::state::State;
use super::write::{Edit, Inapplicable, Write};
use crate::listener::{ChainKind, RouteSource, sample_hosts};
use crate::resources::istio::TlsMode;
use crate::{Certificates, FilterChain, Listener, Model, Outcome, Workload};

/// What a client gets that asks for a host on a connection of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// What becomes of the request.
    pub outcome: Outcome,
    /// The routes that it meets.
    pub routes: Vec<RouteSource>,
    /// Whether it needs a certificate of its own.
    pub demands_certificate: bool,
    /// Whether the certificate that it is shown is good for the host; `None` where that is not known.
    pub is_certified: Option<bool>,
}

/// A host that is answered otherwise than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The pods, `namespace/name`.
    pub workload: String,
    /// The listener's name in Envoy.
    pub listener: String,
    /// The host.
    pub host: String,
    /// The number of the step, from 1.
    pub step: usize,
    /// What it was answered.
    pub before: Fresh,
    /// What it is answered.
    pub after: Fresh,
    /// Whether that is only while chains and tables are of two states.
    pub is_passing: bool,
}

/// Why a plan does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A host is answered otherwise.
    Broken(Box<Broken>),
    /// A write does not fit what the ones before it left.
    Inapplicable {
        /// The number of the step, from 1.
        step: usize,
    },
}

/// How much is asked of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Every state between two writes is as it should be.
    Settled,
    /// Every state on the way from one to the next is, too.
    Passing,
}

/// Proves steps, each a list of writes, from a state on.
///
/// # Errors
/// The first flaw.
pub fn prove<'w>(
    start: &State,
    steps: impl IntoIterator<Item = &'w [Write]>,
    certificates: &Certificates,
    strictness: Strictness,
) -> Result<(), Flaw> {
    let steps: Vec<&[Write]> = steps.into_iter().collect();
    let first = start.model();
    let questions = Questions::new(&first, &steps, certificates);
    let mut state = start.clone();
    let mut before = Rc::new(first);
    for (at, writes) in steps.iter().enumerate() {
        let step = at + 1;
        let before_step = Rc::clone(&before);
        for write in *writes {
            state
                .apply(write)
                .map_err(|Inapplicable| Flaw::Inapplicable { step })?;
            let after = state.model();
            questions.settled(&after, step)?;
            if strictness == Strictness::Passing {
                questions.passing(&before, &after, step)?;
            }
            before = Rc::new(after);
        }
        // istiod may have seen all of a step at once.
        if strictness == Strictness::Passing && writes.len() > 1 {
            questions.passing(&before_step, &before, step)?;
        }
    }
    questions.nothing_new(&before, steps.len())
}

/// The hosts of each listener with what they are answered at first.
struct Questions<'c> {
    listeners: BTreeMap<(String, String), BTreeMap<String, Fresh>>,
    certificates: &'c Certificates,
}

impl<'c> Questions<'c> {
    fn new(model: &Model, steps: &[&[Write]], certificates: &'c Certificates) -> Self {
        let added = added_hosts(steps);
        let mut listeners = BTreeMap::new();
        for (workload, listener) in tls_listeners(model) {
            let mut patterns = added.clone();
            for chain in &listener.chains {
                patterns.extend_from_slice(&chain.server_names);
                patterns.extend(chain.domains().cloned());
            }
            let tables = Tables::of(listener);
            let answer = |name: String| {
                let fresh = fresh(listener, &tables, &name, certificates);
                (name, fresh)
            };
            let answers = sample_hosts(&patterns).into_iter().map(answer).collect();
            listeners.insert((workload.full_name(), listener.name()), answers);
        }
        Self {
            listeners,
            certificates,
        }
    }

    /// Every host that was served, when chains and tables are of one state.
    fn settled(&self, model: &Model, step: usize) -> Result<(), Flaw> {
        let listeners = by_name(model);
        self.ask(&listeners, &listeners, (step, false), is_as_before)
    }

    /// The same while they are of two.
    fn passing(&self, before: &Model, after: &Model, step: usize) -> Result<(), Flaw> {
        let (before, after) = (by_name(before), by_name(after));
        self.ask(&before, &after, (step, true), is_as_before)?;
        self.ask(&after, &before, (step, true), is_as_before)
    }

    /// In the end nothing is served that was not.
    fn nothing_new(&self, model: &Model, step: usize) -> Result<(), Flaw> {
        let listeners = by_name(model);
        let is_no_more = |before: &Fresh, after: &Fresh| is_served(before) || !is_served(after);
        self.ask(&listeners, &listeners, (step, false), is_no_more)
    }

    /// Asks for every host, the chains of one state with the tables of another, until one is answered
    /// wrong. The number of the step, and whether this is only on the way, are what is told of it.
    fn ask(
        &self,
        chains: &ByName<'_>,
        tables: &ByName<'_>,
        (step, is_passing): (usize, bool),
        is_right: impl Fn(&Fresh, &Fresh) -> bool,
    ) -> Result<(), Flaw> {
        for (place, hosts) in &self.listeners {
            let listener = chains.get(place).copied();
            let other = tables.get(place).copied();
            let routes = other.map(Tables::of).unwrap_or_default();
            for (host, before) in hosts {
                let after = match listener {
                    Some(listener) => fresh(listener, &routes, host, self.certificates),
                    None => reset(),
                };
                if !is_right(before, &after) {
                    let (workload, listener) = place.clone();
                    let (host, before) = (host.clone(), before.clone());
                    let broken = Broken {
                        workload,
                        listener,
                        host,
                        step,
                        before,
                        after,
                        is_passing,
                    };
                    return Err(Flaw::Broken(Box::new(broken)));
                }
            }
        }
        Ok(())
    }
}

/// Listeners by workload and name.
type ByName<'m> = HashMap<(String, String), &'m Listener>;

fn by_name(model: &Model) -> ByName<'_> {
    let key = |workload: &Workload, listener: &Listener| (workload.full_name(), listener.name());
    tls_listeners(model)
        .map(|(workload, listener)| (key(workload, listener), listener))
        .collect()
}

fn tls_listeners(model: &Model) -> impl Iterator<Item = (&Workload, &Listener)> {
    model.workloads.iter().flat_map(|workload| {
        let listeners = workload
            .listeners
            .iter()
            .filter(|listener| listener.is_tls());
        listeners.map(move |listener| (workload, listener))
    })
}

/// The hosts that the writes put into servers.
fn added_hosts(steps: &[&[Write]]) -> Vec<HostPattern> {
    let mut hosts = BTreeSet::new();
    for write in steps.iter().flat_map(|writes| writes.iter()) {
        let Write::Patch { edits, .. } = write else {
            continue;
        };
        for edit in edits {
            let Edit::Replace { path, new, .. } = edit else {
                continue;
            };
            let list = new.as_array().filter(|_| path.ends_with("/hosts"));
            let texts = list.into_iter().flatten().filter_map(|host| host.as_str());
            hosts.extend(texts.map(|host| host.rsplit('/').next().unwrap_or(host).to_owned()));
        }
    }
    hosts
        .iter()
        .filter_map(|host| HostPattern::try_from(host.as_str()).ok())
        .collect()
}

/// The route tables of a listener, as the filter chains that have them, by name.
#[derive(Default)]
struct Tables<'m>(HashMap<&'m str, &'m FilterChain>);

impl<'m> Tables<'m> {
    fn of(listener: &'m Listener) -> Self {
        Self(
            listener
                .chains
                .iter()
                .map(|chain| (chain.name.as_str(), chain))
                .collect(),
        )
    }
}

/// What a host is answered by the chains of one state with the route tables of another. A table that
/// is not there has no routes (istiod empties what no listener of its own names).
fn fresh(
    listener: &Listener,
    tables: &Tables<'_>,
    host: &str,
    certificates: &Certificates,
) -> Fresh {
    if listener.is_rejected() {
        return reset();
    }
    let Some(chain) = listener.chain(host.as_bytes()) else {
        return reset();
    };
    let table = match (&chain.kind, tables.0.get(chain.name.as_str())) {
        (ChainKind::Https(_), Some(table)) => Some(*table),
        (ChainKind::Https(_), None) => None,
        _ => Some(chain),
    };
    let answer = table.map(|table| table.answer(host.as_bytes()));
    let virtual_host = answer.as_ref().and_then(|answer| answer.virtual_host);
    Fresh {
        outcome: answer.map_or(Outcome::NotFound, |answer| answer.outcome),
        routes: virtual_host
            .map(|host| host.routes.clone())
            .unwrap_or_default(),
        demands_certificate: chain.tls.is_some_and(TlsMode::demands_client_certificate),
        is_certified: certifies(chain, host, certificates),
    }
}

fn reset() -> Fresh {
    Fresh {
        outcome: Outcome::Reset,
        routes: Vec::new(),
        demands_certificate: false,
        is_certified: None,
    }
}

fn is_served(fresh: &Fresh) -> bool {
    matches!(
        fresh.outcome,
        Outcome::Served | Outcome::Passthrough | Outcome::Tcp
    )
}

/// Nothing that was served is lost: a certificate may become good for more, and what is not known is
/// not compared.
fn is_as_before(before: &Fresh, after: &Fresh) -> bool {
    let is_same = before.outcome == after.outcome
        && before.routes == after.routes
        && before.demands_certificate == after.demands_certificate
        && !(before.is_certified == Some(true) && after.is_certified == Some(false));
    is_same || !is_served(before)
}

/// Whether a certificate of a filter chain is good for a host; `None` where one is not known.
pub(super) fn certifies(
    chain: &FilterChain,
    host: &str,
    certificates: &Certificates,
) -> Option<bool> {
    let host = Host::from_authority(host.as_bytes());
    let mut is_certified = false;
    for credential in &chain.credentials {
        let known = certificates.known(credential)?;
        is_certified |= known.names.iter().any(|name| name.certifies(host));
    }
    Some(is_certified)
}
