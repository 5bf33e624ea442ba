//! Servers that already do not work. A plan starts from a listener that serves all its hosts.

use std::collections::BTreeSet;

use crate::findings::{Command, Remedy};
use crate::merge::refusal::{Obstacle, Reason, Refusal, Site};
use crate::server_merge::Dropped;
use crate::{DropReason, Listener, ServerId};

/// Refusals for the listeners of a workload that istiod or Envoy already reduces, with their ports.
pub(in crate::merge) fn present_defects(site: Site<'_>) -> (Vec<Refusal>, BTreeSet<u16>) {
    let workload = site.workload;
    let mut refusals = Vec::new();
    let mut ports = BTreeSet::new();
    for dropped in &workload.dropped {
        if dropped.server.is_tls() {
            refusals.push(dropped_server(site, dropped));
            ports.insert(dropped.port);
        }
    }
    for listener in &workload.listeners {
        if listener.is_rejected() {
            refusals.push(rejected_listener(site, listener));
            ports.insert(listener.port);
        }
    }
    (refusals, ports)
}

fn dropped_server(site: Site<'_>, dropped: &Dropped) -> Refusal {
    let winner = match &dropped.reason {
        DropReason::SameHost { winner, .. }
        | DropReason::PlainText { winner }
        | DropReason::SamePortName { winner } => winner,
    };
    let id = &dropped.server.id;
    let message = format!("istiod already drops {id} in favour of {winner}");
    // A dropped server has no listener, only a port.
    Obstacle::defect(Reason::Dropped, message)
        .or(cause_first())
        .refuse(
            site,
            dropped.port.to_string(),
            &[winner.clone(), id.clone()],
        )
}

fn rejected_listener(site: Site<'_>, listener: &Listener) -> Refusal {
    // Envoy rejects the whole listener if two filter chains have one server name.
    let servers: BTreeSet<ServerId> = listener
        .duplicates
        .iter()
        .flat_map(|duplicate| [duplicate.first, duplicate.second])
        .filter_map(|index| listener.chains.get(index))
        .map(|chain| chain.server.id.clone())
        .collect();
    Obstacle::defect(
        Reason::Rejected,
        "Envoy already rejects the listener because two servers have the same host",
    )
    .or(cause_first())
    .refuse(
        site,
        listener.name(),
        &servers.into_iter().collect::<Vec<_>>(),
    )
}

fn cause_first() -> Remedy {
    Remedy::with_command(
        "fix this first; this command reports the cause",
        Command::Check,
    )
}
