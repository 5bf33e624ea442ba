//! SG202: Envoy rejects a listener.

use super::context::Context;
use super::finding::Findings;
use super::info::{Info, Severity};
use super::server_field::{edit, edit_hosts, entry_field};
use super::{Code, Finding};
use crate::listener::Duplicate;
use crate::{Listener, Workload};

pub(super) const INFO: Info = Info {
    id: "SG202",
    name: "listener-rejected",
    severity: Severity::Error,
    what: "Two filter chains of a listener match the same SNI, so Envoy rejects the listener.",
    why: "Envoy applies no further update to that port, and after a restart it serves nothing there.",
    example: "The Gateway gw-a has team-a/a.example.com, and gw-b has team-b/a.example.com. For istiod \
              these are two hosts, for Envoy they are one.",
    fix: "List each host in one server of the port only. Two hosts that differ only in namespace, \
          letter case or bind address are the same for Envoy.",
    coalesced_answer: None,
};

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    // Envoy rejects a listener with two equal filter chain matches as a whole (Envoy
    // `filter_chain_manager_impl.cc`), so each duplicate is an error of all its servers.
    for (workload, listener) in context.tls_listeners() {
        for duplicate in &listener.duplicates {
            if let Some(finding) = rejection(workload, listener, duplicate) {
                findings.add(finding);
            }
        }
    }
}

/// The finding; `None` only if the duplicate names a filter chain that the listener does not have.
fn rejection(workload: &Workload, listener: &Listener, duplicate: &Duplicate) -> Option<Finding> {
    let host = &duplicate.host;
    let first = &listener.chains.get(duplicate.first)?.server.id;
    let second = &listener.chains.get(duplicate.second)?.server.id;
    // One server can list the same host twice, for example with two namespaces.
    let servers = if first == second {
        format!("which {first} lists twice")
    } else {
        format!("which {first} and {second} both list")
    };
    let message = format!(
        "Envoy rejects the listener with all its hosts: two filter chains match the SNI {host}, {servers}"
    );
    // Envoy does not distinguish what istiod does.
    let keep = format!(
        "keep {host} in one server only, whatever its namespace, letter case and bind address:"
    );
    let has_other_hosts = listener
        .chains
        .get(duplicate.second)
        .is_some_and(|chain| chain.server.hosts.len() > 1);
    let hint = if has_other_hosts {
        edit_hosts(&format!("{keep} remove it from"), second)
    } else {
        // A server without hosts is invalid.
        edit(&format!("{keep} delete {}", entry_field(second)), second)
    };
    Some(Finding {
        sni: Some(host.to_string()),
        ..Finding::new(Code::ListenerRejected, message, hint)
            .at(workload, listener)
            .with_connection(first)
            .with_owner(second)
    })
}
