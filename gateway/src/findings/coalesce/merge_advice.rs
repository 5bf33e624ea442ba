//! Whether `packager merge` makes one server of servers that break each other.
//!
//! `check` recommends a merge only after the merge was planned and proved, so that both commands give
//! the same answer.

mod affected;

use std::cell::OnceCell;
use std::collections::BTreeSet;

use crate::coalescing::BrokenPair;
use crate::findings::{Input, Remedy};
use crate::merge::{self, Blocker, Outlook, Reason, Refusal, State, Strategy};
use crate::{Listener, Resources, ServerId, Workload};
use affected::ResourceIndex;

/// What `packager merge` does with the servers of a component.
pub(super) enum MergeAdvice {
    /// It plans the merge of some or all of them.
    Merged(MergedGroups),
    /// It refuses the servers.
    Refused(Refusal),
    /// The plan was not made, because it would take too long or the input has no manifests.
    Unproved,
}

/// The groups of a component that become one server each.
pub(super) struct MergedGroups {
    groups: Vec<BTreeSet<ServerId>>,
    /// What keeps the other servers of the component apart.
    blockers: Vec<Blocker>,
    /// Whether the plans need `--assume-same-certificate`.
    assume_same_certificate: bool,
    /// All servers of the component.
    servers: Vec<ServerId>,
}

/// What `packager merge` does with the servers of a cause.
#[derive(Clone, Copy)]
pub(super) enum CauseAdvice<'a> {
    /// It makes one server of some or all of them.
    Merge {
        assume_same_certificate: bool,
        merged: &'a BTreeSet<ServerId>,
        /// The servers that break each other.
        of: &'a [ServerId],
    },
    /// The plan was not made.
    Unproved,
    /// It keeps the servers apart.
    Refused {
        reason: &'a str,
        /// How the servers become one without a plan.
        edit: Option<&'a Remedy>,
    },
}

impl MergeAdvice {
    /// The advice for the servers of some pairs.
    pub(super) fn for_pairs(&self, pairs: &[BrokenPair<'_>]) -> CauseAdvice<'_> {
        match self {
            Self::Merged(groups) => groups.advice(pairs),
            Self::Refused(refusal) => refused(refusal.reason, &refusal.message, &refusal.remedies),
            Self::Unproved => CauseAdvice::Unproved,
        }
    }
}

impl MergedGroups {
    fn advice(&self, pairs: &[BrokenPair<'_>]) -> CauseAdvice<'_> {
        // A merge removes a pair if both servers become one.
        let group = self
            .groups
            .iter()
            .filter(|group| {
                pairs.iter().any(|pair| {
                    pair.server_ids()
                        .iter()
                        .all(|server| group.contains(server))
                })
            })
            .max_by_key(|group| group.len());
        if let Some(group) = group {
            return CauseAdvice::Merge {
                assume_same_certificate: self.assume_same_certificate,
                merged: group,
                of: &self.servers,
            };
        }
        // The blocker that takes part in most of the pairs.
        let blocker = self.blockers.iter().rev().max_by_key(|blocker| {
            pairs
                .iter()
                .filter(|pair| {
                    pair.server_ids()
                        .iter()
                        .any(|server| blocker.servers.contains(server))
                })
                .count()
        });
        match blocker {
            Some(blocker) => refused(blocker.reason, &blocker.message, &blocker.remedies),
            None => CauseAdvice::Unproved,
        }
    }
}

fn refused<'a>(reason: Reason, message: &'a str, remedies: &'a [Remedy]) -> CauseAdvice<'a> {
    // Only for these kinds of resources, users can do what a plan would do.
    let edit = match reason {
        Reason::GatewayApi | Reason::Generated => {
            remedies.first().filter(|remedy| remedy.command.is_none())
        }
        Reason::Dropped
        | Reason::Rejected
        | Reason::TooMany
        | Reason::Deletion
        | Reason::Age
        | Reason::Pods
        | Reason::Port
        | Reason::Bind
        | Reason::NotHttps
        | Reason::TlsSettings
        | Reason::ClientCertificate
        | Reason::CertificateUnknown
        | Reason::Certificate
        | Reason::EnvoyFilter
        | Reason::RoutesMix
        | Reason::RoutesStart
        | Reason::Answer
        | Reason::NotSelected => None,
    };
    CauseAdvice::Refused {
        reason: message,
        edit,
    }
}

impl CauseAdvice<'_> {
    /// The order of the advice: what helps most is first.
    pub(super) fn rank(self) -> usize {
        match self {
            Self::Merge {
                assume_same_certificate: false,
                ..
            } => 0,
            Self::Merge {
                assume_same_certificate: true,
                ..
            } => 1,
            Self::Unproved => 2,
            Self::Refused { .. } => 3,
        }
    }
}

/// All servers that break each other, directly or through others.
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
        if let Some(refusal) = merge::obvious_obstacle(
            self.input.resources,
            self.input.model,
            (workload, listener),
            servers,
        ) {
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
        let mut outlook = self.outlook(component, &start, Strategy::Short, false);
        // The operator may know that the certificate covers all hosts, and use the flag.
        if outlook.as_ref().is_some_and(|outlook| {
            outlook.plans.is_empty()
                && reasons(outlook).any(|reason| reason == Reason::CertificateUnknown)
        }) {
            may_assume_certificates = true;
            outlook = self.outlook(component, &start, Strategy::Short, true);
        }
        // The seamless plan may hold where the short one does not, and takes longer to prove.
        if outlook
            .as_ref()
            .is_some_and(|outlook| reasons(outlook).any(merge::depends_on_plan))
        {
            if !self.has_budget(component, start.resources()) {
                return MergeAdvice::Unproved;
            }
            let strategy = Strategy::Seamless;
            outlook = self.outlook(component, &start, strategy, may_assume_certificates);
        }
        let Some(outlook) = outlook else {
            return MergeAdvice::Unproved;
        };
        advice(outlook, servers, may_assume_certificates)
    }

    /// What `packager merge` makes of a component.
    fn outlook(
        &self,
        component: Component<'_>,
        start: &State,
        strategy: Strategy,
        may_assume_certificates: bool,
    ) -> Option<Outlook> {
        let input = merge::Input {
            start,
            certificates: self.input.certificates,
            strategy,
            may_assume_certificates,
            left_out: &[],
        };
        merge::merge_of_servers(
            &input,
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

/// The reasons for which servers are not in a plan.
fn reasons(outlook: &Outlook) -> impl Iterator<Item = Reason> {
    outlook
        .refusals
        .iter()
        .map(|refusal| refusal.reason)
        .chain(outlook.blockers.iter().map(|blocker| blocker.reason))
}

fn advice(outlook: Outlook, servers: &[ServerId], assume_same_certificate: bool) -> MergeAdvice {
    if outlook.plans.is_empty() {
        return match outlook.refusals.into_iter().next() {
            Some(refusal) => MergeAdvice::Refused(refusal),
            None => MergeAdvice::Unproved,
        };
    }
    let groups = outlook
        .plans
        .into_iter()
        .map(|plan| {
            std::iter::once(plan.target)
                .chain(plan.absorbed)
                .collect::<BTreeSet<_>>()
        })
        .collect();
    MergeAdvice::Merged(MergedGroups {
        groups,
        blockers: outlook.blockers,
        assume_same_certificate,
        servers: servers.to_vec(),
    })
}
