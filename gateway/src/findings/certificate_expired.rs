//! SG301: a certificate that is not valid now.

use super::context::Context;
use super::credential_remedy::renew;
use super::credential_use::CredentialFinding;
use super::finding::Findings;
use super::info::{Info, Severity};
use super::{Code, Known};

pub(super) const INFO: Info = Info {
    id: "SG301",
    name: "certificate-expired",
    severity: Severity::Error,
    what: "A server presents a certificate that has expired, or that is not valid yet.",
    why: "Clients reject the connection.",
    example: "A Secret is a manual copy of another Secret, and only the original was renewed.",
    fix: "Renew the certificate. Automate the renewal, for example with cert-manager.",
    coalesced_answer: None,
};

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    let now = context.input.now;
    for (credential, uses) in &context.credential_uses {
        let Some(certificate) = context.input.certificates.known(credential) else {
            continue;
        };
        // Clients compare the dates with their own clock, and reject both cases.
        let (validity, date, remedy) = if now > certificate.not_after {
            (
                "expired on",
                certificate.not_after,
                "renew the certificate, and check why automatic renewal failed",
            )
        } else if now < certificate.not_before {
            (
                "is not valid before",
                certificate.not_before,
                "use a certificate that is valid now, and check the clock of its issuer",
            )
        } else {
            continue;
        };
        let date = date.format("%Y-%m-%d %H:%M:%S UTC");
        CredentialFinding {
            code: Code::CertificateExpired,
            certificate: Known::Known,
            message: &|servers| {
                format!("the certificate of {credential}, used by {servers}, {validity} {date}")
            },
            hint: renew(remedy, credential, context.input.resources),
        }
        .add(uses, findings);
    }
}
