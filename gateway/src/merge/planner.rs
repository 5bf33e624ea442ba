//! The plan for one group of servers.

use rule::HostPattern;

use super::group::{Group, Member};
use super::listener_id::ListenerId;
use super::obstacles;
use super::owners;
use super::proof::{ProofError, Strictness, prove};
use super::refusal::Obstacle;
use super::state::State;
use super::steps::{self, Step, StepsError};
use super::{Input, Plan, Strategy};
use crate::listener::sample_hosts;
use crate::{Listener, Model, Outcome, ServerId, Workload};

/// Plans how servers of a listener become one, and proves it.
pub(super) fn plan(
    input: &Input<'_>,
    state: &State,
    model: &Model,
    (workload, listener): (&Workload, &Listener),
    servers: &[ServerId],
) -> Result<Plan, Obstacle> {
    // The obstacles with the clearest messages come first: a proof would find most of them too, but
    // it reports only the host that breaks.
    if let Some(obstacle) = obstacles::between_servers(servers) {
        return Err(obstacle);
    }
    let group = Group::new(state, listener, servers)
        .ok_or_else(|| obstacles::contradictory_input(servers))?;
    if let Some(obstacle) = obstacles::within_group(&group, state, model) {
        return Err(obstacle);
    }
    let hosts = hosts_to_probe(&group);
    let presenter = obstacles::certificate_presenter(
        &group,
        &hosts,
        input.certificates,
        input.may_assume_certificates,
    )?;

    let proved = proved_steps(input, state, &group, presenter)?;
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
        warnings: owners::warnings(state.resources(), &proved.steps),
        steps: proved.steps,
    })
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
    state: &State,
    group: &Group<'_>,
    presenter: &Member,
) -> Result<ProvedSteps, Obstacle> {
    let fallback = match input.strategy {
        Strategy::Short => None,
        Strategy::Seamless => match seamless_steps(input, state, group, presenter) {
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
        Err(ProofError::Broken(broken)) => Err(obstacles::changed_answer(&broken)),
        Err(ProofError::Inapplicable { .. }) => Err(contradictory_group(group)),
    }
}

/// Proved seamless steps, or the reason for the short ones.
fn seamless_steps(
    input: &Input<'_>,
    state: &State,
    group: &Group<'_>,
    presenter: &Member,
) -> Result<Vec<Step>, String> {
    let steps = steps::seamless(group, state, presenter).map_err(|error| match error {
        StepsError::NoWildcard { host } => format!("no unused wildcard covers {host}"),
        StepsError::Inapplicable => "the seamless plan does not fit the input".to_owned(),
    })?;
    match prove(state, &steps, input.certificates, Strictness::Transient) {
        Ok(()) => Ok(steps),
        Err(ProofError::Broken(broken)) => Err(format!(
            "the answer for {} would change at step {} of the seamless plan",
            broken.host, broken.step
        )),
        Err(ProofError::Inapplicable { step }) => Err(format!(
            "step {step} of the seamless plan does not fit the input"
        )),
    }
}

fn contradictory_group(group: &Group<'_>) -> Obstacle {
    let servers: Vec<ServerId> = group.members().map(|member| member.id.clone()).collect();
    obstacles::contradictory_input(&servers)
}
