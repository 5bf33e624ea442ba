//! What is in the Secrets.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificate::Certificate;
use super::credential::Credential;
use super::resources::Resources;
use super::resources::kubernetes::Secret;

/// The certificates of the Secrets that were read.
#[derive(Clone, Debug, Default)]
pub struct Certificates(HashMap<Credential, Contents>);

/// What is known of a credential.
#[derive(Clone, Debug)]
pub enum Contents {
    /// The certificate, and whether the key beside it is its own.
    Known(Arc<Certificate>, Option<bool>),
    /// A Secret that is there without its certificate, such as one from which it was removed.
    Unreadable,
    /// What is there is a certificate that nobody can read, such as half of one. Envoy refuses it.
    Broken,
}

impl Contents {
    pub(crate) fn of(secret: &Secret) -> Self {
        match secret.certificate.as_deref() {
            Some(pem) => match Certificate::parse(pem) {
                Ok(certificate) if is_whole(pem) => {
                    Self::Known(Arc::new(certificate), secret.key_fits)
                }
                _ if is_placeholder(pem) => Self::Unreadable,
                _ => Self::Broken,
            },
            None => Self::Unreadable,
        }
    }
}

/// Whether the whole chain can be read. Envoy does not take the first part of one (`PEM_read_bio_X509`
/// of its TLS library, until there is nothing more that begins).
fn is_whole(pem: &[u8]) -> bool {
    CertificateDer::pem_slice_iter(pem)
        .all(|found| found.is_ok_and(|der| X509Certificate::from_der(&der).is_ok()))
}

/// Whether this is a text that somebody put in the place of a certificate.
fn is_placeholder(pem: &[u8]) -> bool {
    std::str::from_utf8(pem).is_ok_and(|text| !text.contains("-----BEGIN"))
}

impl Certificates {
    /// Reads the certificates of all Secrets.
    #[must_use]
    pub fn of(resources: &Resources) -> Self {
        let contents = resources.secrets.iter().map(|secret| {
            let credential = Credential::Secret {
                namespace: secret.metadata.namespace.clone(),
                name: secret.metadata.name.clone(),
            };
            (credential, Contents::of(secret))
        });
        Self(contents.collect())
    }

    /// What a credential stands for; `None` where the input does not have it.
    #[must_use]
    pub fn get(&self, credential: &Credential) -> Option<&Contents> {
        self.0.get(credential)
    }

    /// The certificate of a credential, where it is known.
    #[must_use]
    pub fn known(&self, credential: &Credential) -> Option<&Arc<Certificate>> {
        match self.get(credential)? {
            Contents::Known(certificate, _) => Some(certificate),
            Contents::Unreadable | Contents::Broken => None,
        }
    }
}
