//! SG302: a certificate that clients or Envoy reject, for another reason than its dates.

use std::collections::HashSet;

use super::context::Context;
use super::credential_remedy::show;
use super::credential_use::{CredentialFinding, CredentialUse};
use super::finding::Findings;
use super::info::{Info, Severity};
use super::{Code, Finding, Known, Remedy, kubectl, server_field};
use crate::certificates::Contents;
use crate::generated::UnprogrammedReason;
use crate::{Certificate, Credential, ServerId};

pub(super) const INFO: Info = Info {
    id: "SG302",
    name: "certificate-mismatch",
    severity: Severity::Error,
    what: "A server presents a certificate that covers none of its hosts, that cannot be read, or that \
           does not match the private key in its Secret.",
    why: "Clients reject the connection, or Envoy rejects the Secret.",
    example: "The server of shop.example.net refers to the Secret with the certificate for \
              *.example.com.",
    fix: "Refer to the right Secret, or request a certificate for the hosts.",
    coalesced_answer: None,
};

const COMPLETE_SECRET: &str =
    "put the complete certificate chain in PEM format and its private key into the Secret again";

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (credential, uses) in &context.credential_uses {
        match context.input.certificates.get(credential) {
            Some(Contents::Known(certificate, key_fits)) => {
                // The key is unknown where the input has the Secret without it.
                if *key_fits == Some(false) {
                    add_wrong_key(credential, uses, findings);
                }
                add_uncovered(credential, certificate, uses, findings);
            }
            Some(Contents::Broken) => add_broken(credential, uses, findings),
            Some(Contents::Unreadable) | None => {}
        }
    }
    // istiod reads the Secrets of the Gateway API itself, and makes no filter chain for a broken one.
    for listener in &context.input.model.unprogrammed {
        match &listener.reason {
            UnprogrammedReason::BadSecret { secret } => findings.add(Finding::of_unprogrammed(
                Code::CertificateMismatch,
                listener,
                Remedy::with_command(
                    format!("{COMPLETE_SECRET}; see who writes {secret}"),
                    kubectl::describe(secret),
                ),
            )),
            UnprogrammedReason::SameHost { .. }
            | UnprogrammedReason::NotAllowed { .. }
            | UnprogrammedReason::TooManyCertificates { .. }
            | UnprogrammedReason::NotASecret { .. }
            | UnprogrammedReason::NotGranted { .. }
            | UnprogrammedReason::NoSecret { .. } => {}
        }
    }
}

fn add_wrong_key(credential: &Credential, uses: &[CredentialUse<'_>], findings: &mut Findings<'_>) {
    CredentialFinding {
        code: Code::CertificateMismatch,
        certificate: Known::Known,
        message: &|servers| {
            format!(
                "the private key of {credential}, used by {servers}, does not match its certificate"
            )
        },
        hint: show(
            "put the private key of the certificate into the Secret",
            credential,
        ),
    }
    .add(uses, findings);
}

/// Reports the servers with no host that the certificate covers.
fn add_uncovered(
    credential: &Credential,
    certificate: &Certificate,
    uses: &[CredentialUse<'_>],
    findings: &mut Findings<'_>,
) {
    // A server may have several filter chains: one host that the certificate covers is enough.
    let covered: HashSet<&ServerId> = uses
        .iter()
        .filter(|found| {
            found
                .chain
                .server_names
                .iter()
                .any(|name| certificate.suits(name))
        })
        .map(|found| &found.chain.server.id)
        .collect();
    let uncovered: Vec<CredentialUse<'_>> = uses
        .iter()
        .copied()
        .filter(|found| !covered.contains(&found.chain.server.id))
        .collect();

    // The names show whether the Secret or the hosts are wrong.
    let names: Vec<String> = certificate.names.iter().map(ToString::to_string).collect();
    let names = if names.is_empty() {
        "it has no DNS names".to_owned()
    } else {
        format!("its names are {}", names.join(", "))
    };
    let Some(server) = uncovered.first().map(|found| &found.chain.server.id) else {
        return;
    };
    CredentialFinding {
        code: Code::CertificateMismatch,
        certificate: Known::Known,
        message: &|servers| {
            format!("the certificate of {credential} covers no host of {servers}: {names}")
        },
        hint: server_field::edit(
            &format!(
                "request a certificate for these hosts, or name the Secret that has one in {}",
                server_field::secret_field(server)
            ),
            server,
        ),
    }
    .add(&uncovered, findings);
}

fn add_broken(credential: &Credential, uses: &[CredentialUse<'_>], findings: &mut Findings<'_>) {
    CredentialFinding {
        code: Code::CertificateMismatch,
        certificate: Known::Known,
        message: &|servers| {
            format!(
                "the certificate of {credential}, used by {servers}, cannot be read: Envoy rejects \
                 it, and connections fail"
            )
        },
        hint: show(COMPLETE_SECRET, credential),
    }
    .add(uses, findings);
}

#[cfg(test)]
mod tests {
    use crate::findings::Code;
    use crate::findings::tests::{Pki, messages_of};

    #[track_caller]
    fn check(names: &[&str], host: &str, expected: bool) {
        let input = Pki::for_names(names).server(&[host]);
        let found = messages_of(&input, Code::CertificateMismatch);
        assert_eq!(!found.is_empty(), expected, "{names:?} {host} {found:?}");
    }

    #[test]
    fn a_certificate_for_an_address_is_for_a_server_of_all_hosts() {
        check(&["192.0.2.1"], "*", false);
        check(&["2001:db8::1"], "*", false);
        check(&["192.0.2.1"], "192.0.2.1", false);
        check(&["192.0.2.1"], "192.0.2.2", true);
        check(&["192.0.2.1"], "a.example.com", true);
        check(&["192.0.2.1"], "*.example.com", true);
        check(&["a.example.com"], "a.example.com", false);
    }
}
