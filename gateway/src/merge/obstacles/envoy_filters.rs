//! `EnvoyFilter` resources that refer to a Gateway or to what istiod makes of it.

use std::collections::HashMap;

use serde_json::Value;

use super::certificate::chain;
use crate::ServerId;
use crate::findings::Remedy;
use crate::merge::group::{Group, Member};
use crate::merge::refusal::{Obstacle, Reason};
use crate::merge::state::State;
use crate::resources::Kind;

/// The fields of a config patch that select a Gateway, a route table or a server name.
const SELECTORS: [&str; 4] = [
    "/match/routeConfiguration/gateway",
    "/match/routeConfiguration/name",
    // The port name of a server, which is a part of the name of its route table (Istio
    // `pilot/pkg/networking/core/envoyfilter/rc_patch.go`, `routeConfigurationMatch`).
    "/match/routeConfiguration/portName",
    "/match/listener/filterChain/sni",
];

/// An `EnvoyFilter` that selects members. After the merge it would apply to other hosts, or to none.
pub(super) fn find(group: &Group<'_>, state: &State) -> Option<Obstacle> {
    let mut members: HashMap<String, Vec<&ServerId>> = HashMap::new();
    for member in group.members() {
        for name in names_of(member, group, state) {
            members.entry(name).or_default().push(&member.id);
        }
    }
    for (resource, manifest) in state.resources().manifests.iter() {
        if resource.kind != Kind::EnvoyFilter {
            continue;
        }
        // A filter may select several members, by different names.
        let names: Vec<&str> = selected_names(manifest)
            .filter(|name| members.contains_key(*name))
            .collect();
        if let Some(name) = names.first() {
            return Some(
                Obstacle::new(
                    Reason::EnvoyFilter,
                    format!(
                        "{resource} refers to {name}, and would apply to other hosts after the merge"
                    ),
                )
                .or(Remedy::new("rewrite it first"))
                .blocking(
                    names
                        .iter()
                        .filter_map(|name| members.get(*name))
                        .flatten()
                        .copied(),
                ),
            );
        }
    }
    None
}

/// The names by which an `EnvoyFilter` can select a member: the Gateway, the route table, the port name, and
/// server names.
fn names_of(member: &Member, group: &Group<'_>, state: &State) -> Vec<String> {
    let mut names = vec![member.full_gateway()];
    // istiod gives the filter chain the name of its route table.
    if let Some(chain) = chain(group, member) {
        names.push(chain.name.clone());
        names.extend(chain.server_names.iter().map(ToString::to_string));
    }
    names.extend(member.hosts(state));
    // With one port name for all members, a filter still applies to all their hosts after the merge.
    if group.split_by(|member| port_name(member, state)).is_some() {
        names.extend(port_name(member, state));
    }
    names
}

fn port_name(member: &Member, state: &State) -> Option<String> {
    member.server(state).map(|server| server.port.name.clone())
}

fn selected_names(manifest: &Value) -> impl Iterator<Item = &str> {
    manifest
        .pointer("/spec/configPatches")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .flat_map(|patch| {
            SELECTORS
                .iter()
                .filter_map(move |path| patch.pointer(path).and_then(Value::as_str))
        })
}
