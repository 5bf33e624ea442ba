//! The proof that the steps of a plan lose no request.
//!
//! After each write, every host that was served at the start must have the same answer on a connection
//! of its own. istiod sends filter chains and route tables separately, so for a moment Envoy has the
//! chains of one state with the route tables of another. The proof of a seamless plan covers these
//! combinations too.
//!
//! A running Envoy keeps a listener whose new version it rejects. A step of a seamless plan may use that between
//! two of its writes ([`KeptListeners`]), but no step may end with a rejected listener: a new gateway has none.
//!
//! A model of all resources after each write takes a time that grows with the square of the plan. So a
//! write is first checked on a [`Snapshot`], for the hosts that it can change: [`Baseline::changed_hosts`]
//! finds them, and the property in `tests` compares the result with the models of all resources.

mod baseline;
mod change;
mod keys;
mod listener_chains;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::rc::Rc;

use super::direct_answer::DirectAnswer;
use super::listener_id::ListenerId;
use super::state::State;
use super::steps::{Step, StepNumber};
use super::write::{Inapplicable, Write};
use crate::{Certificates, Model};
use baseline::{Baseline, Configured, KeptListeners, kept_listeners};
pub(super) use baseline::{compared_hosts, possible_hosts, tls_listeners};
use change::{Change, Original};
use snapshot::Snapshot;

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
    /// The listeners that Envoy rejects in the state.
    kept: KeptListeners,
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
            baseline: Baseline::new(start, &first_model, steps, certificates),
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
            kept: KeptListeners::new(),
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
        self.baseline.check_steady(&Configured::new(&end), last)?;
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
        for (index, write) in step.writes.iter().enumerate() {
            // Whether Envoy may reject a listener: the next write of the step must end that.
            let is_last = index + 1 == step.writes.len();
            self.check_write(write, (number, !is_last), method, progress)?;
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
        self.baseline.check_transient(
            &Configured::new(&before),
            &Configured::new(&progress.model()),
            number,
        )
    }

    /// `may_keep` is whether Envoy may reject a listener after the write.
    fn check_write(
        &'p self,
        write: &Write,
        (number, may_keep): (StepNumber, bool),
        method: Method,
        progress: &mut Progress<'p>,
    ) -> Result<(), ProofError> {
        let model_before = progress.model.take();
        let change = progress
            .apply(write)
            .map_err(|Inapplicable| ProofError::Inapplicable { step: number })?;
        // A snapshot does not have the listeners that Envoy keeps.
        if let Some(change) = &change
            && progress.kept.is_empty()
            && self.keeps_answers(change, progress)
        {
            return Ok(());
        }

        // A snapshot is never the reason for an error: the models of both states decide.
        let before = self.model_after(progress.written - 1, model_before);
        let after = Rc::new(progress.state.model());
        let kept_before = std::mem::take(&mut progress.kept);
        if may_keep {
            progress.kept = kept_listeners(&before, &kept_before, &after);
        }
        let configured = Configured::with_kept(&after, &progress.kept);
        self.baseline.check_steady(&configured, number)?;
        // The API server announces each write on its own, and istiod may send it at once.
        if self.strictness == Strictness::Transient {
            let configured_before = Configured::with_kept(&before, &kept_before);
            self.baseline
                .check_transient(&configured_before, &configured, number)?;
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
