//! SG304: the same certificate in several Secrets.

use std::collections::BTreeMap;

use super::context::Context;
use super::finding::Findings;
use super::info::{Info, Severity};
use super::{Code, Finding, Known};
use crate::Credential;

pub(super) const INFO: Info = Info {
    id: "SG304",
    name: "certificate-shared",
    severity: Severity::Info,
    what: "Several Secrets contain the same certificate.",
    why: "Clients compare certificates, not Secrets, so they reuse connections although the Secrets \
          differ. A private key with many copies can also leak from each of them.",
    example: "cert-manager issues *.example.com in one namespace, and a controller copies the Secret \
              to all namespaces.",
    fix: "Use a separate certificate for each server that must not share connections. Otherwise no \
          change is needed.",
    coalesced_answer: None,
};

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (fingerprint, secrets) in secrets_by_fingerprint(context) {
        if secrets.len() < 2 {
            continue;
        }
        // An annotation hides the Secrets that only its own resource uses.
        let reported: Vec<&Credential> = secrets
            .into_iter()
            .filter(|secret| !is_ignored(secret, context, findings))
            .collect();
        if reported.len() < 2 {
            findings.suppress(1);
            continue;
        }
        let message = format!(
            "{} contain the same certificate (SHA-256 {fingerprint}): clients can reuse a connection \
             to a server with one Secret for hosts of a server with the other",
            reported
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" and ")
        );
        let hint = "use separate certificates for servers that must not share connections";
        let finding = Finding {
            certificate: Known::Known,
            ..Finding::new(Code::CertificateShared, message, hint)
        };
        // The Secrets have the file and the line, and the labels by which users select findings.
        findings.add(
            reported
                .into_iter()
                .filter_map(Credential::secret)
                .fold(finding, Finding::about),
        );
    }
}

fn secrets_by_fingerprint<'i>(context: &Context<'i>) -> BTreeMap<&'i str, Vec<&'i Credential>> {
    let mut secrets: BTreeMap<&str, Vec<&Credential>> = BTreeMap::new();
    for credential in context.credential_uses.keys().copied() {
        // A Secret that no server uses is not shown to any client.
        if let Some(certificate) = context.input.certificates.known(credential) {
            secrets
                .entry(&certificate.fingerprint)
                .or_default()
                .push(credential);
        }
    }
    secrets
}

/// Whether every server that uses a credential ignores this kind of finding.
fn is_ignored(credential: &Credential, context: &Context<'_>, findings: &Findings<'_>) -> bool {
    context.credential_uses.get(credential).is_some_and(|uses| {
        uses.iter()
            .all(|found| findings.ignores(&found.chain.server.id, Code::CertificateShared))
    })
}
