//! The proof that the steps of a plan lose no request.
//!
//! After each write, every host that was served at the start must have the same answer on a connection
//! of its own. istiod sends filter chains and route tables separately, so for a moment Envoy has the
//! chains of one state with the route tables of another. The proof of a seamless plan covers these
//! combinations too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use rule::HostPattern;
use serde_json::Value;

use super::direct_answer::{DirectAnswer, RouteTables};
use super::group::split_namespace;
use super::listener_id::ListenerId;
use super::state::State;
use super::steps::{Step, StepNumber};
use super::write::{Edit, Inapplicable, Write};
use crate::listener::sample_hosts;
use crate::{Certificates, Listener, Model};

/// The states in which every host must keep its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// The states after each write, when Envoy has all of it.
    Steady,
    /// Also the states in which Envoy has a part of a write, or of a step.
    Transient,
}

/// Why steps are not a plan. [`prove`] returns it. `merge` falls back to the short plan, or makes it
/// a [`Refusal`](super::Refusal).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofError {
    /// The answer for a host changes.
    Broken(Box<Broken>),
    /// A write does not fit the state that the previous ones leave.
    Inapplicable {
        /// The step of the write.
        step: StepNumber,
    },
}

/// A host whose answer changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Where the host is requested.
    pub listener: ListenerId,
    /// The server name and authority of the request.
    pub host: String,
    /// The step after which the answer differs.
    pub step: StepNumber,
    /// The answer at the start.
    pub before: DirectAnswer,
    /// The answer after the step.
    pub after: DirectAnswer,
    /// Whether the answer differs only while Envoy has chains and route tables of different states.
    pub is_transient: bool,
}

/// Proves that steps keep the answers of all hosts, from a state on.
///
/// # Errors
/// The first host whose answer changes, or the first write that cannot be made.
pub fn prove(
    start: &State,
    steps: &[Step],
    certificates: &Certificates,
    strictness: Strictness,
) -> Result<(), ProofError> {
    let first_model = start.model();
    let baseline = Baseline::new(&first_model, steps, certificates);
    let mut state = start.clone();
    let mut before = Rc::new(first_model);
    let mut last = StepNumber::default();
    for (step, number) in steps.iter().zip(StepNumber::all()) {
        let before_step = Rc::clone(&before);
        for write in &step.writes {
            state
                .apply(write)
                .map_err(|Inapplicable| ProofError::Inapplicable { step: number })?;
            let after = state.model();
            baseline.check_steady(&after, number)?;
            // The API server announces each write on its own, and istiod may send it at once.
            if strictness == Strictness::Transient {
                baseline.check_transient(&before, &after, number)?;
            }
            before = Rc::new(after);
        }
        // istiod debounces changes, so it may send all writes of a step together.
        if strictness == Strictness::Transient && step.writes.len() > 1 {
            baseline.check_transient(&before_step, &before, number)?;
        }
        last = number;
    }
    // A wildcard that stays, or routes of another server, would serve more than the input does.
    baseline.check_nothing_new(&before, last)
}

/// The answers for all hosts at the start, by listener.
struct Baseline<'c> {
    answers: BTreeMap<ListenerId, BTreeMap<String, DirectAnswer>>,
    certificates: &'c Certificates,
}

/// The moment of a check, for the error.
#[derive(Clone, Copy)]
struct Moment {
    step: StepNumber,
    is_transient: bool,
}

impl<'c> Baseline<'c> {
    fn new(model: &Model, steps: &[Step], certificates: &'c Certificates) -> Self {
        let added = added_hosts(steps);
        let mut answers = BTreeMap::new();
        for (id, listener) in tls_listeners(model) {
            // A host for each server name and each domain, and for each wildcard that a step adds: all
            // other hosts have the answer of one of these.
            let mut patterns = added.clone();
            for chain in &listener.chains {
                patterns.extend_from_slice(&chain.server_names);
                patterns.extend(chain.domains().cloned());
            }
            let tables = RouteTables::new(listener);
            let mut answers_of_listener = BTreeMap::new();
            for host in sample_hosts(&patterns) {
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
    fn check_steady(&self, model: &Model, step: StepNumber) -> Result<(), ProofError> {
        let listeners = listeners_by_id(model);
        let moment = Moment {
            step,
            is_transient: false,
        };
        self.check(&listeners, &listeners, moment, DirectAnswer::is_kept_by)
    }

    /// Every served host keeps its answer while Envoy has the chains of one state and the route tables
    /// of the other. Either may arrive first.
    fn check_transient(
        &self,
        before: &Model,
        after: &Model,
        step: StepNumber,
    ) -> Result<(), ProofError> {
        let before = listeners_by_id(before);
        let after = listeners_by_id(after);
        let moment = Moment {
            step,
            is_transient: true,
        };
        self.check(&before, &after, moment, DirectAnswer::is_kept_by)?;
        self.check(&after, &before, moment, DirectAnswer::is_kept_by)
    }

    /// At the end, no host is served that was not served at the start.
    fn check_nothing_new(&self, model: &Model, step: StepNumber) -> Result<(), ProofError> {
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

type ListenersById<'m> = HashMap<ListenerId, &'m Listener>;

fn listeners_by_id(model: &Model) -> ListenersById<'_> {
    tls_listeners(model).collect()
}

pub(super) fn tls_listeners(model: &Model) -> impl Iterator<Item = (ListenerId, &Listener)> {
    model.workloads.iter().flat_map(|workload| {
        workload
            .listeners
            .iter()
            .filter(|listener| listener.is_tls())
            .map(move |listener| (ListenerId::new(workload, listener), listener))
    })
}

/// The hosts that the steps write into servers. The start does not have all of them.
pub(super) fn added_hosts(steps: &[Step]) -> Vec<HostPattern> {
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
