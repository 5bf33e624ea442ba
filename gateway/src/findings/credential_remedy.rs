//! Hints about the certificate of a credential: the resource that has it, and the command that shows it.

use super::{Remedy, kubectl};
use crate::Credential;
use crate::resources::Resources;
use crate::resources::secret::IssuedCertificate;

/// A change of a certificate, with the command that shows who writes it.
pub(super) fn renew(text: &str, credential: &Credential, resources: &Resources) -> Remedy {
    // cert-manager writes the reason into the status and the events of its `Certificate`.
    if let Some(issuer) = issuer_of(credential, resources) {
        let metadata = &issuer.metadata;
        return Remedy::with_command(
            format!(
                "{text}; cert-manager has the reason in Certificate {}/{}",
                metadata.namespace, metadata.name
            ),
            kubectl::describe_issued_certificate(&metadata.namespace, &metadata.name),
        );
    }
    show(text, credential)
}

/// A change of the contents of a Secret, with the command that shows its keys and annotations.
pub(super) fn show(text: &str, credential: &Credential) -> Remedy {
    match credential.secret() {
        Some(secret) => Remedy::with_command(
            format!("{text}; see who writes {secret}"),
            kubectl::describe(&secret),
        ),
        // Files in the pod and other providers of certificates are not resources.
        None => Remedy::new(text),
    }
}

/// The `Certificate` of cert-manager that writes a credential.
pub(super) fn issuer_of<'r>(
    credential: &Credential,
    resources: &'r Resources,
) -> Option<&'r IssuedCertificate> {
    match credential {
        Credential::Secret { namespace, name } => {
            resources.issued_certificates.iter().find(|issuer| {
                issuer.metadata.namespace == *namespace && issuer.spec.secret_name == *name
            })
        }
        Credential::File(_) | Credential::Workload | Credential::Unknown(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::renew;
    use crate::Credential;
    use crate::findings::tests::resources;
    use crate::findings::{Command, Remedy};

    const ISSUED: &str = "{apiVersion: cert-manager.io/v1, kind: Certificate, \
         metadata: {name: wildcard, namespace: istio-system}, spec: {secretName: w, dnsNames: [a.test]}}";

    fn remedy(credential: &Credential, text: &str) -> Remedy {
        renew("renew it", credential, &resources(text))
    }

    fn secret(namespace: &str) -> Credential {
        Credential::Secret {
            namespace: namespace.into(),
            name: "w".into(),
        }
    }

    #[test]
    fn the_certificate_of_cert_manager_has_the_reason() {
        let object = |remedy: Remedy| match remedy.command {
            Some(Command::Kubectl(words)) => words[1].clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            object(remedy(&secret("istio-system"), ISSUED)),
            "certificates.cert-manager.io/wildcard"
        );
        // The Secret of another namespace is another one.
        assert_eq!(object(remedy(&secret("shop"), ISSUED)), "secret/w");
        let file = remedy(&Credential::File("/etc/certs".into()), ISSUED);
        assert_eq!(file, Remedy::new("renew it"));
    }
}
