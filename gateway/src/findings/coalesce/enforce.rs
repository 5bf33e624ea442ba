//! The change of an installed filter that does not answer the requests of a cause.

use rule::host::HostTable;
use rule::{Action, Host, HostPattern, Policy};
use serde_json::{Map, Value, json};

use super::remedies::{Situation, write_filter};
use crate::findings::installation::Installation;
use crate::findings::installed_filter::{InstalledFilter, installed_filters};
use crate::findings::{Protection, Remedy, kubectl};
use crate::istio::Reach;

/// The remedy; `None` if the filter answers the requests, or if there is none.
pub(super) fn enforce(situation: &Situation<'_, '_>) -> Option<Remedy> {
    let state = match situation.cause.treatment.filter {
        Protection::Reported => "only reports these requests",
        Protection::Off => "is off for these hosts",
        Protection::Enforced | Protection::None => return None,
    };
    let filters = installed_filters(situation.input.resources);
    let patched = filters
        .iter()
        .filter(|filter| filter.installation.reach(situation.workload) == Reach::Yes)
        .find_map(|filter| Some((filter, patch(filter, situation)?)));
    if let Some((filter, patch)) = patched {
        let name = filter.resource();
        let text = format!("the installed filter {state}: set its action in {name}");
        return Some(Remedy::with_command(
            text,
            kubectl::merge_patch(&name, &patch),
        ));
    }
    let text = format!(
        "the installed filter {state}: write it again with the action enforce, and apply it"
    );
    Some(write_filter(situation, text))
}

/// The merge patch that sets the action for the hosts of a cause, and keeps all other settings. `None` for a filter
/// that is not a module with a configuration, or whose action for the hosts is not the reason.
fn patch(filter: &InstalledFilter<'_>, situation: &Situation<'_, '_>) -> Option<Value> {
    let Policy::Active(config) = &filter.policy else {
        return None;
    };
    let hosts: Vec<&str> = situation
        .cause
        .pairs
        .iter()
        .map(|pair| pair.host.name.as_str())
        .filter(|host| config.action_for(Host::from_authority(host.as_bytes())) != Action::Enforce)
        .collect();
    let mut configured: HostTable<&String> = HostTable::default();
    let entries = filter
        .configuration()
        .get("hosts")
        .and_then(Value::as_object);
    for text in entries.into_iter().flat_map(Map::keys) {
        if let Ok(pattern) = HostPattern::try_from(text.as_str()) {
            configured.insert(pattern, text);
        }
    }
    let mut changed = Map::new();
    let mut needs_default = false;
    for host in hosts {
        // The most specific entry counts, as in the filter.
        match configured.best(Host::from_authority(host.as_bytes())) {
            Some(text) => {
                changed.insert((*text).clone(), json!("enforce"));
            }
            None => needs_default = true,
        }
    }
    if changed.is_empty() && !needs_default {
        return None;
    }
    let mut configuration = Map::new();
    if needs_default {
        configuration.insert("action".to_owned(), json!("enforce"));
    }
    if !changed.is_empty() {
        configuration.insert("hosts".to_owned(), Value::Object(changed));
    }
    match filter.installation {
        Installation::Extension(extension) if extension.script().is_none() => {
            let settings = json!({ "pluginConfig": configuration });
            Some(if extension.spec.wasm.is_some() {
                json!({ "spec": { "wasm": settings } })
            } else {
                json!({ "spec": settings })
            })
        }
        Installation::Extension(_) | Installation::Patch(..) => None,
    }
}
