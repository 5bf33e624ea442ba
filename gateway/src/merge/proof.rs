//! The proof that the steps of a plan lose no request.
//!
//! After each write, every host that was served at the start must have the same answer on a connection
//! of its own. istiod sends filter chains and route tables separately, so for a moment Envoy has the
//! chains of one state with the route tables of another. The proof of a seamless plan covers these
//! combinations too.
//!
//! A model of all resources after each write takes a time that grows with the square of the plan. So a
//! write is first checked on a [`Snapshot`], for the hosts that it can change: [`Baseline::changed_hosts`]
//! finds them, and the property in `tests` compares the result with the models of all resources.

mod change;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
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
use change::{Change, Original};
use snapshot::{Snapshot, is_below, is_host};

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
    Proof::new(start, steps, certificates, strictness).run(Method::Changes)
}

/// How a proof finds the answers after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// From a [`Snapshot`], for the hosts that the write can change. From a model where a snapshot does not
    /// support the write, and before an answer is reported as changed.
    Changes,
    /// From a model of all resources, for all hosts. The tests compare it with the other method.
    #[cfg(test)]
    Models,
}

struct Proof<'p> {
    start: &'p State,
    steps: &'p [Step],
    strictness: Strictness,
    first_model: Rc<Model>,
    baseline: Baseline<'p>,
}

/// The state after some writes, with what is known of it.
struct Progress<'p> {
    state: State,
    /// How many writes were made.
    written: usize,
    /// The snapshot of the state, and of the state before the write that is being checked.
    snapshots: Option<Snapshots>,
    /// The model of the state, if it was computed.
    model: Option<Rc<Model>>,
    /// The hosts that the writes of the present step could change; `None` if that is not known.
    changed: Option<BTreeSet<(&'p ListenerId, &'p str)>>,
}

struct Snapshots {
    before: Snapshot,
    after: Snapshot,
}

impl<'p> Proof<'p> {
    fn new(
        start: &'p State,
        steps: &'p [Step],
        certificates: &'p Certificates,
        strictness: Strictness,
    ) -> Self {
        let first_model = Rc::new(start.model());
        Self {
            start,
            steps,
            strictness,
            baseline: Baseline::new(&first_model, steps, certificates),
            first_model,
        }
    }

    fn run(&'p self, method: Method) -> Result<(), ProofError> {
        let mut progress = Progress {
            state: self.start.clone(),
            written: 0,
            snapshots: None,
            model: None,
            changed: None,
        };
        progress.set_model(Rc::clone(&self.first_model), method);
        let mut last = StepNumber::default();
        for (step, number) in self.steps.iter().zip(StepNumber::all()) {
            self.check_step(step, number, method, &mut progress)?;
            last = number;
        }
        // The end is checked in full, whatever the writes can change. A wildcard that stays, or routes of
        // another server, would serve more than the input does.
        let end = progress.state.model();
        self.baseline.check_steady(&end, last)?;
        self.baseline.check_nothing_new(&end, last)
    }

    fn check_step(
        &'p self,
        step: &Step,
        number: StepNumber,
        method: Method,
        progress: &mut Progress<'p>,
    ) -> Result<(), ProofError> {
        let is_mixed = self.strictness == Strictness::Transient && step.writes.len() > 1;
        let first = progress.written;
        let snapshot_before = match &progress.snapshots {
            Some(snapshots) if is_mixed => Some(snapshots.after.clone()),
            Some(_) | None => None,
        };
        let model_before = progress.model.clone();
        progress.changed = Some(BTreeSet::new());
        for write in &step.writes {
            self.check_write(write, number, method, progress)?;
        }

        // istiod debounces changes, so it may send all writes of a step together.
        if !is_mixed {
            return Ok(());
        }
        if let (Some(before), Some(snapshots), Some(changed)) =
            (&snapshot_before, &progress.snapshots, &progress.changed)
            && self.baseline.keep_mixed(before, &snapshots.after, changed)
        {
            return Ok(());
        }
        let before = self.model_after(first, model_before);
        self.baseline
            .check_transient(&before, &progress.model(), number)
    }

    fn check_write(
        &'p self,
        write: &Write,
        number: StepNumber,
        method: Method,
        progress: &mut Progress<'p>,
    ) -> Result<(), ProofError> {
        let model_before = progress.model.take();
        let change = progress
            .apply(write)
            .map_err(|Inapplicable| ProofError::Inapplicable { step: number })?;
        if let Some(change) = &change
            && self.keeps_answers(change, progress)
        {
            return Ok(());
        }

        // A snapshot is never the reason for an error: the models of both states decide.
        let before = self.model_after(progress.written - 1, model_before);
        let after = Rc::new(progress.state.model());
        self.baseline.check_steady(&after, number)?;
        // The API server announces each write on its own, and istiod may send it at once.
        if self.strictness == Strictness::Transient {
            self.baseline.check_transient(&before, &after, number)?;
        }
        progress.changed = None;
        progress.set_model(after, method);
        Ok(())
    }

    /// Whether the snapshots show that all answers stay the same. For a host that the change is not about,
    /// the filter chain and its route table are those of the state before, which was checked.
    fn keeps_answers(&'p self, change: &Change, progress: &mut Progress<'p>) -> bool {
        let Some(Snapshots { before, after }) = &mut progress.snapshots else {
            return false;
        };
        let changed = self.baseline.changed_hosts(change, before, after);
        let is_kept = self.baseline.keep_steady(after, &changed)
            && (self.strictness == Strictness::Steady
                || self.baseline.keep_mixed(before, after, &changed));
        if let Some(changed_by_step) = &mut progress.changed {
            changed_by_step.extend(changed);
        }
        is_kept && before.apply(change).is_some()
    }

    /// The model after the first writes; `known` if it was computed before.
    fn model_after(&self, written: usize, known: Option<Rc<Model>>) -> Rc<Model> {
        known.unwrap_or_else(|| {
            let mut state = self.start.clone();
            for write in self
                .steps
                .iter()
                .flat_map(|step| &step.writes)
                .take(written)
            {
                // The same writes were applied before.
                let _ = state.apply(write);
            }
            Rc::new(state.model())
        })
    }
}

impl Progress<'_> {
    /// Applies a write, and returns its change if the snapshot after the write has it.
    fn apply(&mut self, write: &Write) -> Result<Option<Change>, Inapplicable> {
        let original = Original::new(&self.state, write);
        self.state.apply(write)?;
        self.written += 1;
        let Some(snapshots) = &mut self.snapshots else {
            return Ok(None);
        };
        let change = Change::new(&snapshots.after, &original, write, &self.state);
        Ok(change.filter(|change| snapshots.after.apply(change).is_some()))
    }

    fn model(&mut self) -> Rc<Model> {
        let state = &self.state;
        Rc::clone(self.model.get_or_insert_with(|| Rc::new(state.model())))
    }

    /// Sets the model of the state, and makes snapshots from it.
    fn set_model(&mut self, model: Rc<Model>, method: Method) {
        self.snapshots = match method {
            Method::Changes => Snapshot::new(&self.state, &model).map(|snapshot| Snapshots {
                before: snapshot.clone(),
                after: snapshot,
            }),
            #[cfg(test)]
            Method::Models => None,
        };
        self.model = Some(model);
    }
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

    /// The hosts of the baseline whose answers a change may affect.
    fn changed_hosts(
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
    fn keep_steady(&self, snapshot: &Snapshot, hosts: &BTreeSet<(&ListenerId, &str)>) -> bool {
        self.keep(snapshot, snapshot, hosts)
    }

    /// Whether some hosts keep their answers while Envoy has the chains of one state and the route tables of
    /// the other.
    fn keep_mixed(
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

fn tls_listeners(model: &Model) -> impl Iterator<Item = (ListenerId, &Listener)> {
    model.workloads.iter().flat_map(|workload| {
        workload
            .listeners
            .iter()
            .filter(|listener| listener.is_tls())
            .map(move |listener| (ListenerId::new(workload, listener), listener))
    })
}

/// The hosts that the steps write into servers. The start does not have all of them.
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
