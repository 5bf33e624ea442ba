//! Plans that the proof rejects.

use std::collections::BTreeSet;

use crate::ServerId;
use crate::merge::direct_answer::DirectAnswer;
use crate::merge::proof::Broken;
use crate::merge::refusal::{FILTER_HINT, Obstacle, Reason};
use crate::resources::ResourceName;

/// A host whose answer would change, with the cause as far as the routes show it.
pub(in crate::merge) fn changed_answer(broken: &Broken) -> Obstacle {
    let Broken {
        host,
        before,
        after,
        ..
    } = broken;
    let (resources_before, resources_after) = (route_resources(before), route_resources(after));

    // A VirtualService applies to all hosts that it and a server of its Gateways have in common. Once
    // it is bound to the target, that can be more than before.
    if let Some(new) = resources_after.difference(&resources_before).next() {
        return Obstacle::with_filter_hint(
            Reason::RoutesMix,
            format!(
                "{new} would also apply to {host}, because its hosts are wider than the server that \
                 it is bound to"
            ),
            "limit it to the hosts that it serves first",
        );
    }

    // The same VirtualServices with other rules: some matches are limited to a Gateway or a port.
    if resources_before == resources_after && before.routes != after.routes {
        let service = resources_after
            .first()
            .map_or_else(String::new, ToString::to_string);
        return Obstacle::with_filter_hint(
            Reason::RoutesStart,
            format!(
                "other rules of {service} would apply to {host}, because its matches list gateways \
                 or ports"
            ),
            "give all its rules the same gateways first",
        );
    }

    Obstacle::new(
        Reason::Answer,
        format!(
            "{host} would be {} instead of {} at step {}",
            after.outcome.name(),
            before.outcome.name(),
            broken.step
        ),
        FILTER_HINT,
    )
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
        "include each resource only once",
    )
}
