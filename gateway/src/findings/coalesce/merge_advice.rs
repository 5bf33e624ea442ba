//! Whether `packager merge` makes one server of servers that break each other.
//!
//! `check` recommends a merge only after the merge was planned and proved, so that both commands give
//! one answer.

use crate::findings::Input;
use crate::merge::{self, Reason, Refusal, State, Strategy};
use crate::{Listener, ServerId, Workload};

/// What `packager merge` does with the servers of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MergeAdvice {
    /// It plans the merge.
    Merge,
    /// It plans the merge with `--assume-same-certificate`.
    MergeIfCertificateCovers,
    /// It refuses the servers.
    Refused(Refusal),
    /// The plan was not made, since it would take too long or the input has no manifests.
    Unproved,
}

/// How many resources `check` may model anew for its proofs. A proof models all resources after each
/// write, so the number of components that are proved is limited, and `check` stays near-linear.
const BUDGET: usize = 200_000;

/// Plans the merges of an input, one component after the other.
pub(super) struct MergePlanner<'i> {
    input: &'i Input<'i>,
    /// The resources, copied when the first component needs them.
    state: Option<State>,
    budget: usize,
}

impl<'i> MergePlanner<'i> {
    pub(super) fn new(input: &'i Input<'i>) -> Self {
        Self {
            input,
            state: None,
            budget: BUDGET,
        }
    }

    /// The servers are all those of a component: `packager merge` merges all of them or none.
    pub(super) fn advice(
        &mut self,
        workload: &Workload,
        listener: &Listener,
        servers: &[ServerId],
    ) -> MergeAdvice {
        // Most refusals need no plan, such as the one of a listener of the Gateway API.
        if let Some(refusal) = merge::obvious_obstacle(workload, listener, servers) {
            return MergeAdvice::Refused(refusal);
        }
        if !self.may_prove(servers.len()) {
            return MergeAdvice::Unproved;
        }
        match self.refusal(workload, listener, servers, false) {
            None => MergeAdvice::Merge,
            // The operator may know that the certificate covers all hosts, and say so in a flag.
            Some(refusal) if refusal.reason == Reason::CertificateUnknown => {
                match self.refusal(workload, listener, servers, true) {
                    None => MergeAdvice::MergeIfCertificateCovers,
                    Some(refusal) => MergeAdvice::Refused(refusal),
                }
            }
            Some(refusal) => MergeAdvice::Refused(refusal),
        }
    }

    /// Takes the cost of a proof from the budget, if there is enough left.
    fn may_prove(&mut self, servers: usize) -> bool {
        let resources = self.input.resources;
        // A short plan binds routes, moves hosts, deletes servers and unbinds routes: some three writes
        // per server, and the model of all resources after each.
        let modelled = resources.gateways.len() + resources.virtual_services.len();
        let cost = 3 * servers * modelled;
        if !resources.manifests.are_kept() || cost > self.budget {
            return false;
        }
        self.budget -= cost;
        true
    }

    fn refusal(
        &mut self,
        workload: &Workload,
        listener: &Listener,
        servers: &[ServerId],
        may_assume_certificates: bool,
    ) -> Option<Refusal> {
        let Input {
            resources,
            model,
            certificates,
            ..
        } = self.input;
        let start = self
            .state
            .get_or_insert_with(|| State::new((*resources).clone()));
        let input = merge::Input {
            start,
            certificates,
            // If a seamless plan does not hold, `packager merge` plans the short way.
            strategy: Strategy::Short,
            may_assume_certificates,
        };
        merge::why_not_mergeable(&input, model, workload, listener, servers)
    }
}
