//! Which servers use which credential, and how a finding names them.

use std::collections::BTreeMap;

use super::finding::Findings;
use super::{Code, Finding, Known, PresentedCredential, Remedy};
use crate::{Credential, FilterChain, Listener, Model, Workload};

/// A filter chain that uses a credential.
#[derive(Clone, Copy)]
pub(super) struct CredentialUse<'m> {
    pub(super) credential: &'m Credential,
    pub(super) workload: &'m Workload,
    pub(super) listener: &'m Listener,
    pub(super) chain: &'m FilterChain,
}

/// The credentials of all filter chains.
pub(super) fn credential_uses(model: &Model) -> BTreeMap<&Credential, Vec<CredentialUse<'_>>> {
    let mut uses: BTreeMap<&Credential, Vec<CredentialUse<'_>>> = BTreeMap::new();
    for workload in &model.workloads {
        for listener in &workload.listeners {
            // The chains and not the servers: istiod resolves the name of a Secret for each workload.
            for chain in &listener.chains {
                for credential in &chain.credentials {
                    uses.entry(credential).or_default().push(CredentialUse {
                        credential,
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

/// The texts of a finding about a credential; the message gets the names of the servers.
pub(super) struct CredentialFinding<'t> {
    pub(super) code: Code,
    pub(super) certificate: Known,
    pub(super) message: &'t dyn Fn(&str) -> String,
    pub(super) hint: Remedy,
}

impl CredentialFinding<'_> {
    /// Adds one finding for all servers that use a credential, with the first as the example.
    pub(super) fn add(&self, uses: &[CredentialUse<'_>], findings: &mut Findings<'_>) {
        // A credential is shared: an annotation hides the servers of its own resource, not the others.
        let reported: Vec<&CredentialUse<'_>> = uses
            .iter()
            .filter(|found| !findings.ignores(&found.chain.server.id, self.code))
            .collect();
        if reported.len() < uses.len() {
            findings.suppress(1);
        }
        let Some(first) = reported.first() else {
            return;
        };

        // One server stands for all, so that a wildcard certificate does not fill the report.
        let server = &first.chain.server.id;
        let servers = match reported.len() {
            1 => server.to_string(),
            2 => format!("{server} and one more"),
            count => format!("{server} and {} more", count - 1),
        };
        let mut finding = Finding::new(self.code, (self.message)(&servers), self.hint.clone())
            .at(first.workload, first.listener)
            .with_connection(server);
        // The Secret is what has to be changed.
        if let Some(secret) = first.credential.secret() {
            finding = finding.about(secret);
        }
        findings.add(Finding {
            credentials: vec![PresentedCredential {
                credential: first.credential.clone(),
                names: Vec::new(),
            }],
            sni: first.chain.server_names.first().map(ToString::to_string),
            certificate: self.certificate,
            counted: reported
                .iter()
                .map(|found| found.chain.server.id.resource.clone())
                .collect(),
            ..finding
        });
    }
}
