//! EnvoyFilters, which name Gateways and what istiod makes of them.

use serde_json::Value;

use super::certificate::chain;
use crate::merge::group::{Group, Member};
use crate::merge::refusal::{GUARD, Obstacle, Reason};
use crate::merge::state::State;
use crate::resources::{Kind, ResourceName};

/// What of an EnvoyFilter's conditions names a Gateway, a route table, or a server name.
const NAMES: [&str; 3] = [
    "/match/routeConfiguration/gateway",
    "/match/routeConfiguration/name",
    "/match/listener/filterChain/sni",
];

/// One that is about a member: it would be about more, or nothing, afterwards.
pub(super) fn find(group: &Group<'_>, state: &State) -> Option<Obstacle> {
    let ours: Vec<String> = group
        .members()
        .flat_map(|member| names(group, state, member))
        .collect();
    let filters = state.resources().manifests.iter();
    let mut filters = filters.filter(|(resource, _)| resource.kind == Kind::EnvoyFilter);
    let (resource, named) = filters.find_map(|(resource, manifest)| {
        let named = named(manifest)
            .into_iter()
            .find(|named| ours.contains(named))?;
        Some((resource, named))
    })?;
    Some(obstacle(resource, &named))
}

fn obstacle(resource: &ResourceName, named: &str) -> Obstacle {
    Obstacle::new(
        Reason::EnvoyFilter,
        format!("{resource} names {named}, and would apply to other hosts than now"),
        format!("rewrite it first, or {GUARD}"),
    )
}

fn names(group: &Group<'_>, state: &State, member: &Member) -> Vec<String> {
    let mut names = vec![member.full_gateway()];
    if let Some(chain) = chain(group, member) {
        names.push(chain.name.clone());
        names.extend(chain.server_names.iter().map(ToString::to_string));
    }
    names.extend(member.hosts(state));
    names
}

fn named(manifest: &Value) -> Vec<String> {
    let patches = manifest
        .pointer("/spec/configPatches")
        .and_then(Value::as_array);
    let patches = patches.map(Vec::as_slice).unwrap_or_default();
    let text = |patch: &Value, path| {
        patch
            .pointer(path)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    patches
        .iter()
        .flat_map(|patch| NAMES.iter().filter_map(move |path| text(patch, path)))
        .collect()
}
