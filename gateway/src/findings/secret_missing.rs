//! SG303: a Secret that does not exist, or that a server is not allowed to use.

use super::context::Context;
use super::credential_use::CredentialFinding;
use super::finding::Findings;
use super::info::{Info, Severity};
use super::{Code, Finding, Known};
use crate::Credential;
use crate::generated::UnprogrammedReason;

pub(super) const INFO: Info = Info {
    id: "SG303",
    name: "secret-missing",
    severity: Severity::Warning,
    what: "A server refers to a Secret that does not exist, or that it is not allowed to use.",
    why: "Connections to the server fail. A listener of the Gateway API without a certificate has no \
          filter chain.",
    example: "A Gateway in namespace shop runs on pods in istio-system, and its Secret is in shop. \
              istiod reads the Secret from the namespace of the pods.",
    fix: "Create the Secret in the namespace of the gateway's pods. For the Gateway API, create it in \
          the namespace of the Gateway, or add a ReferenceGrant.",
    coalesced_answer: None,
};

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    find_refused(context, findings);
    // Files are rarely all of a cluster: a Secret that they do not contain may exist.
    if context.input.has_all_secrets {
        find_referenced(context, findings);
    }
    // For listeners of the Gateway API the model knows what istiod found.
    for listener in &context.input.model.unprogrammed {
        let hint = match listener.reason {
            UnprogrammedReason::NotGranted { .. } => {
                "create a ReferenceGrant in the namespace of the Secret"
            }
            UnprogrammedReason::NoSecret { .. } => {
                "create the Secret with tls.crt and tls.key, or correct its name"
            }
            UnprogrammedReason::SameHost { .. }
            | UnprogrammedReason::NotAllowed { .. }
            | UnprogrammedReason::TooManyCertificates { .. }
            | UnprogrammedReason::BadSecret { .. } => continue,
        };
        findings.add(Finding::of_unprogrammed(
            Code::SecretMissing,
            listener,
            hint,
        ));
    }
}

/// Secrets that istiod does not give to the workload, whether they exist or not.
fn find_refused(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (workload, listener) in context.accepted_tls_listeners() {
        for chain in &listener.chains {
            for secret in &chain.refused_secrets {
                let server = &chain.server.id;
                let namespace = &workload.namespace;
                let message = format!(
                    "{server} refers to {secret}, but istiod gives the pods of {} only Secrets of their \
                     namespace {namespace}: connections fail",
                    workload.full_name(),
                );
                let hint =
                    format!("copy the Secret to namespace {namespace}, and refer to it by name");
                findings.add(
                    Finding::new(Code::SecretMissing, message, hint)
                        .at(workload, listener)
                        .with_owner(server),
                );
            }
        }
    }
}

fn find_referenced(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (credential, uses) in &context.credential_uses {
        // Files in the pod and other providers of certificates are not resources.
        let is_known = context.input.certificates.get(credential).is_some();
        if is_known || !matches!(credential, Credential::Secret { .. }) {
            continue;
        }
        CredentialFinding {
            code: Code::SecretMissing,
            certificate: Known::Unknown,
            message: &|servers| {
                format!("{credential}, used by {servers}, does not exist: connections fail")
            },
            hint: "create the Secret in the namespace of the gateway's pods, or correct its name",
        }
        .add(uses, findings);
    }
}
