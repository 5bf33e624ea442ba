//! Whether `packager merge` makes one server of servers that break each other.
//!
//! `check` recommends a merge only after the merge was planned and proved, so that both commands give
//! the same answer.

mod affected;

use std::cell::OnceCell;

use crate::findings::Input;
use crate::merge::{self, Reason, Refusal, State, Strategy};
use crate::{Listener, Resources, ServerId, Workload};
use affected::ResourceIndex;

/// What `packager merge` does with the servers of a component.
pub(super) enum MergeAdvice {
    /// It plans the merge.
    Merge,
    /// It plans the merge with `--assume-same-certificate`.
    MergeIfCertificateCovers,
    /// It refuses the servers.
    Refused(Refusal),
    /// The plan was not made, because it would take too long or the input has no manifests.
    Unproved,
}

impl MergeAdvice {
    /// The order of the advice: what helps most is first.
    pub(super) fn rank(&self) -> usize {
        match self {
            Self::Merge => 0,
            Self::MergeIfCertificateCovers => 1,
            Self::Unproved => 2,
            Self::Refused(_) => 3,
        }
    }
}

/// All servers that break each other, directly or through others. `packager merge` makes one server of
/// all of them, or refuses all.
#[derive(Clone, Copy)]
pub(super) struct Component<'c> {
    pub(super) workload: &'c Workload,
    pub(super) listener: &'c Listener,
    pub(super) servers: &'c [ServerId],
}

/// How many resources `check` may model for all of its proofs: about a second of work.
const BUDGET: usize = 150_000;

/// Plans the merges of an input, one component after the other.
pub(super) struct MergePlanner<'i> {
    input: &'i Input<'i>,
    /// Made for the first component that needs it.
    index: OnceCell<ResourceIndex<'i>>,
    budget: usize,
}

impl<'i> MergePlanner<'i> {
    pub(super) fn new(input: &'i Input<'i>) -> Self {
        Self {
            input,
            index: OnceCell::new(),
            budget: BUDGET,
        }
    }

    pub(super) fn advice(&mut self, component: Component<'_>) -> MergeAdvice {
        let Component {
            workload,
            listener,
            servers,
        } = component;
        // Many refusals need no plan, such as the one of a listener of the Gateway API.
        if let Some(refusal) = merge::obvious_obstacle(workload, listener, servers) {
            return MergeAdvice::Refused(refusal);
        }
        if !self.input.resources.manifests.are_kept() {
            return MergeAdvice::Unproved;
        }
        let resources = self
            .index
            .get_or_init(|| ResourceIndex::new(self.input))
            .affected(servers);
        if !self.has_budget(component, &resources) {
            return MergeAdvice::Unproved;
        }
        let start = State::new(resources);
        let mut may_assume_certificates = false;
        let mut refusal = self.refusal(component, &start, Strategy::Short, false);
        // The operator may know that the certificate covers all hosts, and use the flag.
        if reason(refusal.as_ref()) == Some(Reason::CertificateUnknown) {
            may_assume_certificates = true;
            refusal = self.refusal(component, &start, Strategy::Short, true);
        }
        // The seamless plan may hold where the short one does not, and takes longer to prove.
        if reason(refusal.as_ref()).is_some_and(merge::depends_on_plan) {
            if !self.has_budget(component, start.resources()) {
                return MergeAdvice::Unproved;
            }
            let strategy = Strategy::Seamless;
            refusal = self.refusal(component, &start, strategy, may_assume_certificates);
        }
        match refusal {
            Some(refusal) => MergeAdvice::Refused(refusal),
            None if may_assume_certificates => MergeAdvice::MergeIfCertificateCovers,
            None => MergeAdvice::Merge,
        }
    }

    /// Why `packager merge` refuses a component.
    fn refusal(
        &self,
        component: Component<'_>,
        start: &State,
        strategy: Strategy,
        may_assume_certificates: bool,
    ) -> Option<Refusal> {
        let input = merge::Input {
            start,
            certificates: self.input.certificates,
            strategy,
            may_assume_certificates,
        };
        merge::why_not_mergeable(
            &input,
            self.input.model,
            component.workload,
            component.listener,
            component.servers,
        )
    }

    /// Whether a proof on these resources fits into the budget, which it is taken from.
    fn has_budget(&mut self, component: Component<'_>, resources: &Resources) -> bool {
        // A short plan binds and unbinds the routes of each server and deletes it: three writes. The
        // proof models all resources after each.
        let servers = component.servers.len();
        let modelled = resources.gateways.len()
            + resources.virtual_services.len()
            + resources.pods.len()
            + resources.services.len();
        // The search for obstacles also compares each server with each filter chain of the listener. A
        // hundred comparisons take less time than the model of one resource.
        let compared = servers * component.listener.chains.len();
        let cost = 3 * servers * modelled + compared / 100;
        if cost > self.budget {
            return false;
        }
        self.budget -= cost;
        true
    }
}

fn reason(refusal: Option<&Refusal>) -> Option<Reason> {
    refusal.map(|refusal| refusal.reason)
}
