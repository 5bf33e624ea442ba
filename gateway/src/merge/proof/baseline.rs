//! The answers at the start of a plan, which the states of the plan are compared with.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use rule::HostPattern;
use serde_json::Value;

use super::change::Change;
use super::keys::{is_below, is_host};
use super::snapshot::Snapshot;
use super::{Broken, ProofError};
use crate::listener::sample_hosts;
use crate::merge::direct_answer::{DirectAnswer, RouteTables};
use crate::merge::group::split_namespace;
use crate::merge::listener_id::ListenerId;
use crate::merge::state::State;
use crate::merge::steps::{Step, StepNumber};
use crate::merge::write::{Edit, Write};
use crate::resources::pattern;
use crate::{Certificates, Listener, Model};

/// The answers for all hosts at the start, by listener.
pub(super) struct Baseline<'c> {
    pub(super) answers: BTreeMap<ListenerId, BTreeMap<String, DirectAnswer>>,
    certificates: &'c Certificates,
}

/// The moment of a check, for the error.
#[derive(Clone, Copy)]
struct Moment {
    step: StepNumber,
    is_transient: bool,
}

impl<'c> Baseline<'c> {
    /// The answers in the state from which the steps start, which has this model.
    pub(super) fn new(
        start: &State,
        model: &Model,
        steps: &[Step],
        certificates: &'c Certificates,
    ) -> Self {
        let possible = possible_hosts(start, steps);
        let mut answers = BTreeMap::new();
        for (id, listener) in tls_listeners(model) {
            let tables = RouteTables::new(listener);
            let mut answers_of_listener = BTreeMap::new();
            for host in compared_hosts([listener], &possible) {
                let answer = DirectAnswer::new(listener, &tables, &host, certificates);
                answers_of_listener.insert(host, answer);
            }
            answers.insert(id, answers_of_listener);
        }
        Self {
            answers,
            certificates,
        }
    }

    /// Every served host keeps its answer when chains and route tables are of one state.
    pub(super) fn check_steady(
        &self,
        state: &Configured<'_>,
        step: StepNumber,
    ) -> Result<(), ProofError> {
        let moment = Moment {
            step,
            is_transient: false,
        };
        self.check(
            &state.chains,
            &state.tables,
            moment,
            DirectAnswer::is_kept_by,
        )
    }

    /// Every served host keeps its answer while Envoy has the chains of one state and the route tables
    /// of the other. Either may arrive first.
    pub(super) fn check_transient(
        &self,
        before: &Configured<'_>,
        after: &Configured<'_>,
        step: StepNumber,
    ) -> Result<(), ProofError> {
        let moment = Moment {
            step,
            is_transient: true,
        };
        let is_kept = DirectAnswer::is_kept_by;
        self.check(&before.chains, &after.tables, moment, is_kept)?;
        self.check(&after.chains, &before.tables, moment, is_kept)
    }

    /// The hosts of the baseline whose answers a change may affect.
    pub(super) fn changed_hosts(
        &self,
        change: &Change,
        before: &Snapshot,
        after: &Snapshot,
    ) -> BTreeSet<(&ListenerId, &str)> {
        let keys: HashSet<String> = change.keys().into_iter().collect();
        let chains = change.chains();
        // A server changes the connections that select its chain before or after, and its own routes,
        // which only these connections use. Routes change the answers for their own hosts.
        let is_changed = |listener: &ListenerId, host: &str| {
            chains.as_ref().is_none_or(|chains| {
                [before, after].iter().any(|snapshot| {
                    snapshot
                        .chain_name(listener, host)
                        .is_some_and(|name| chains.contains(&**name))
                })
            })
        };
        let mut changed = BTreeSet::new();
        for (listener, answers) in &self.answers {
            for key in &keys {
                let below: Vec<&String> = match answers.get_key_value(key) {
                    // A key that is a host covers no other one.
                    Some((host, _)) => vec![host],
                    None if is_host(key) => Vec::new(),
                    None => answers.keys().filter(|host| is_below(host, key)).collect(),
                };
                changed.extend(
                    below
                        .into_iter()
                        .filter(|host| is_changed(listener, host))
                        .map(|host| (listener, host.as_str())),
                );
            }
        }
        changed
    }

    /// Whether some hosts keep their answers in a state.
    pub(super) fn keep_steady(
        &self,
        snapshot: &Snapshot,
        hosts: &BTreeSet<(&ListenerId, &str)>,
    ) -> bool {
        self.keep(snapshot, snapshot, hosts)
    }

    /// Whether some hosts keep their answers while Envoy has the chains of one state and the route tables of
    /// the other.
    pub(super) fn keep_mixed(
        &self,
        before: &Snapshot,
        after: &Snapshot,
        hosts: &BTreeSet<(&ListenerId, &str)>,
    ) -> bool {
        self.keep(before, after, hosts) && self.keep(after, before, hosts)
    }

    fn keep(
        &self,
        chains: &Snapshot,
        tables: &Snapshot,
        hosts: &BTreeSet<(&ListenerId, &str)>,
    ) -> bool {
        hosts.iter().all(|(listener, host)| {
            let before = self
                .answers
                .get(listener)
                .and_then(|answers| answers.get(*host));
            let after = chains.answer(tables, listener, host, self.certificates);
            before.is_none_or(|before| before.is_kept_by(&after))
        })
    }

    /// At the end, no host is served that was not served at the start.
    pub(super) fn check_nothing_new(
        &self,
        model: &Model,
        step: StepNumber,
    ) -> Result<(), ProofError> {
        let listeners = listeners_by_id(model);
        let moment = Moment {
            step,
            is_transient: false,
        };
        self.check(&listeners, &listeners, moment, |before, after| {
            before.is_served() || !after.is_served()
        })
    }

    /// Compares the answers with the baseline, for the chains of one state with the route tables of
    /// the same or another state.
    fn check(
        &self,
        chains: &ListenersById<'_>,
        tables: &ListenersById<'_>,
        moment: Moment,
        is_accepted: impl Fn(&DirectAnswer, &DirectAnswer) -> bool,
    ) -> Result<(), ProofError> {
        for (id, answers) in &self.answers {
            let tables = match tables.get(id) {
                Some(listener) => RouteTables::new(listener),
                None => RouteTables::default(),
            };
            for (host, before) in answers {
                // Without its last server, Envoy closes the listener.
                let after = match chains.get(id) {
                    Some(listener) => DirectAnswer::new(listener, &tables, host, self.certificates),
                    None => DirectAnswer::reset(),
                };
                if !is_accepted(before, &after) {
                    return Err(ProofError::Broken(Box::new(Broken {
                        listener: id.clone(),
                        host: host.clone(),
                        step: moment.step,
                        before: before.clone(),
                        after,
                        is_transient: moment.is_transient,
                    })));
                }
            }
        }
        Ok(())
    }
}

/// What a gateway has in a state.
pub(super) struct Configured<'m> {
    chains: ListenersById<'m>,
    tables: ListenersById<'m>,
}

/// The listeners that Envoy rejects in a state, each with the last model in which Envoy accepts it.
pub(super) type KeptListeners = BTreeMap<ListenerId, Rc<Model>>;

impl<'m> Configured<'m> {
    pub(super) fn new(model: &'m Model) -> Self {
        let listeners = listeners_by_id(model);
        Self {
            chains: listeners.clone(),
            tables: listeners,
        }
    }

    /// The same with the listeners that a running Envoy keeps because it rejects the new ones. It accepts
    /// their route tables, which istiod sends separately.
    pub(super) fn with_kept(model: &'m Model, kept: &'m KeptListeners) -> Self {
        let mut configured = Self::new(model);
        for (id, model) in kept {
            if let Some((_, listener)) = id.find(model) {
                configured.chains.insert(id.clone(), listener);
            }
        }
        configured
    }
}

/// The listeners that Envoy rejects in a state and that it has from the state before.
pub(super) fn kept_listeners(
    before: &Rc<Model>,
    kept_before: &KeptListeners,
    after: &Model,
) -> KeptListeners {
    let before_by_id = listeners_by_id(before);
    let mut kept = KeptListeners::new();
    for (id, listener) in tls_listeners(after) {
        if !listener.is_rejected() {
            continue;
        }
        if let Some(model) = kept_before.get(&id) {
            kept.insert(id, Rc::clone(model));
        } else if before_by_id
            .get(&id)
            .is_some_and(|listener| !listener.is_rejected())
        {
            kept.insert(id, Rc::clone(before));
        }
    }
    kept
}

pub(super) type ListenersById<'m> = HashMap<ListenerId, &'m Listener>;

pub(super) fn listeners_by_id(model: &Model) -> ListenersById<'_> {
    tls_listeners(model).collect()
}

pub(in crate::merge) fn tls_listeners(
    model: &Model,
) -> impl Iterator<Item = (ListenerId, &Listener)> {
    model.workloads.iter().flat_map(|workload| {
        workload
            .listeners
            .iter()
            .filter(|listener| listener.is_tls())
            .map(move |listener| (ListenerId::new(workload, listener), listener))
    })
}

/// The hosts for which the answers of a listener are compared. `states` are the listener in one state or in
/// several. There is a host for each server name, each domain and each possible host. Every other host has
/// the same answer as one of these.
pub(in crate::merge) fn compared_hosts<'l>(
    states: impl IntoIterator<Item = &'l Listener>,
    possible: &[HostPattern],
) -> BTreeSet<String> {
    let mut patterns = possible.to_vec();
    for chain in states.into_iter().flat_map(|listener| &listener.chains) {
        patterns.extend_from_slice(&chain.server_names);
        patterns.extend(chain.domains().cloned());
    }
    sample_hosts(&patterns)
}

/// The hosts that filter chains may have after some steps: the hosts that the steps write into servers, and the
/// hosts of all VirtualServices. A VirtualService without effect at the start may have an effect later.
pub(in crate::merge) fn possible_hosts(start: &State, steps: &[Step]) -> Vec<HostPattern> {
    let mut hosts = added_hosts(steps);
    hosts.extend(
        start
            .resources()
            .virtual_services
            .iter()
            .flat_map(|service| &service.spec.hosts)
            .filter_map(|host| pattern(host.host())),
    );
    hosts
}

/// The hosts that the steps write into servers.
fn added_hosts(steps: &[Step]) -> Vec<HostPattern> {
    let mut hosts = BTreeSet::new();
    for write in steps.iter().flat_map(|step| &step.writes) {
        let edits = match write {
            Write::Patch { edits, .. } => edits,
            Write::Delete { .. } | Write::Create { .. } => continue,
        };
        for edit in edits {
            match edit {
                Edit::Replace { path, new, .. } if path.ends_with("/hosts") => {
                    hosts.extend(
                        new.as_array()
                            .into_iter()
                            .flatten()
                            .filter_map(Value::as_str)
                            .map(|host| split_namespace(host).1),
                    );
                }
                Edit::Replace { .. } | Edit::Remove { .. } | Edit::Insert { .. } => {}
            }
        }
    }
    hosts
        .into_iter()
        .filter_map(|host| HostPattern::try_from(host).ok())
        .collect()
}
