//! Plans that the proof rejects.

use std::collections::{BTreeMap, BTreeSet};

use crate::ServerId;
use crate::findings::Remedy;
use crate::merge::bindings::bound_members;
use crate::merge::direct_answer::DirectAnswer;
use crate::merge::group::Group;
use crate::merge::proof::Broken;
use crate::merge::refusal::{Obstacle, Reason};
use crate::merge::state::State;
use crate::resources::ResourceName;

/// Why answers would change, as far as the routes show it: the cause that changes most hosts. The list
/// is not empty.
pub(in crate::merge) fn changed_answers(
    broken: &[Broken],
    group: &Group<'_>,
    state: &State,
) -> Obstacle {
    // A VirtualService applies to all hosts that it and a server of its Gateways have in common. Once
    // it is bound to the target, that can be more than before.
    let mut by_new_resource: BTreeMap<&ResourceName, Vec<&Broken>> = BTreeMap::new();
    for change in broken {
        // Rules after the ones that serve all requests have no effect.
        if change.before.has_equal_routes(&change.after) {
            continue;
        }
        let before = route_resources(&change.before);
        if let Some(new) = route_resources(&change.after).difference(&before).next() {
            by_new_resource.entry(*new).or_default().push(change);
        }
    }
    // Of equal ones the first by name, so that every run has the same result.
    if let Some((resource, changes)) = by_new_resource
        .into_iter()
        .rev()
        .max_by_key(|(_, changes)| changes.len())
    {
        return routes_mix(resource, &changes, group, state);
    }
    let Some(first) = broken.first() else {
        return contradictory_input(&[]);
    };
    let obstacle = other_rules(first).unwrap_or_else(|| other_outcome(first, group));
    obstacle.blocking(owners(&[first], group))
}

/// A VirtualService would also apply to hosts that it does not apply to now.
fn routes_mix(
    resource: &ResourceName,
    changes: &[&Broken],
    group: &Group<'_>,
    state: &State,
) -> Obstacle {
    let owners = owners(changes, group);
    let bound: BTreeSet<&ServerId> = state
        .virtual_service(resource)
        .map(|service| bound_members(service, group, state))
        .into_iter()
        .flatten()
        .collect();
    // The servers of the catch-all routes, or the servers whose hosts these would take, if they are
    // fewer.
    let blocking = if bound.is_empty() || (!owners.is_empty() && owners.len() < bound.len()) {
        owners
    } else {
        bound
    };
    let hosts = affected(changes, group);
    let obstacle = match changes.iter().find_map(|change| elsewhere(change, group)) {
        Some(listener) => Obstacle::new(
            Reason::RoutesMix,
            format!(
                "{resource} would also apply to {hosts} on listener {listener}, where a server of {} has \
                 such a host",
                group.target.gateway
            ),
        )
        .or(own_gateway_first()),
        None => Obstacle::new(
            Reason::RoutesMix,
            format!(
                "{resource} would then also apply to {hosts}"
            ),
        )
        .or(Remedy::new("limit it to the hosts that it serves first")),
    };
    obstacle.blocking(blocking)
}

/// The listener of a change, if it is not the one of the group.
fn elsewhere(change: &Broken, group: &Group<'_>) -> Option<String> {
    let name = change.listener.listener_name();
    (name != group.listener.name()).then_some(name)
}

fn own_gateway_first() -> Remedy {
    Remedy::new("move that server to a Gateway of its own first")
}

/// The hosts whose answers change, with the server of the first one if there are several.
fn affected(changes: &[&Broken], group: &Group<'_>) -> String {
    let hosts: BTreeSet<&str> = changes.iter().map(|change| &*change.host).collect();
    let example = changes.first().map_or("", |change| &change.host);
    match (
        hosts.len(),
        changes.first().and_then(|change| owner(change, group)),
    ) {
        (0 | 1, _) | (_, None) => example.to_owned(),
        (count, Some(owner)) => format!("{count} hosts, for example {example} of {owner}"),
    }
}

/// The same VirtualServices with other rules: some matches are limited to a Gateway or a port.
fn other_rules(change: &Broken) -> Option<Obstacle> {
    let Broken {
        host,
        before,
        after,
        ..
    } = change;
    let resources = route_resources(after);
    if route_resources(before) != resources || before.routes == after.routes {
        return None;
    }
    let service = resources
        .first()
        .map_or_else(String::new, ToString::to_string);
    Some(
        Obstacle::new(
            Reason::RoutesStart,
            format!(
                "other rules of {service} would apply to {host}, because its matches list gateways \
                 or ports"
            ),
        )
        .or(Remedy::new("give all its rules the same gateways first")),
    )
}

fn other_outcome(change: &Broken, group: &Group<'_>) -> Obstacle {
    let message = format!(
        "{} would be {} instead of {} at step {}",
        change.host,
        change.after.outcome.name(),
        change.before.outcome.name(),
        change.step
    );
    match elsewhere(change, group) {
        Some(listener) => Obstacle::new(
            Reason::Answer,
            format!(
                "{message}, on listener {listener}, where a server of {} has such a host",
                group.target.gateway
            ),
        )
        .or(own_gateway_first()),
        None => Obstacle::new(Reason::Answer, message),
    }
}

fn owners<'g>(changes: &[&Broken], group: &'g Group<'_>) -> BTreeSet<&'g ServerId> {
    changes
        .iter()
        .filter_map(|change| owner(change, group))
        .collect()
}

/// The member that clients reach with a host now.
fn owner<'g>(change: &Broken, group: &'g Group<'_>) -> Option<&'g ServerId> {
    let chain = group.listener.chain(change.host.as_bytes())?;
    group
        .members()
        .map(|member| &member.id)
        .find(|id| **id == chain.server.id)
}

fn route_resources(answer: &DirectAnswer) -> BTreeSet<&ResourceName> {
    answer
        .routes
        .iter()
        .map(|source| &*source.resource)
        .collect()
}

/// A write does not fit the manifests: the input has a resource twice, with different contents.
pub(in crate::merge) fn contradictory_input(servers: &[ServerId]) -> Obstacle {
    let names: Vec<String> = servers.iter().map(ToString::to_string).collect();
    Obstacle::new(
        Reason::Answer,
        format!(
            "the manifests of {} differ from the resources in the input",
            names.join(" and ")
        ),
    )
    .or(Remedy::new("include each resource only once"))
}
