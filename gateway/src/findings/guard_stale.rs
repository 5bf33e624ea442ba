//! SG401: an installed filter with a table of servers that does not match the gateway.

use std::collections::{BTreeMap, BTreeSet};

use rule::{Policy, Rule};

use super::context::Context;
use super::finding::Findings;
use super::info::{Info, Severity};
use super::installed_filter::InstalledFilter;
use super::{Code, Finding, Remedy, guard_detached, kubectl, rewrite};
use crate::Listener;
use crate::istio::Reach;
use crate::tables::Listing;

pub(super) const INFO: Info = Info {
    id: "SG401",
    name: "guard-stale",
    severity: Severity::Warning,
    what: "The table of servers in an installed filter does not match the servers of the gateway.",
    why: "The filter passes requests that need a 421, or answers 421 without need.",
    example: "A Gateway was added after packager manifest --from wrote the WasmPlugin.",
    fix: "Write the resource again with packager manifest --from, and apply it. The hint has the command for the \
          same pods.",
    coalesced_answer: None,
};

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    for filter in &context.installed_filters {
        let installation = filter.installation;
        // SG402 reports a filter that runs nowhere; its table does not matter.
        if guard_detached::reason(installation, context).is_some() {
            continue;
        }
        let Some(listed) = listed_hosts(&filter.policy) else {
            continue;
        };
        for workload in installation.attached_workloads(context.input.model) {
            // A resource for some ports has the table of these ports only.
            let listeners: Vec<&Listener> = workload
                .listeners
                .iter()
                .filter(|listener| installation.runs_on(listener) == Reach::Yes)
                .collect();
            let listing = if filter.is_script() {
                Listing::All
            } else {
                Listing::Overlapping
            };
            let Some(difference) = stale(&listed, &listeners, listing) else {
                continue;
            };
            let name = filter.resource();
            let message = format!(
                "the servers of {name} do not match the servers of the gateway: {difference}"
            );
            let model = context.input.model;
            let hint =
                rewrite::same_pods(filter, workload, model).unwrap_or_else(|| edit_table(filter));
            findings.add(
                Finding::new(Code::GuardStale, message, hint)
                    .on(workload)
                    .about(name),
            );
        }
    }
}

/// The hint for a table that `packager manifest` cannot write, because it depends on a Service outside of the
/// input.
fn edit_table(filter: &InstalledFilter<'_>) -> Remedy {
    let name = filter.resource();
    Remedy::with_command(
        format!("list the servers that the gateway has now in {name}"),
        kubectl::edit(&name),
    )
}

/// How the listed servers differ from the servers of the listeners. Labels are free: only which hosts are in
/// one server counts, and a filter from an image needs only servers whose hosts overlap.
fn stale(
    listed: &BTreeMap<String, String>,
    listeners: &[&Listener],
    listing: Listing,
) -> Option<String> {
    let mut current = BTreeSet::new();
    for listener in listeners {
        // Envoy has routes for these hosts on several servers, so only the table distinguishes them.
        let needed = match listing {
            Listing::All => listener.servers(),
            Listing::Overlapping => listener.overlapping_servers(),
        };
        for (server, hosts) in &needed {
            if let Some(host) = hosts.iter().find(|host| !listed.contains_key(*host)) {
                return Some(format!("{host} of {server} is missing"));
            }
        }
        let servers = listener.servers();
        if let Some(difference) = grouping_difference(listed, &servers) {
            return Some(difference);
        }
        current.extend(servers.into_values().flatten());
    }
    // A host that no server has any more shows that the table is old.
    let removed = listed.keys().find(|host| !current.contains(*host))?;
    Some(format!("no server has {removed} any more"))
}

/// The hosts that a configuration lists, each with the label of its server. `None` for a configuration
/// without a table: its rule is `exact`, or it is invalid, which SG403 reports.
fn listed_hosts(policy: &Policy) -> Option<BTreeMap<String, String>> {
    let servers = match policy {
        Policy::Active(config) => match config.rule() {
            Rule::Servers(servers) => servers,
            Rule::Exact => return None,
        },
        Policy::Invalid(_) => return None,
    };
    // The rule accepts a host in one server only, so a host has one label.
    let mut labels = BTreeMap::new();
    for (label, hosts) in servers.hosts() {
        for host in hosts {
            labels.insert(host, label.to_owned());
        }
    }
    Some(labels)
}

/// How the grouping of the listed hosts differs from the servers that have these hosts.
fn grouping_difference(
    listed: &BTreeMap<String, String>,
    servers: &BTreeMap<String, Vec<String>>,
) -> Option<String> {
    let mut server_of_label: BTreeMap<&str, &str> = BTreeMap::new();
    for (server, hosts) in servers {
        let mut label_of_server = None;
        for label in hosts.iter().filter_map(|host| listed.get(host)) {
            // Two labels for one server cause a 421 without need.
            if label_of_server.is_some_and(|known| known != label) {
                return Some(format!(
                    "the hosts of {server} have different labels, although they are in one server"
                ));
            }
            label_of_server = Some(label);
            // One label for two servers lets a misdirected request pass.
            if let Some(other) = server_of_label.insert(label, server)
                && other != server
            {
                return Some(format!(
                    "{other} and {server} have the same label {label}, although they are two servers"
                ));
            }
        }
    }
    None
}
