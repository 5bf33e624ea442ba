//! Plans the merges of listeners, one after the other: each plan starts from the result of the previous
//! one.
//!
//! # Example
//!
//! Five servers break each other. `d` demands a client certificate, and `e` has routes for all hosts:
//!
//! 1. The largest part of the group is planned: `d` is taken out because its TLS settings differ, then
//!    `e` because its routes would apply to the hosts of the others. The plan merges `a`, `b` and `c`.
//! 2. The servers that were taken out may break each other too. If several of them can be merged, they
//!    get a plan of their own. Here `d` and `e` differ, so both stay as they are.
//! 3. The obstacles of `d` and `e` become blockers of the result.
//!
//! If no two servers of the group can be merged, its first obstacle becomes a refusal instead.

use std::collections::{BTreeMap, BTreeSet};

use super::listener_id::ListenerId;
use super::planner::{self, NoPlan, PartialPlan, Start};
use super::refusal::{Blocker, Obstacle, Reason, Refusal, Site};
use super::state::State;
use super::{Input, Outlook, Plan};
use crate::ServerId;
use crate::findings;
use crate::resources::ResourceName;
use crate::server::Entry;

/// The plans so far, and the state after them.
pub(super) struct Merger<'i> {
    input: &'i Input<'i>,
    pub(super) state: State,
    pub(super) outlook: Outlook,
    /// The servers that are not merged with others, with the indices of the start.
    set_aside: BTreeSet<ServerId>,
    /// The targets of the plans, with the indices of the start.
    targets: BTreeSet<ServerId>,
    /// The indices of the start of the servers that the plans delete.
    deleted: BTreeMap<ResourceName, BTreeSet<usize>>,
}

/// Servers of a listener, with the indices of the start.
type Candidates = BTreeSet<ServerId>;

impl<'i> Merger<'i> {
    pub(super) fn new(input: &'i Input<'i>) -> Self {
        Self {
            input,
            state: input.start.clone(),
            outlook: Outlook::default(),
            set_aside: input.left_out.iter().cloned().collect(),
            targets: BTreeSet::new(),
            deleted: BTreeMap::new(),
        }
    }

    /// Plans the merges of a listener.
    pub(super) fn merge_listener(&mut self, id: &ListenerId) {
        let model = self.state.model();
        let Some((_, listener)) = id.find(&model) else {
            return;
        };
        let candidates = listener
            .chains
            .iter()
            .map(|chain| self.at_start(&chain.server.id))
            .filter(|server| !self.set_aside.contains(server))
            .collect();
        let refusals = self.merge_candidates(id, candidates);
        self.outlook.refusals.extend(refusals);
    }

    /// Plans the merges of some servers of a listener, and returns the groups without a plan.
    pub(super) fn merge_candidates(
        &mut self,
        id: &ListenerId,
        mut candidates: Candidates,
    ) -> Vec<Refusal> {
        loop {
            let attempts = self.attempts(id, &candidates);
            let Some(planned) = attempts.planned else {
                // Refusals count only once no plan is left: a plan may remove an obstacle of another
                // group.
                if self.merge_rests(id, &attempts.failed, &mut candidates) {
                    continue;
                }
                return self.refusals(attempts.failed);
            };
            self.add_blockers(planned.blockers);
            self.apply(planned.plan);
            // The servers that were taken out may still have a plan of their own.
            candidates.retain(|server| !planned.taken_out.contains(server));
            self.merge_candidates(id, planned.taken_out);
        }
    }

    /// Plans the first group of candidates that has a plan.
    fn attempts(&self, id: &ListenerId, candidates: &Candidates) -> Attempts {
        let mut attempts = Attempts::default();
        let model = self.state.model();
        let Some((workload, listener)) = id.find(&model) else {
            return attempts;
        };
        let start = Start {
            state: &self.state,
            model: &model,
            workload,
            listener,
        };
        let site = Site {
            workload,
            model: &model,
            resources: self.state.resources(),
        };
        let groups = findings::components(
            self.state.resources(),
            self.input.certificates,
            (workload, listener),
            &|server| !candidates.contains(&self.at_start(server)),
        );
        for servers in groups {
            match planner::plan_largest_part(self.input, start, &servers) {
                Ok(PartialPlan { plan, obstacles }) => {
                    attempts.planned = Some(Planned {
                        taken_out: self
                            .all_at_start(obstacles.iter().flat_map(|obstacle| &obstacle.blocking)),
                        blockers: self.blockers(&obstacles, site, id),
                        plan,
                    });
                    return attempts;
                }
                Err(failure) => {
                    attempts
                        .failed
                        .extend(self.failed_group(&servers, failure, site, id));
                }
            }
        }
        attempts
    }

    fn failed_group(
        &self,
        servers: &[ServerId],
        failure: NoPlan,
        site: Site<'_>,
        id: &ListenerId,
    ) -> Option<FailedGroup> {
        let NoPlan {
            mut obstacles,
            left,
        } = failure;
        // The first obstacle is the one with the clearest message.
        let refusal = obstacles.first()?.refuse(
            site,
            id.listener_name(),
            &self.all_at_start(servers).into_iter().collect::<Vec<_>>(),
        );
        // The last one keeps all servers apart that are left, whatever it names.
        if let Some(last) = obstacles.last_mut() {
            last.blocking = left.iter().cloned().collect();
        }
        let rest = servers.iter().filter(|server| !left.contains(server));
        Some(FailedGroup {
            refusal,
            rest: self.all_at_start(rest),
            left: self.all_at_start(&left),
            blockers: self.blockers(&obstacles, site, id),
        })
    }

    /// Plans the servers that were taken out of groups without a plan. Returns whether there is a plan
    /// for some of them; the others of that group are blockers then.
    fn merge_rests(
        &mut self,
        id: &ListenerId,
        failed: &[FailedGroup],
        candidates: &mut Candidates,
    ) -> bool {
        for group in failed {
            let plans_before = self.outlook.plans.len();
            if group.rest.len() > 1 {
                self.merge_candidates(id, group.rest.clone());
            }
            if self.outlook.plans.len() > plans_before {
                self.add_blockers(group.blockers.clone());
                candidates
                    .retain(|server| !group.rest.contains(server) && !group.left.contains(server));
                return true;
            }
        }
        false
    }

    /// The refusals of groups without a plan. A group with the target of an earlier plan, on another
    /// listener, is a group whose other servers are set aside.
    fn refusals(&mut self, failed: Vec<FailedGroup>) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        for group in failed {
            if group
                .refusal
                .servers
                .iter()
                .any(|server| self.targets.contains(server))
            {
                let mut blockers = group.blockers;
                for blocker in &mut blockers {
                    blocker
                        .servers
                        .retain(|server| !self.targets.contains(server));
                }
                self.add_blockers(blockers);
            } else {
                refusals.push(group.refusal);
            }
        }
        refusals
    }

    fn blockers(&self, obstacles: &[Obstacle], site: Site<'_>, id: &ListenerId) -> Vec<Blocker> {
        obstacles
            .iter()
            .map(|obstacle| {
                let servers = self.all_at_start(&obstacle.blocking);
                obstacle.block(site, id, servers.into_iter().collect())
            })
            .collect()
    }

    /// Adds blockers, except for servers that have one already.
    fn add_blockers(&mut self, blockers: Vec<Blocker>) {
        for blocker in blockers {
            if blocker
                .servers
                .iter()
                .any(|server| !self.set_aside.contains(server))
            {
                self.set_aside.extend(blocker.servers.iter().cloned());
                self.outlook.blockers.push(blocker);
            }
        }
    }

    /// Makes the state after a plan the start of the next one.
    fn apply(&mut self, plan: Plan) {
        for write in plan.steps.iter().flat_map(|step| &step.writes) {
            // The proof applied the same writes to the same state, so none of them fails.
            let _ = self.state.apply(write);
        }
        self.targets.insert(self.at_start(&plan.target));
        for server in &plan.absorbed {
            let ServerId { resource, entry } = self.at_start(server);
            if let Entry::Server { index, .. } = entry {
                self.deleted.entry(resource).or_default().insert(index);
            }
        }
        self.outlook.plans.push(plan);
    }

    fn all_at_start<'s>(&self, servers: impl IntoIterator<Item = &'s ServerId>) -> Candidates {
        servers
            .into_iter()
            .map(|server| self.at_start(server))
            .collect()
    }

    /// A server of the present state as the input has it: its index was larger if a plan deleted servers
    /// before it.
    fn at_start(&self, server: &ServerId) -> ServerId {
        let mut server = server.clone();
        if let Entry::Server { index, .. } = &mut server.entry {
            for deleted in self.deleted.get(&server.resource).into_iter().flatten() {
                if *deleted <= *index {
                    *index += 1;
                }
            }
        }
        server
    }

    /// Counts the pairs that are still broken after the last plan.
    pub(super) fn count_remaining_pairs(&mut self) {
        if self.outlook.blockers.is_empty() {
            return;
        }
        let model = self.state.model();
        let mut blockers = std::mem::take(&mut self.outlook.blockers);
        for blocker in &mut blockers {
            let Some((workload, listener)) = blocker.listener.find(&model) else {
                continue;
            };
            let servers: BTreeSet<&ServerId> = listener
                .chains
                .iter()
                .map(|chain| &chain.server.id)
                .filter(|server| blocker.servers.contains(&self.at_start(server)))
                .collect();
            blocker.remaining = findings::remaining_pairs(
                self.state.resources(),
                self.input.certificates,
                (workload, listener),
                &servers,
            );
        }
        // Nothing is left to do where the servers do not break others any more.
        blockers.retain(|blocker| blocker.remaining.count > 0);
        self.outlook.blockers = blockers;
    }

    /// Adds a blocker for the servers that the operator leaves out although they break others.
    pub(super) fn add_left_out(&mut self, id: &ListenerId) {
        let model = self.input.start.model();
        let Some((workload, listener)) = id.find(&model) else {
            return;
        };
        let groups = findings::components(
            self.input.start.resources(),
            self.input.certificates,
            (workload, listener),
            &|_| false,
        );
        let servers: BTreeSet<&ServerId> = groups
            .iter()
            .flatten()
            .filter(|server| self.input.left_out.contains(server))
            .collect();
        if servers.is_empty() {
            return;
        }
        let obstacle = Obstacle::new(
            Reason::NotSelected,
            "--only or --exclude leaves these servers out",
        );
        let site = Site {
            workload,
            model: &model,
            resources: self.input.start.resources(),
        };
        let servers = servers.into_iter().cloned().collect();
        self.outlook
            .blockers
            .push(obstacle.block(site, id, servers));
    }
}

/// What [`Merger::attempts`] finds in a listener.
#[derive(Default)]
struct Attempts {
    planned: Option<Planned>,
    failed: Vec<FailedGroup>,
}

/// A plan for a part of a group. All servers have the indices of the start.
struct Planned {
    plan: Plan,
    taken_out: Candidates,
    blockers: Vec<Blocker>,
}

/// A group without a plan for its largest part. All servers have the indices of the start.
struct FailedGroup {
    refusal: Refusal,
    /// The servers that no obstacle took out.
    left: Candidates,
    /// The other servers of the group.
    rest: Candidates,
    /// The obstacles, for the case that `rest` has a plan.
    blockers: Vec<Blocker>,
}
