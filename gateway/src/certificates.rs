//! The certificates in Secrets.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificate::Certificate;
use super::credential::Credential;
use super::resources::Resources;
use super::resources::kubernetes::Secret;

/// The certificates of all Secrets of the input.
#[derive(Clone, Debug, Default)]
pub struct Certificates(HashMap<Credential, Contents>);

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

/// Whether this is a text instead of a certificate, such as `REDACTED`.
fn is_placeholder(pem: &[u8]) -> bool {
    std::str::from_utf8(pem).is_ok_and(|text| !text.contains("-----BEGIN"))
}

impl Certificates {
    /// Reads the certificates of all Secrets.
    #[must_use]
    pub fn new(resources: &Resources) -> Self {
        let mut contents = HashMap::new();
        for secret in &resources.secrets {
            // Servers refer to a Secret by name, in the form to which their credentials are resolved.
            let credential = Credential::Secret {
                namespace: secret.metadata.namespace.clone(),
                name: secret.metadata.name.clone(),
            };
            contents.insert(credential, Contents::from_secret(secret));
        }
        Self(contents)
    }

    /// The content of a credential; `None` if the input does not contain its Secret.
    #[must_use]
    pub fn get(&self, credential: &Credential) -> Option<&Contents> {
        self.0.get(credential)
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
