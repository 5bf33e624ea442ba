//! Servers that already do not work. A plan starts from a listener that serves all its hosts.

use std::collections::BTreeSet;

use crate::merge::listener_id::ListenerId;
use crate::merge::refusal::{Obstacle, Reason, Refusal};
use crate::server_merge::Dropped;
use crate::{DropReason, Listener, ServerId, Workload};

const HINT: &str = "fix this first: packager check reports the cause";

/// Refusals for the listeners of a workload that istiod or Envoy already reduces, with their ports.
pub(in crate::merge) fn present_defects(workload: &Workload) -> (Vec<Refusal>, BTreeSet<u16>) {
    let mut refusals = Vec::new();
    let mut ports = BTreeSet::new();
    for dropped in &workload.dropped {
        if dropped.server.is_tls() {
            refusals.push(dropped_server(workload, dropped));
            ports.insert(dropped.port);
        }
    }
    for listener in &workload.listeners {
        if listener.is_rejected() {
            refusals.push(rejected_listener(workload, listener));
            ports.insert(listener.port);
        }
    }
    (refusals, ports)
}

fn dropped_server(workload: &Workload, dropped: &Dropped) -> Refusal {
    let winner = match &dropped.reason {
        DropReason::SameHost { winner, .. }
        | DropReason::PlainText { winner }
        | DropReason::SamePortName { winner } => winner,
    };
    let id = &dropped.server.id;
    let message = format!("istiod already drops {id} in favour of {winner}");
    // A dropped server has no listener, only a port.
    Obstacle::new(Reason::Dropped, message, HINT).refuse(
        workload.full_name(),
        dropped.port.to_string(),
        &[winner.clone(), id.clone()],
    )
}

fn rejected_listener(workload: &Workload, listener: &Listener) -> Refusal {
    // Envoy rejects the whole listener if two filter chains have one server name.
    let servers: BTreeSet<ServerId> = listener
        .duplicates
        .iter()
        .flat_map(|duplicate| [duplicate.first, duplicate.second])
        .filter_map(|index| listener.chains.get(index))
        .map(|chain| chain.server.id.clone())
        .collect();
    Obstacle::new(
        Reason::Rejected,
        "Envoy already rejects the listener because two servers have the same host",
        HINT,
    )
    .at(
        &ListenerId::new(workload, listener),
        &servers.into_iter().collect::<Vec<_>>(),
    )
}
