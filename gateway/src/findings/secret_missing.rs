//! SG303: a Secret that does not exist, or that a server is not allowed to use.

use std::collections::HashSet;

use super::context::Context;
use super::credential_remedy::issuer_of;
use super::credential_use::{CredentialFinding, CredentialUse};
use super::finding::Findings;
use super::info::{Info, Severity};
use super::{Code, Finding, Known, Remedy, kubectl};
use crate::Credential;
use crate::generated::{Unprogrammed, UnprogrammedReason};
use crate::resources::{ResourceName, Resources};

pub(super) const INFO: Info = Info {
    id: "SG303",
    name: "secret-missing",
    severity: Severity::Warning,
    what: "A server refers to a Secret that does not exist, or that it is not allowed to use. In files, a Secret \
           is missing if they contain other certificates of its namespace.",
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
    let namespaces = namespaces_with_certificates(context.input.resources);
    for (credential, uses) in &context.credential_uses {
        // Files in the pod and other providers of certificates are not resources.
        let Credential::Secret { namespace, .. } = credential else {
            continue;
        };
        let is_in_input = context.input.certificates.get(credential).is_some();
        // Files are rarely all of a cluster: a Secret is missing where they have others of the namespace, and no
        // `Certificate` that makes cert-manager write it.
        let is_known = context.input.has_all_secrets
            || (namespaces.contains(namespace.as_str())
                && issuer_of(credential, context.input.resources).is_none());
        if is_known && !is_in_input {
            add_missing(credential, uses, context.input.has_all_secrets, findings);
        }
    }
    find_unprogrammed(context, findings);
}

/// The namespaces of the Secrets with certificates. Other Secrets of a namespace say nothing about these.
fn namespaces_with_certificates(resources: &Resources) -> HashSet<&str> {
    resources
        .secrets
        .iter()
        .filter(|secret| secret.certificate.is_some())
        .map(|secret| secret.metadata.namespace.as_str())
        .collect()
}

fn add_missing(
    credential: &Credential,
    uses: &[CredentialUse<'_>],
    has_all_secrets: bool,
    findings: &mut Findings<'_>,
) {
    CredentialFinding {
        code: Code::SecretMissing,
        certificate: Known::Unknown,
        message: &|servers| {
            if has_all_secrets {
                format!("there is no {credential}, used by {servers}: connections fail")
            } else {
                // A SealedSecret or ExternalSecret may create it in the cluster.
                format!(
                    "the input has no {credential}, used by {servers}: connections fail if the cluster has none either"
                )
            }
        },
        hint: credential.secret().map_or_else(
            || Remedy::new("correct the name of the credential"),
            |secret| create("credentialName", &secret),
        ),
    }
    .add(uses, findings);
}

/// A Secret to create, or whose name is wrong in a field.
fn create(field: &str, secret: &ResourceName) -> Remedy {
    let text = format!(
        "correct {field}, or create {secret} from the files tls.crt, the certificate chain in PEM, and tls.key, \
         its private key"
    );
    match kubectl::create_tls_secret(secret) {
        Some(command) => Remedy::with_command(text, command),
        None => Remedy::new(text),
    }
}

/// Reports the listeners of the Gateway API without a usable Secret, about which the model knows what istiod found.
fn find_unprogrammed(context: &Context<'_>, findings: &mut Findings<'_>) {
    for listener in &context.input.model.unprogrammed {
        let hint = match &listener.reason {
            UnprogrammedReason::NotGranted { secret } => grant(listener, secret),
            UnprogrammedReason::NoSecret { secret } => create("tls.certificateRefs", secret),
            UnprogrammedReason::SameHost { .. }
            | UnprogrammedReason::NotAllowed { .. }
            | UnprogrammedReason::TooManyCertificates { .. }
            | UnprogrammedReason::NotASecret { .. }
            | UnprogrammedReason::BadSecret { .. } => continue,
        };
        findings.add(Finding::of_unprogrammed(
            Code::SecretMissing,
            listener,
            hint,
        ));
    }
}

/// A ReferenceGrant that lets a listener use a Secret of another namespace.
fn grant(listener: &Unprogrammed, secret: &ResourceName) -> Remedy {
    let from = &listener.server.resource;
    Remedy::with_command(
        format!(
            "create a ReferenceGrant in namespace {} with spec.from[0] {{group: {}, kind: {}, namespace: {}}} and \
             spec.to[0] {{group: \"\", kind: Secret, name: {}}}; see the grants of that namespace",
            secret.namespace,
            from.kind.group(),
            from.kind,
            from.namespace,
            secret.name
        ),
        kubectl::list(
            "referencegrants.gateway.networking.k8s.io",
            &secret.namespace,
        ),
    )
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
                let hint = Remedy::with_command(
                    format!(
                        "create the certificate in namespace {namespace}, and refer to it without a namespace; \
                         look up the Secrets there"
                    ),
                    kubectl::tls_secrets(namespace),
                );
                findings.add(
                    Finding::new(Code::SecretMissing, message, hint)
                        .at(workload, listener)
                        .with_owner(server),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::findings::Code;
    use crate::findings::tests::{Pki, messages_of};

    /// The message about a Gateway on pods of `istio-system` with a credential, beside another Gateway whose
    /// Secret is in the input.
    fn message(credential: &str) -> Option<String> {
        let input = Pki::for_names(&["a.example.com"]).server(&["a.example.com"]);
        let other = input
            .split("---\n")
            .next()
            .unwrap()
            .replace("name: gw,", "name: gw-b,")
            .replace("a.example.com", "b.example.com")
            .replace(
                "credentialName: w",
                &format!("credentialName: \"{credential}\""),
            );
        messages_of(&format!("{input}---\n{other}"), Code::SecretMissing).pop()
    }

    #[test]
    fn a_secret_of_another_namespace_is_withheld() {
        for credential in ["shop/w", "kubernetes://shop/w"] {
            assert_eq!(
                message(credential).as_deref(),
                Some(
                    "Gateway istio-system/gw-b servers[0] refers to Secret shop/w, but istiod gives the pods of \
                     istio-system/istio=ingressgateway only Secrets of their namespace istio-system: \
                     connections fail"
                )
            );
        }
    }

    #[test]
    fn a_secret_is_missing_beside_others_of_its_namespace() {
        assert_eq!(
            message("typo").as_deref(),
            Some(
                "the input has no Secret istio-system/typo, used by Gateway istio-system/gw-b servers[0]: \
                 connections fail if the cluster has none either"
            )
        );
        for credential in [
            "w",
            "kubernetes://w",
            "istio-system/w",
            "sds://typo",
            "builtin://",
        ] {
            assert_eq!(message(credential), None, "{credential}");
        }
    }

    #[test]
    fn without_other_secrets_of_the_namespace_nothing_is_known() {
        let input = Pki::for_names(&["a.example.com"]).server(&["a.example.com"]);
        let elsewhere = input.replace(
            "name: w, namespace: istio-system",
            "name: w, namespace: shop",
        );
        assert_ne!(elsewhere, input);
        assert_eq!(messages_of(&elsewhere, Code::SecretMissing), [""; 0]);
    }
}
