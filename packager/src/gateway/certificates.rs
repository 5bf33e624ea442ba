//! What is in the Secrets: the names and dates of certificates, and whether their keys are theirs.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rule::{Host, HostPattern};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::credential::Credential;
use super::resources::Resources;
use super::resources::kubernetes::Secret;

/// The certificate that a server shows: the first of its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The SHA-256 of the certificate, in hexadecimal.
    pub fingerprint: String,
    /// The DNS names it is good for (RFC 5280 §4.2.1.6), sorted. Those that no client takes, such as
    /// `a*.example.com`, are left out, and so is the common name.
    pub names: Vec<HostPattern>,
    /// The first moment it is valid.
    pub not_before: DateTime<Utc>,
    /// The last moment it is valid.
    pub not_after: DateTime<Utc>,
}

/// A text is no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotACertificate;

impl fmt::Display for NotACertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected an X.509 certificate in PEM")
    }
}

impl std::error::Error for NotACertificate {}

impl Certificate {
    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub fn parse(pem: &[u8]) -> Result<Self, NotACertificate> {
        Self::parse_der(&CertificateDer::from_pem_slice(pem).map_err(|_| NotACertificate)?)
    }

    /// Reads a certificate as TLS shows it (X.690).
    ///
    /// # Errors
    /// It is damaged.
    pub fn parse_der(der: &[u8]) -> Result<Self, NotACertificate> {
        let (_, found) = X509Certificate::from_der(der).map_err(|_| NotACertificate)?;
        let time = |seconds| DateTime::from_timestamp(seconds, 0).ok_or(NotACertificate);
        let validity = found.validity();
        Ok(Self {
            fingerprint: hex::encode(Sha256::digest(der)),
            names: names(&found)?,
            not_before: time(validity.not_before.timestamp())?,
            not_after: time(validity.not_after.timestamp())?,
        })
    }

    /// The name that makes it good for a host.
    #[must_use]
    pub fn name_for(&self, host: &str) -> Option<&HostPattern> {
        let host = Host::from_authority(host.as_bytes())?;
        self.names.iter().find(|name| name.certifies(host))
    }

    /// Whether it is good for some host of a pattern.
    #[must_use]
    pub fn suits(&self, pattern: &HostPattern) -> bool {
        self.names.iter().any(|name| pattern.is_certified_by(name))
    }
}

fn names(found: &X509Certificate<'_>) -> Result<Vec<HostPattern>, NotACertificate> {
    let extension = found.subject_alternative_name().map_err(|_| NotACertificate)?;
    let listed = extension.map(|extension| extension.value.general_names.as_slice());
    let dns = listed.unwrap_or_default().iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => HostPattern::try_from(*name).ok(),
        _ => None,
    });
    let mut names: Vec<HostPattern> = dns.collect();
    names.sort_by_cached_key(ToString::to_string);
    names.dedup();
    Ok(names)
}

/// Whether a private key is that of a certificate, by their public keys; `None` where either cannot
/// be read. Nothing of the key is kept or told.
pub(super) fn key_fits(certificate: &[u8], key: &[u8]) -> Option<bool> {
    let certificate = CertificateDer::from_pem_slice(certificate).ok()?;
    let (_, certificate) = X509Certificate::from_der(&certificate).ok()?;
    let key = PrivateKeyDer::from_pem_slice(key).ok()?;
    let key = any_supported_type(&key).ok()?;
    Some(certificate.public_key().raw == key.public_key()?.as_ref())
}

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
    pub(super) fn of(secret: &Secret) -> Self {
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
