//! SG306: a certificate that covers some hosts of its server and not others.

use std::collections::BTreeMap;
use std::sync::Arc;

use rule::HostPattern;

use super::context::Context;
use super::credential_remedy::issuer_of;
use super::finding::Findings;
use super::info::{Info, Severity};
use super::server_field::{edit_hosts, hosts_field};
use super::{Code, Finding, Known, Remedy, kubectl};
use crate::resources::Resources;
use crate::{Certificate, Certificates, FilterChain, Listener, ServerId};

pub(super) const INFO: Info = Info {
    id: "SG306",
    name: "certificate-incomplete",
    severity: Severity::Warning,
    what: "The certificate of a server covers some of its hosts, but not all of them.",
    why: "Clients reject connections for the other hosts.",
    example: "A server has the hosts example.com and *.example.com, and its certificate has only the name \
              *.example.com. A wildcard covers one label, so it does not cover example.com.",
    fix: "Request a certificate with all hosts of the server, or remove the hosts that are not used.",
    coalesced_answer: None,
};

/// How many hosts a message lists, so that a server with thousands of hosts has a short one.
const MAX_HOSTS: usize = 5;

/// How many hosts a command adds to a `Certificate`.
const MAX_PATCHED: usize = 20;

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (workload, listener) in context.accepted_tls_listeners() {
        for (server, chains) in chains_by_server(listener) {
            let Some(certificates) = all_known(&chains, context.input.certificates) else {
                continue;
            };
            let hosts: Vec<&HostPattern> = chains
                .iter()
                .flat_map(|chain| &chain.server_names)
                .collect();
            // One of several certificates is enough: Envoy selects by the SNI and the client's algorithms.
            let uncovered: Vec<String> = hosts
                .iter()
                .filter(|host| {
                    !certificates
                        .iter()
                        .any(|certificate| certificate.suits(host))
                })
                .map(ToString::to_string)
                .collect();
            // SG302 reports a certificate that covers no host at all.
            if uncovered.is_empty() || uncovered.len() == hosts.len() {
                continue;
            }
            let names: Vec<String> = certificates
                .iter()
                .flat_map(|certificate| &certificate.names)
                .map(ToString::to_string)
                .collect();
            let message = format!(
                "the certificate of {server} does not cover {}: its names are {}",
                listed(&uncovered),
                listed(&names)
            );
            let hint = remedy(server, &chains, &uncovered, context.input.resources);
            findings.add(Finding {
                sni: uncovered.into_iter().next(),
                certificate: Known::Known,
                ..Finding::new(Code::CertificateIncomplete, message, hint)
                    .at(workload, listener)
                    .with_connection(server)
            });
        }
    }
}

/// The names to add to the `Certificate` of cert-manager that the server uses, else the server to edit.
fn remedy(
    server: &ServerId,
    chains: &[&FilterChain],
    uncovered: &[String],
    resources: &Resources,
) -> Remedy {
    let issuer = chains
        .iter()
        .flat_map(|chain| &chain.credentials)
        .find_map(|credential| issuer_of(credential, resources))
        // The patch appends to a list, and a command must not fill the screen.
        .filter(|issuer| !issuer.spec.dns_names.is_empty() && uncovered.len() <= MAX_PATCHED);
    match issuer {
        Some(issuer) => {
            let metadata = &issuer.metadata;
            Remedy::with_command(
                format!(
                    "add {} to spec.dnsNames of the cert-manager Certificate {}/{}, or remove the hosts from {} of \
                     {}",
                    listed(uncovered),
                    metadata.namespace,
                    metadata.name,
                    hosts_field(server),
                    server.resource
                ),
                kubectl::add_dns_names(&metadata.namespace, &metadata.name, uncovered),
            )
        }
        None => edit_hosts(
            &format!(
                "request a certificate that also has {}, or remove the hosts from",
                listed(uncovered)
            ),
            server,
        ),
    }
}

fn chains_by_server(listener: &Listener) -> BTreeMap<&ServerId, Vec<&FilterChain>> {
    let mut chains: BTreeMap<&ServerId, Vec<&FilterChain>> = BTreeMap::new();
    for chain in &listener.chains {
        chains.entry(&chain.server.id).or_default().push(chain);
    }
    chains
}

/// The certificates of a server; `None` if there is none, or if one of them is unknown: it may cover the hosts
/// that the others do not.
fn all_known<'c>(
    chains: &[&FilterChain],
    certificates: &'c Certificates,
) -> Option<Vec<&'c Arc<Certificate>>> {
    let known: Option<Vec<_>> = chains
        .iter()
        .flat_map(|chain| &chain.credentials)
        .map(|credential| certificates.known(credential))
        .collect();
    known.filter(|certificates| !certificates.is_empty())
}

fn listed(texts: &[String]) -> String {
    let first: Vec<&str> = texts.iter().take(MAX_HOSTS).map(String::as_str).collect();
    match texts.len() - first.len() {
        0 => first.join(", "),
        others => format!("{} and {others} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use crate::findings::Code;
    use crate::findings::tests::{Pki, messages_of};

    /// The message about a server with some hosts and a certificate with some names.
    fn message(names: &[&str], hosts: &[&str]) -> Option<String> {
        let input = Pki::for_names(names).server(hosts);
        messages_of(&input, Code::CertificateIncomplete).pop()
    }

    #[test]
    fn a_wildcard_does_not_cover_its_own_domain() {
        assert_eq!(
            message(&["*.example.com"], &["example.com", "*.example.com"]).as_deref(),
            Some(
                "the certificate of Gateway istio-system/gw servers[0] does not cover example.com: its names \
                 are *.example.com"
            )
        );
    }

    #[test]
    fn complete_and_unrelated_certificates() {
        for (names, hosts) in [
            (
                &["example.com", "*.example.com"][..],
                &["example.com", "*.example.com"][..],
            ),
            // Clients use single hosts of a wildcard, and the certificate covers some.
            (&["a.example.com"], &["*.example.com"]),
            (&["a.example.com"], &["*"]),
            // SG302 reports a certificate that covers no host.
            (&["a.test"], &["example.com", "*.example.com"]),
        ] {
            assert_eq!(message(names, hosts), None, "{names:?} {hosts:?}");
        }
    }
}
