//! The plan for one group of servers.

use rule::HostPattern;

use super::client_certificates::{exposures, first_exposing_step, new_exposure};
use super::effects::effects;
use super::end_state::changed_at_end;
use super::group::{Group, Member};
use super::listener_id::ListenerId;
use super::obstacles;
use super::owners;
use super::proof::{ProofError, Strictness, prove};
use super::refusal::Obstacle;
use super::state::State;
use super::steps::{self, Step, StepsError};
use super::write::Inapplicable;
use super::{Input, Plan, Strategy};
use crate::findings;
use crate::listener::sample_hosts;
use crate::{Listener, Model, Outcome, ServerId, Workload};

/// The state that a plan starts from, with the listener of its servers.
#[derive(Clone, Copy)]
pub(super) struct Start<'s> {
    pub(super) state: &'s State,
    pub(super) model: &'s Model,
    pub(super) workload: &'s Workload,
    pub(super) listener: &'s Listener,
}

/// How many plans may fail in their proof before the servers are refused. A proof models the resources
/// after each write, and most obstacles are found without one.
const MAX_FAILED_PROOFS: usize = 4;

/// A plan for the largest part of a group, and what prevents a larger one.
pub(super) struct PartialPlan {
    pub(super) plan: Plan,
    pub(super) obstacles: Vec<Obstacle>,
}

/// Why no part of a group was found that has a plan.
pub(super) struct NoPlan {
    /// What takes servers out, in the order in which it was found. The last one is for the servers that
    /// are left.
    pub(super) obstacles: Vec<Obstacle>,
    /// The servers that were left.
    pub(super) left: Vec<ServerId>,
}

/// Plans the merge of the largest part of a group for which that is possible: as long as an obstacle
/// names servers, it continues without them.
pub(super) fn plan_largest_part(
    input: &Input<'_>,
    start: Start<'_>,
    servers: &[ServerId],
) -> Result<PartialPlan, NoPlan> {
    let mut left = servers.to_vec();
    let mut obstacles: Vec<Obstacle> = Vec::new();
    let mut failed_proofs = 0;
    loop {
        let failure = match plan(input, start, &left) {
            Ok(plan) => return Ok(PartialPlan { plan, obstacles }),
            Err(failure) => failure,
        };
        failed_proofs += usize::from(failure.is_of_proof);
        let blocking = failure.obstacle.blocking.clone();
        obstacles.push(failure.obstacle);
        // Servers that broke each other only through a removed one have no reason to become one.
        let rest = largest_component(input, start, |server| {
            left.contains(server) && !blocking.contains(server)
        });
        if blocking.is_empty() || rest.len() < 2 || failed_proofs == MAX_FAILED_PROOFS {
            return Err(NoPlan { obstacles, left });
        }
        left = rest;
    }
}

/// The largest set of servers that break each other, of those for which a condition holds.
fn largest_component(
    input: &Input<'_>,
    start: Start<'_>,
    is_candidate: impl Fn(&ServerId) -> bool,
) -> Vec<ServerId> {
    let components = findings::components(
        start.state.resources(),
        input.certificates,
        (start.workload, start.listener),
        &|server| !is_candidate(server),
    );
    // Of equal ones the first, as `max_by_key` returns the last.
    components
        .into_iter()
        .rev()
        .max_by_key(Vec::len)
        .unwrap_or_default()
}

/// Why some servers have no plan.
struct Failure {
    obstacle: Obstacle,
    /// Whether it took a proof to find the obstacle.
    is_of_proof: bool,
}

impl From<Obstacle> for Failure {
    fn from(obstacle: Obstacle) -> Self {
        Self {
            obstacle,
            is_of_proof: false,
        }
    }
}

/// Plans how servers of a listener become one, and proves it.
fn plan(input: &Input<'_>, start: Start<'_>, servers: &[ServerId]) -> Result<Plan, Failure> {
    let Start {
        state,
        model,
        workload,
        listener,
    } = start;
    // The obstacles with the clearest messages come first: a proof would find most of them too, but
    // it reports only the host that breaks.
    if let Some(obstacle) = obstacles::between_servers(listener, servers) {
        return Err(obstacle.into());
    }
    let group = Group::new(state, listener, servers)
        .ok_or_else(|| obstacles::contradictory_input(servers))?;
    if let Some(obstacle) = obstacles::within_group(&group, state, model) {
        return Err(obstacle.into());
    }
    let hosts = hosts_to_probe(&group);
    let presenter = obstacles::certificate_presenter(
        &group,
        &hosts,
        input.certificates,
        input.may_assume_certificates,
    )?;
    if let Some(obstacle) = wrong_end(input, start, &group, presenter)? {
        return Err(obstacle.into());
    }

    let proved = proved_steps(input, start, &group, presenter).map_err(|obstacle| Failure {
        obstacle,
        is_of_proof: true,
    })?;
    let effects = effects(
        &group,
        state,
        &hosts,
        presenter,
        input.certificates,
        (proved.strategy, &proved.steps),
    );
    Ok(Plan {
        listener: ListenerId::new(workload, listener),
        target: group.target.id.clone(),
        absorbed: group
            .absorbed
            .iter()
            .map(|member| member.id.clone())
            .collect(),
        hosts,
        strategy: proved.strategy,
        fallback: proved.fallback,
        effects,
        owners: owners::owners(state.resources(), &proved.steps),
        steps: proved.steps,
    })
}

/// An obstacle that shows when all steps are made. Both strategies have the same end.
fn wrong_end(
    input: &Input<'_>,
    start: Start<'_>,
    group: &Group<'_>,
    presenter: &Member,
) -> Result<Option<Obstacle>, Obstacle> {
    let steps =
        steps::short(group, start.state, presenter).map_err(|_| contradictory_group(group))?;
    let mut end = start.state.clone();
    for write in steps.iter().flat_map(|step| &step.writes) {
        end.apply(write)
            .map_err(|Inapplicable| contradictory_group(group))?;
    }
    let last_model = end.model();
    let models = (start.model, &last_model);
    let changed = changed_at_end(start.state, models, &steps, input.certificates);
    if !changed.is_empty() {
        return Ok(Some(obstacles::changed_answers(
            &changed,
            group,
            start.state,
        )));
    }
    let exposure = new_exposure(&exposures(start.model), &last_model);
    Ok(exposure.map(|exposure| exposure.obstacle(group, start.state)))
}

/// A host for each server name and each domain that the members serve. The target's hosts come first.
fn hosts_to_probe(group: &Group<'_>) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for member in group.members() {
        let patterns: Vec<HostPattern> = group
            .listener
            .chains
            .iter()
            .filter(|chain| chain.server.id == member.id)
            .flat_map(|chain| chain.server_names.iter().chain(chain.domains()))
            .cloned()
            .collect();
        for host in sample_hosts(&patterns) {
            // A pattern of a wildcard server may select another server, which has a longer name.
            if serves(member, &host, group.listener) && !hosts.contains(&host) {
                hosts.push(host);
            }
        }
    }
    hosts
}

fn serves(member: &Member, host: &str, listener: &Listener) -> bool {
    let answer = listener.answer(host.as_bytes(), host.as_bytes());
    answer.outcome == Outcome::Served
        && answer
            .chain
            .is_some_and(|chain| chain.server.id == member.id)
}

struct ProvedSteps {
    strategy: Strategy,
    fallback: Option<String>,
    steps: Vec<Step>,
}

/// The steps of the preferred strategy, or the short ones if no seamless steps are possible.
fn proved_steps(
    input: &Input<'_>,
    start: Start<'_>,
    group: &Group<'_>,
    presenter: &Member,
) -> Result<ProvedSteps, Obstacle> {
    let state = start.state;
    let fallback = match input.strategy {
        Strategy::Short => None,
        Strategy::Seamless => match seamless_steps(input, start, group, presenter) {
            Ok(steps) => {
                return Ok(ProvedSteps {
                    strategy: Strategy::Seamless,
                    fallback: None,
                    steps,
                });
            }
            Err(reason) => Some(reason),
        },
    };
    let steps = steps::short(group, state, presenter).map_err(|_| contradictory_group(group))?;
    // The short plan has a transient gap by design, so only the states after each write must hold.
    match prove(state, &steps, input.certificates, Strictness::Steady) {
        Ok(()) => Ok(ProvedSteps {
            strategy: Strategy::Short,
            fallback,
            steps,
        }),
        Err(ProofError::Broken(broken)) => {
            Err(obstacles::changed_answers(&[*broken], group, state))
        }
        Err(ProofError::Inapplicable { .. }) => Err(contradictory_group(group)),
    }
}

/// Proved seamless steps, or the reason for the short ones.
fn seamless_steps(
    input: &Input<'_>,
    start: Start<'_>,
    group: &Group<'_>,
    presenter: &Member,
) -> Result<Vec<Step>, String> {
    let steps = steps::seamless(group, start.state, presenter).map_err(|error| match error {
        StepsError::NoWildcard { host } => format!("no unused wildcard covers {host}"),
        StepsError::TooManyHandovers { count } => {
            format!("{count} servers would have to leave one after the other")
        }
        StepsError::Inapplicable => "the seamless plan does not fit the input".to_owned(),
    })?;
    match prove(
        start.state,
        &steps,
        input.certificates,
        Strictness::Transient,
    ) {
        Ok(()) => {}
        Err(ProofError::Broken(broken)) => {
            return Err(format!(
                "the answer for {} would change at step {} of the seamless plan",
                broken.host, broken.step
            ));
        }
        Err(ProofError::Inapplicable { step }) => {
            return Err(format!(
                "step {step} of the seamless plan does not fit the input"
            ));
        }
    }
    // The proof compares requests with a host on its own connection only.
    match first_exposing_step(start.state, start.model, &steps) {
        Ok(None) => Ok(steps),
        Ok(Some((step, exposure))) => Err(format!(
            "after step {step} of the seamless plan, {}",
            exposure.message()
        )),
        Err(Inapplicable) => Err("the seamless plan does not fit the input".to_owned()),
    }
}

fn contradictory_group(group: &Group<'_>) -> Obstacle {
    let servers: Vec<ServerId> = group.members().map(|member| member.id.clone()).collect();
    obstacles::contradictory_input(&servers)
}
