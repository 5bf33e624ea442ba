//! SG301 to SG304: what is wrong with the certificates that servers use.

use std::collections::{BTreeMap, HashMap};

use super::dropped::NEW_SECRET;
use super::finding::Findings;
use super::{Code, Finding, Input, Known};
use crate::certificates::Contents;
use crate::{Certificate, Credential, FilterChain, Listener, ServerId, Workload};

/// Where a server uses a credential.
#[derive(Clone, Copy)]
struct Use<'m> {
    workload: &'m Workload,
    listener: &'m Listener,
    chain: &'m FilterChain,
}

pub(super) fn find(input: &Input<'_>, findings: &mut Findings<'_>) {
    let mut secrets: BTreeMap<&str, Vec<&Credential>> = BTreeMap::new();
    for (credential, uses) in uses(input) {
        match input.certificates.get(credential) {
            Some(Contents::Known(certificate, key_fits)) => {
                secrets
                    .entry(&certificate.fingerprint)
                    .or_default()
                    .push(credential);
                find_expired(input, credential, certificate, &uses, findings);
                find_mismatch(credential, certificate, *key_fits, &uses, findings);
            }
            Some(Contents::Broken) => find_broken(credential, &uses, findings),
            None if input.has_all_secrets => find_missing(credential, &uses, findings),
            Some(Contents::Unreadable) | None => {}
        }
    }
    for (fingerprint, secrets) in secrets.iter().filter(|(_, secrets)| secrets.len() > 1) {
        let names: Vec<String> = secrets.iter().map(ToString::to_string).collect();
        let message = format!(
            "{} hold the same certificate (SHA-256 {fingerprint}), so that clients may reuse a \
             connection to one for the hosts of the other",
            names.join(" and ")
        );
        let hint = "use a certificate for each where their connections are to be apart";
        let finding = Finding {
            certificate: Known::Known,
            ..Finding::new(Code::CertificateShared, message, hint)
        };
        findings.add([], finding);
    }
}

/// The credentials of all servers, each with who uses it.
fn uses<'m>(input: &Input<'m>) -> BTreeMap<&'m Credential, Vec<Use<'m>>> {
    let mut uses: BTreeMap<&Credential, Vec<Use<'_>>> = BTreeMap::new();
    for workload in &input.model.workloads {
        for listener in &workload.listeners {
            for chain in &listener.chains {
                for credential in &chain.credentials {
                    uses.entry(credential).or_default().push(Use {
                        workload,
                        listener,
                        chain,
                    });
                }
            }
        }
    }
    uses
}

fn find_expired(
    input: &Input<'_>,
    credential: &Credential,
    certificate: &Certificate,
    uses: &[Use<'_>],
    findings: &mut Findings<'_>,
) {
    let Certificate {
        not_before,
        not_after,
        ..
    } = certificate;
    let what = if input.now > *not_after {
        format!("expired on {}", not_after.format("%Y-%m-%d %H:%M:%S UTC"))
    } else if input.now < *not_before {
        format!(
            "is not valid before {}",
            not_before.format("%Y-%m-%d %H:%M:%S UTC")
        )
    } else {
        return;
    };
    let message = |users: &str| format!("the certificate of {credential}, used by {users}, {what}");
    let hint = "renew it, and look at what was to renew it";
    add(Code::CertificateExpired, uses, message, hint, findings);
}

fn find_mismatch(
    credential: &Credential,
    certificate: &Certificate,
    key_fits: Option<bool>,
    uses: &[Use<'_>],
    findings: &mut Findings<'_>,
) {
    if key_fits == Some(false) {
        let message = |users: &str| {
            format!(
                "the private key of {credential}, used by {users}, is not that of its certificate"
            )
        };
        let hint = "put the key into the Secret that the certificate was issued for";
        add(Code::CertificateMismatch, uses, message, hint, findings);
    }
    let mut suits: HashMap<&ServerId, bool> = HashMap::new();
    for found in uses {
        let mut names = found.chain.server_names.iter();
        let suit = names.any(|name| certificate.suits(name));
        *suits.entry(&found.chain.server.id).or_default() |= suit;
    }
    let unsuited: Vec<Use<'_>> = uses
        .iter()
        .copied()
        .filter(|found| suits.get(&found.chain.server.id) == Some(&false))
        .collect();
    if unsuited.is_empty() {
        return;
    }
    let names: Vec<String> = certificate.names.iter().map(ToString::to_string).collect();
    let names = if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    };
    let message = |users: &str| {
        format!(
            "the certificate of {credential} is good for no host of {users}: its names are {names}"
        )
    };
    let hint = "name the Secret that has the certificate for these hosts, or have one issued";
    add(
        Code::CertificateMismatch,
        &unsuited,
        message,
        hint,
        findings,
    );
}

fn find_broken(credential: &Credential, uses: &[Use<'_>], findings: &mut Findings<'_>) {
    let message = |users: &str| {
        format!(
            "the certificate of {credential}, used by {users}, cannot be read: Envoy refuses it, and \
             connections fail"
        )
    };
    add(
        Code::CertificateMismatch,
        uses,
        message,
        NEW_SECRET,
        findings,
    );
}

fn find_missing(credential: &Credential, uses: &[Use<'_>], findings: &mut Findings<'_>) {
    if !matches!(credential, Credential::Secret { .. }) {
        return;
    }
    let message =
        |users: &str| format!("there is no {credential}, used by {users}: connections fail");
    let hint = "create it in the namespace of the gateway's pods, or correct the name";
    add(Code::SecretMissing, uses, message, hint, findings);
}

/// One finding for all who use a credential, unless they say not to, with the first as the example.
fn add(
    code: Code,
    uses: &[Use<'_>],
    message: impl Fn(&str) -> String,
    hint: &str,
    findings: &mut Findings<'_>,
) {
    let is_told = |found: &&Use<'_>| !findings.ignores(&found.chain.server.id, code);
    let told: Vec<&Use<'_>> = uses.iter().filter(is_told).collect();
    findings.suppress(usize::from(told.len() < uses.len()));
    let Some(first) = told.first() else { return };
    let server = &first.chain.server.id;
    let named = match told.len() - 1 {
        0 => server.to_string(),
        1 => format!("{server} and one more"),
        others => format!("{server} and {others} more"),
    };
    let finding = Finding::new(code, message(&named), hint)
        .at(first.workload, first.listener)
        .with_connection(server);
    let sni = first.chain.server_names.first().map(ToString::to_string);
    let certificate = if code == Code::SecretMissing {
        Known::Unknown
    } else {
        Known::Known
    };
    findings.add(
        [],
        Finding {
            sni,
            certificate,
            ..finding
        },
    );
}
