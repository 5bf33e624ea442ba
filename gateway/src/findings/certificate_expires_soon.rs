//! SG305: a certificate that is valid now and ends soon.

use super::context::Context;
use super::credential_remedy::renew;
use super::credential_use::CredentialFinding;
use super::finding::Findings;
use super::info::{Info, Severity};
use super::{Code, Known};

pub(super) const INFO: Info = Info {
    id: "SG305",
    name: "certificate-expires-soon",
    severity: Severity::Warning,
    what: "A server presents a certificate that expires within 21 days.",
    why: "After that moment clients reject the connection. Automatic renewal usually replaces a certificate \
          30 days before its end, so a certificate with less time left shows that the renewal fails.",
    example: "cert-manager cannot renew the certificate, because the DNS record for the challenge was \
              removed.",
    fix: "Renew the certificate, and look for the reason why it was not renewed automatically.",
    coalesced_answer: None,
};

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    let now = context.input.now;
    for (credential, uses) in &context.credential_uses {
        let Some(certificate) = context.input.certificates.known(credential) else {
            continue;
        };
        // SG301 reports a certificate that is not valid at this moment.
        if now < certificate.not_before || now > certificate.not_after {
            continue;
        }
        let left = certificate.not_after - now;
        if left > context.input.expires_within {
            continue;
        }
        let end = certificate.not_after.format("%Y-%m-%d %H:%M:%S UTC");
        let days = left.num_days();
        CredentialFinding {
            code: Code::CertificateExpiresSoon,
            certificate: Known::Known,
            message: &|servers| {
                format!(
                    "the certificate of {credential}, used by {servers}, expires in {days} days, on {end}"
                )
            },
            hint: renew(
                "renew the certificate, and check why automatic renewal has not replaced it",
                credential,
                context.input.resources,
            ),
        }
        .add(uses, findings);
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use crate::findings::tests::{Pki, codes_at};
    use crate::findings::{Code, EXPIRES_WITHIN};

    /// Whether a certificate that ends some days after the check is reported.
    #[track_caller]
    fn check(days: i64, within: TimeDelta, expected: bool) {
        let input = Pki::valid_for(days).server(&["a.example.com"]);
        let codes = codes_at(&input, within);
        assert_eq!(
            codes.contains(&Code::CertificateExpiresSoon),
            expected,
            "{days} days"
        );
    }

    #[test]
    fn certificates_are_reported_before_they_end() {
        check(20, EXPIRES_WITHIN, true);
        check(22, EXPIRES_WITHIN, false);
        check(20, TimeDelta::days(7), false);
        check(6, TimeDelta::days(7), true);
        // SG301 reports it.
        check(-1, EXPIRES_WITHIN, false);
    }
}
