//! The certificates in Secrets.

use std::collections::HashMap;
use std::sync::Arc;

use rule::HostPattern;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificate::Certificate;
use super::credential::Credential;
use super::resources::secret::Secret;
use super::resources::{Metadata, Resources};

/// The certificates of all Secrets of the input.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    contents: HashMap<Credential, Contents>,
    /// The DNS names of the certificates that cert-manager issues, by the Secret that it writes.
    issued: HashMap<Credential, Vec<HostPattern>>,
}

/// The content of a Secret.
#[derive(Clone, Debug)]
pub enum Contents {
    /// The certificate, and whether the private key matches it (`None` if that is unknown).
    Known(Arc<Certificate>, Option<bool>),
    /// The Secret has no certificate, for example because a tool removed it from the input.
    Unreadable,
    /// The certificate is damaged, for example truncated. Envoy refuses it.
    Broken,
}

impl Contents {
    pub(crate) fn from_secret(secret: &Secret) -> Self {
        let Some(pem) = secret.certificate.as_deref() else {
            return Self::Unreadable;
        };
        // A placeholder shows that the cluster has a certificate, which the input does not show.
        if is_placeholder(pem) {
            return Self::Unreadable;
        }
        // Envoy loads the whole chain, so one damaged certificate is enough for it to refuse the Secret.
        match Certificate::parse(pem) {
            Ok(certificate) if is_whole(pem) => Self::Known(Arc::new(certificate), secret.key_fits),
            Ok(_) | Err(_) => Self::Broken,
        }
    }
}

/// Whether every certificate of the chain can be read. Envoy refuses a chain with a damaged one (it calls
/// `PEM_read_bio_X509` of its TLS library until no further certificate begins).
fn is_whole(pem: &[u8]) -> bool {
    CertificateDer::pem_slice_iter(pem)
        .all(|found| found.is_ok_and(|der| X509Certificate::from_der(&der).is_ok()))
}

/// Whether this is anything else than PEM, such as `REDACTED`, or what `REDACTED` is in base64.
fn is_placeholder(pem: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN";
    !pem.windows(BEGIN.len()).any(|window| window == BEGIN)
}

impl Certificates {
    /// Reads the certificates of all Secrets.
    #[must_use]
    pub fn new(resources: &Resources) -> Self {
        let mut found = Self::default();
        for secret in &resources.secrets {
            // Servers refer to a Secret by name, in the form to which their credentials are resolved.
            let credential = credential(&secret.metadata, &secret.metadata.name);
            found
                .contents
                .insert(credential, Contents::from_secret(secret));
        }
        for certificate in &resources.issued_certificates {
            let credential = credential(&certificate.metadata, &certificate.spec.secret_name);
            let names = certificate.names();
            // Without DNS names, what the issuer makes of the other names is unknown.
            if !names.is_empty() {
                found.issued.insert(credential, names);
            }
        }
        found
    }

    /// The content of a credential; `None` if the input does not contain its Secret.
    #[must_use]
    pub fn get(&self, credential: &Credential) -> Option<&Contents> {
        self.contents.get(credential)
    }

    /// The DNS names that cert-manager requests for a credential whose certificate the input does not show;
    /// `None` if no `Certificate` of the input describes it. The certificate is presumed to have them.
    #[must_use]
    pub fn presumed_names(&self, credential: &Credential) -> Option<&[HostPattern]> {
        match self.get(credential) {
            // A certificate that can be read is better evidence than the request for it.
            Some(Contents::Known(..) | Contents::Broken) => None,
            Some(Contents::Unreadable) | None => self.issued.get(credential).map(Vec::as_slice),
        }
    }

    /// The certificate of a credential, if it can be read.
    #[must_use]
    pub fn known(&self, credential: &Credential) -> Option<&Arc<Certificate>> {
        match self.get(credential)? {
            Contents::Known(certificate, _) => Some(certificate),
            Contents::Unreadable | Contents::Broken => None,
        }
    }
}

fn credential(metadata: &Metadata, secret: &str) -> Credential {
    Credential::Secret {
        namespace: metadata.namespace.clone(),
        name: secret.to_owned(),
    }
}
