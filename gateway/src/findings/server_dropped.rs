//! SG201: istiod drops a server.

use super::context::Context;
use super::finding::Findings;
use super::info::{Info, Severity};
use super::server_field::{edit, edit_hosts, entry_field, port_field, secret_field};
use super::{Code, Finding, Remedy, kubectl};
use crate::generated::UnprogrammedReason;
use crate::{DropReason, Dropped, Server, ServerId, Workload};

pub(super) const INFO: Info = Info {
    id: "SG201",
    name: "server-dropped",
    severity: Severity::Error,
    what: "istiod drops a server of a Gateway, with all its hosts: the listener gets no filter chain \
           for it.",
    why: "The gateway resets connections for hosts that no other server has.",
    example: "The Gateway new has the hosts a.example.com and b.example.com. The older Gateway old, on \
              the same pods and port, has a.example.com. istiod drops the server of new, and no other \
              server has b.example.com.",
    fix: "List each host in one server only. To move a host, add it to the older Gateway before you \
          remove the younger one.",
    coalesced_answer: None,
};

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    // istiod merges the servers of a workload by age, and drops those that conflict with an older one
    // (Istio `pilot/pkg/model/gateway.go`, `mergeGateways`).
    for workload in &context.input.model.workloads {
        // A server that changes nothing is not a defect: users see the same redirect.
        for dropped in workload
            .dropped
            .iter()
            .filter(|dropped| !dropped.changes_nothing)
        {
            findings.add(dropped_finding(workload, dropped));
        }
    }
    // istiod rejects listeners of the Gateway API before it merges servers, so no workload has them.
    for listener in &context.input.model.unprogrammed {
        let (winner, hint) = match &listener.reason {
            UnprogrammedReason::SameHost { winner, .. } => (
                Some(winner),
                edit(
                    "use a different hostname for each listener of a port: change one",
                    &listener.server,
                ),
            ),
            UnprogrammedReason::NotAllowed { gateway } => (
                None,
                Remedy::with_command(
                    format!("set spec.allowedListeners of {gateway}"),
                    kubectl::edit(gateway),
                ),
            ),
            UnprogrammedReason::TooManyCertificates { .. } => (
                None,
                edit(
                    &format!(
                        "remove entries until two are left in {}",
                        secret_field(&listener.server)
                    ),
                    &listener.server,
                ),
            ),
            UnprogrammedReason::NotASecret { .. } => (
                None,
                edit(
                    &format!(
                        "refer to a Secret, without group and kind, in {}",
                        secret_field(&listener.server)
                    ),
                    &listener.server,
                ),
            ),
            // SG302 and SG303 report a listener without a usable certificate.
            UnprogrammedReason::NotGranted { .. }
            | UnprogrammedReason::NoSecret { .. }
            | UnprogrammedReason::BadSecret { .. } => continue,
        };
        let finding = Finding::of_unprogrammed(Code::ServerDropped, listener, hint);
        findings.add(match winner {
            Some(winner) => finding.with_connection(winner),
            None => finding,
        });
    }
}

fn dropped_finding(workload: &Workload, dropped: &Dropped) -> Finding {
    let Dropped {
        server,
        port,
        reason,
        changes_nothing: _,
    } = dropped;
    let Explanation { winner, why, hint } = Explanation::new(server, reason);
    // All hosts are listed: a host that the winner does not have is served by no server.
    let hosts: Vec<String> = server.hosts.iter().map(ToString::to_string).collect();
    let message = format!(
        "istiod drops {} on port {port} with its hosts ({}): {why}",
        server.id,
        hosts.join(", ")
    );
    // Requests for the dropped server go to the winner, or fail.
    Finding {
        authority: hosts.into_iter().next(),
        ..Finding::new(Code::ServerDropped, message, hint)
            .on(workload)
            .with_owner(&server.id)
            .with_connection(winner)
    }
}

struct Explanation<'d> {
    /// The server that istiod keeps.
    winner: &'d ServerId,
    why: String,
    hint: Remedy,
}

impl<'d> Explanation<'d> {
    fn new(dropped: &Server, reason: &'d DropReason) -> Self {
        let server = &dropped.id;
        match reason {
            DropReason::SameHost { host, winner } if dropped.hosts.len() == 1 => Self {
                winner,
                why: format!("{winner} has precedence and also has {host}"),
                // A server without hosts is invalid.
                hint: edit(&format!("delete {}", entry_field(server)), server),
            },
            DropReason::SameHost { host, winner } => Self {
                winner,
                why: format!("{winner} has precedence and also has {host}"),
                hint: edit_hosts(
                    &format!("move its other hosts to {winner}, or remove {host} from"),
                    server,
                ),
            },
            DropReason::PlainText { winner } => Self {
                winner,
                why: format!("{winner} has precedence and serves plain text on that port"),
                hint: edit(
                    &format!("use another port: change {}.number", port_field(server)),
                    server,
                ),
            },
            DropReason::SamePortName { winner } => Self {
                winner,
                why: format!("{winner} has precedence and has the same port name"),
                hint: edit(
                    &format!("use another port name: change {}.name", port_field(server)),
                    server,
                ),
            },
        }
    }
}
