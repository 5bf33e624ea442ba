//! SG201: istiod leaves a server out. SG302 and SG303, where that is for what is in a Secret, or for
//! want of one.

use super::finding::Findings;
use super::{Code, Finding};
use crate::generated::{Unprogrammed, UnprogrammedReason};
use crate::{DropReason, Dropped, Model, ServerId, Workload};

pub(super) fn find(workload: &Workload, findings: &mut Findings<'_>) {
    for Dropped {
        server,
        port,
        reason,
    } in &workload.dropped
    {
        let (winner, why, hint) = words(reason);
        let hosts = server
            .hosts
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        let message = format!(
            "istiod leaves {} out on port {port}, and with it its hosts ({hosts}): {why}",
            server.id
        );
        let finding = Finding {
            authority: server.hosts.first().map(ToString::to_string),
            ..Finding::new(Code::ServerDropped, message, hint)
                .on(workload)
                .with_owner(&server.id)
                .with_connection(winner)
        };
        findings.add([winner, &server.id], finding);
    }
}

/// What to do about a certificate that is of no use.
pub(super) const NEW_SECRET: &str =
    "put the whole certificate, PEM, and its key into the Secret again";

/// The other server, why it wins, and what to do.
fn words(reason: &DropReason) -> (&ServerId, String, String) {
    match reason {
        DropReason::SameHost { host, winner } => (
            winner,
            format!("{winner}, which goes first, has {host} too"),
            format!("remove {host} here, or move the other hosts into {winner}"),
        ),
        DropReason::PlainText { winner } => (
            winner,
            format!("{winner}, which goes first, speaks plain text on that port"),
            "use another port for one of them".into(),
        ),
        DropReason::SamePortName { winner } => (
            winner,
            format!("{winner}, which goes first, has the same port name"),
            "give each server of a Gateway a port name of its own".into(),
        ),
    }
}

/// The same for listeners of the Gateway API, which no pods have.
pub(super) fn find_unprogrammed(model: &Model, findings: &mut Findings<'_>) {
    for found in &model.unprogrammed {
        let Unprogrammed { server, reason } = found;
        let (code, connection, hint) = match reason {
            UnprogrammedReason::SameHost { winner, .. } => (
                Code::ServerDropped,
                Some(winner),
                "give each listener of a port a hostname of its own",
            ),
            UnprogrammedReason::NotAllowed { .. } => (
                Code::ServerDropped,
                None,
                "set spec.allowedListeners of the Gateway",
            ),
            UnprogrammedReason::NotGranted { .. } => (
                Code::SecretMissing,
                None,
                "create a ReferenceGrant in the namespace of the Secret",
            ),
            UnprogrammedReason::BadSecret { .. } => (Code::CertificateMismatch, None, NEW_SECRET),
            UnprogrammedReason::NoSecret { .. } => (
                Code::SecretMissing,
                None,
                "create the Secret with tls.crt and tls.key, or correct its name",
            ),
        };
        let mut finding =
            Finding::new(code, format!("istiod leaves out {found}"), hint).with_owner(server);
        if let Some(winner) = connection {
            finding = finding.with_connection(winner);
        }
        findings.add(connection.into_iter().chain([server]), finding);
    }
}
