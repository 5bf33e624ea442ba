//! How servers that break each other become one, without an outage on the way.
//!
//! [`merge`] takes the servers of each listener that break each other when clients reuse connections
//! ([`findings::components`]), and makes a [`Plan`] for each such group: the server of the oldest Gateway
//! grows and takes the hosts of the others. To make a new Gateway, bind the routes to it and delete
//! the old ones is an outage: the new one is the youngest, so istiod drops its server while an older
//! one has its hosts, and the routes are bound to nothing that listens.
//!
//! Every plan is proved on the model before it is told ([`prove`]), on what its own patches make of
//! the manifests: no host that is served is answered otherwise on a connection of its own. What cannot
//! be merged so is a [`Refusal`].

mod bindings;
mod group;
mod obstacles;
mod owners;
mod proof;
mod refusal;
mod state;
mod steps;
mod wildcards;
mod write;

use std::collections::BTreeSet;

use rule::HostPattern;

use crate::findings;
use crate::listener::sample_hosts;
use crate::{Certificates, DropReason, Listener, Model, Outcome, ServerId, Workload};
use group::{Group, Member};
pub use proof::{Broken, Flaw, Fresh, Strictness, prove};
use refusal::{GUARD, Obstacle};
pub use refusal::{Reason, Refusal};
pub use state::State;
pub use steps::Step;
use steps::{NoSteps, Steps};
pub use write::{Edit, Inapplicable, Operation, Write, without_status};

/// What is to be merged.
#[derive(Clone, Copy, Debug)]
pub struct Input<'i> {
    /// The resources, with their manifests.
    pub start: &'i State,
    /// What is in their Secrets.
    pub certificates: &'i Certificates,
    /// The plan to make.
    pub strategy: Strategy,
    /// Whether a certificate that is not in the input is taken to be good for all hosts.
    pub may_assume_certificates: bool,
}

/// How servers are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Without a failed request, by way of wildcards that no server has.
    Seamless,
    /// In few steps; new connections may get 404 for some milliseconds.
    Short,
}

/// What there is to do.
#[derive(Clone, Debug, Default)]
pub struct Outlook {
    /// A plan for each group of servers, to be carried out one after the other.
    pub plans: Vec<Plan>,
    /// The groups that stay as they are.
    pub refusals: Vec<Refusal>,
}

/// How a group of servers becomes one.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The pods, `namespace/name`.
    pub workload: String,
    /// The listener's name in Envoy.
    pub listener: String,
    /// The server that grows.
    pub target: ServerId,
    /// The servers that it takes the place of.
    pub absorbed: Vec<ServerId>,
    /// A host of each server name and route, to ask for; that of the growing server first.
    pub hosts: Vec<String>,
    /// How they are merged.
    pub strategy: Strategy,
    /// Why not as it was asked for.
    pub fallback: Option<String>,
    /// What to know first.
    pub warnings: Vec<String>,
    /// The steps.
    pub steps: Vec<Step>,
}

/// Plans the merges of all servers that break each other.
#[must_use]
pub fn merge(input: &Input<'_>) -> Outlook {
    let mut outlook = Outlook::default();
    let mut state = input.start.clone();
    let model = state.model();
    for workload in &model.workloads {
        let damaged = damaged(workload, &mut outlook);
        for listener in workload
            .listeners
            .iter()
            .filter(|listener| listener.is_tls())
        {
            if !damaged.contains(&listener.port) {
                let place = (workload.full_name(), listener.name());
                merge_at(input, &mut state, &place, &mut outlook);
            }
        }
    }
    outlook
}

/// Plans the merges at a listener one after the other: each changes what the next begins with.
fn merge_at(input: &Input<'_>, state: &mut State, place: &(String, String), outlook: &mut Outlook) {
    loop {
        let model = state.model();
        let mut workloads = model.workloads.iter();
        let workload = workloads.find(|workload| workload.full_name() == place.0);
        let listener = workload.and_then(|workload| {
            workload
                .listeners
                .iter()
                .find(|listener| listener.name() == place.1)
        });
        let (Some(workload), Some(listener)) = (workload, listener) else {
            return;
        };
        let mut refused = Vec::new();
        let resources = state.resources();
        let groups = findings::components(resources, input.certificates, workload, listener);
        let planned = groups.iter().find_map(|servers| {
            match plan(input, state, &model, workload, listener, servers) {
                Ok(plan) => Some(plan),
                Err(obstacle) => {
                    let servers = servers.iter().map(ToString::to_string).collect();
                    refused.push(obstacle.on(place.0.clone(), place.1.clone(), servers));
                    None
                }
            }
        });
        let Some(plan) = planned else {
            outlook.refusals.extend(refused);
            return;
        };
        let writes = plan.steps.iter().flat_map(|step| &step.writes);
        // It was carried out when it was proved.
        if writes
            .map(|write| state.apply(write))
            .any(|applied| applied.is_err())
        {
            return;
        }
        outlook.plans.push(plan);
    }
}

/// The ports where something is wrong already; what is there is told.
fn damaged(workload: &Workload, outlook: &mut Outlook) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    for dropped in workload
        .dropped
        .iter()
        .filter(|dropped| dropped.server.is_tls())
    {
        let winner = match &dropped.reason {
            DropReason::SameHost { winner, .. }
            | DropReason::PlainText { winner }
            | DropReason::SamePortName { winner } => winner,
        };
        let obstacle = Obstacle::new(
            Reason::Dropped,
            format!(
                "{} is dropped already, in favour of {winner}",
                dropped.server.id
            ),
            "mend that first: packager check says how",
        );
        let servers = vec![winner.to_string(), dropped.server.id.to_string()];
        let listener = format!("{}", dropped.port);
        outlook
            .refusals
            .push(obstacle.on(workload.full_name(), listener, servers));
        ports.insert(dropped.port);
    }
    for listener in workload
        .listeners
        .iter()
        .filter(|listener| listener.is_rejected())
    {
        let obstacle = Obstacle::new(
            Reason::Rejected,
            "Envoy refuses the listener already, since two servers have one host",
            "mend that first: packager check says how",
        );
        let chains = listener
            .duplicates
            .iter()
            .flat_map(|found| [found.first, found.second]);
        let servers = chains.filter_map(|at| listener.chains.get(at));
        let servers: BTreeSet<String> = servers.map(|chain| chain.server.id.to_string()).collect();
        let servers = servers.into_iter().collect();
        outlook
            .refusals
            .push(obstacle.on(workload.full_name(), listener.name(), servers));
        ports.insert(listener.port);
    }
    ports
}

fn plan(
    input: &Input<'_>,
    state: &State,
    model: &Model,
    workload: &Workload,
    listener: &Listener,
    servers: &[ServerId],
) -> Result<Plan, Obstacle> {
    if let Some(obstacle) = obstacles::of_servers(servers) {
        return Err(obstacle);
    }
    let group = Group::new(state, listener, servers);
    let group = group.ok_or_else(|| contradictory(servers))?;
    if let Some(obstacle) = obstacles::of_group(&group, state, model) {
        return Err(obstacle);
    }
    let hosts = hosts(&group);
    let presenter = obstacles::presenter(
        &group,
        &hosts,
        input.certificates,
        input.may_assume_certificates,
    )?;
    let (strategy, fallback, steps) = steps(input, state, &group, presenter)?;
    Ok(Plan {
        workload: workload.full_name(),
        listener: listener.name(),
        target: group.target.id.clone(),
        absorbed: group
            .absorbed
            .iter()
            .map(|member| member.id.clone())
            .collect(),
        hosts,
        strategy,
        fallback,
        warnings: owners::warnings(state.resources(), &steps),
        steps,
    })
}

/// A host of each server name and domain of the servers, those of the growing one first.
fn hosts(group: &Group<'_>) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for member in group.members() {
        let chains = || {
            group
                .listener
                .chains
                .iter()
                .filter(|chain| chain.server.id == member.id)
        };
        let patterns: Vec<HostPattern> = chains()
            .flat_map(|chain| chain.server_names.iter().chain(chain.domains()))
            .cloned()
            .collect();
        let is_own = |name: &String| {
            let answer = group.listener.answer(name.as_bytes(), name.as_bytes());
            let is_member = answer
                .chain
                .is_some_and(|chain| chain.server.id == member.id);
            is_member && answer.outcome == Outcome::Served && !hosts.contains(name)
        };
        let own: Vec<String> = sample_hosts(&patterns).into_iter().filter(is_own).collect();
        hosts.extend(own);
    }
    hosts
}

/// The steps that hold: those that were asked for, else short ones.
fn steps(
    input: &Input<'_>,
    state: &State,
    group: &Group<'_>,
    presenter: &Member,
) -> Result<(Strategy, Option<String>, Vec<Step>), Obstacle> {
    let proved = |steps: &[Step], strictness| {
        let writes = steps.iter().map(|step| step.writes.as_slice());
        prove(state, writes, input.certificates, strictness)
    };
    let mut fallback = None;
    if input.strategy == Strategy::Seamless {
        match Steps::new(group, state).seamless(presenter) {
            Ok(steps) => match proved(&steps, Strictness::Passing) {
                Ok(()) => return Ok((Strategy::Seamless, None, steps)),
                Err(flaw) => fallback = Some(because(&flaw)),
            },
            Err(NoSteps::NoWildcard(host)) => {
                fallback = Some(format!("no wildcard over {host} is free"));
            }
            Err(NoSteps::Inapplicable) => return Err(contradictory_group(group)),
        }
    }
    let steps = Steps::new(group, state).short(presenter);
    let steps = steps.map_err(|_| contradictory_group(group))?;
    match proved(&steps, Strictness::Settled) {
        Ok(()) => Ok((Strategy::Short, fallback, steps)),
        Err(flaw) => Err(obstacle(&flaw, group)),
    }
}

fn because(flaw: &Flaw) -> String {
    match flaw {
        Flaw::Inapplicable { step } => format!("step {step} of it does not fit the input"),
        Flaw::Broken(broken) => {
            format!(
                "{} would be answered otherwise at step {} of it",
                broken.host, broken.step
            )
        }
    }
}

fn contradictory(servers: &[ServerId]) -> Obstacle {
    let names: Vec<String> = servers.iter().map(ToString::to_string).collect();
    Obstacle::new(
        Reason::Answer,
        format!(
            "the input does not have {} as they were written",
            names.join(" and ")
        ),
        "give each resource once",
    )
}

fn contradictory_group(group: &Group<'_>) -> Obstacle {
    let servers: Vec<ServerId> = group.members().map(|member| member.id.clone()).collect();
    contradictory(&servers)
}

/// What a plan comes to that would change answers, by what changes.
fn obstacle(flaw: &Flaw, group: &Group<'_>) -> Obstacle {
    let Flaw::Broken(broken) = flaw else {
        return contradictory_group(group);
    };
    let Broken {
        host,
        before,
        after,
        ..
    } = &**broken;
    let resources = |fresh: &Fresh| -> BTreeSet<String> {
        fresh
            .routes
            .iter()
            .map(|source| source.resource.to_string())
            .collect()
    };
    let (had, has) = (resources(before), resources(after));
    if let Some(new) = has.difference(&had).next() {
        return Obstacle::new(
            Reason::RoutesMix,
            format!(
                "{new} would apply to {host} too, since its hosts are wider than the server that it \
                 is bound to"
            ),
            format!("give it just the hosts that it serves, or {GUARD}"),
        );
    }
    if had == has && before.routes != after.routes {
        let service = has.iter().next().map_or("", String::as_str);
        return Obstacle::new(
            Reason::RoutesStart,
            format!(
                "other rules of {service} would apply to {host}, by the gateways and ports in its \
                 matches"
            ),
            format!("give all its rules the same gateways first, or {GUARD}"),
        );
    }
    let (before, after) = (before.outcome.name(), after.outcome.name());
    Obstacle::new(
        Reason::Answer,
        format!(
            "{host} would be {after} in the place of {before} at step {}",
            broken.step
        ),
        GUARD,
    )
}
