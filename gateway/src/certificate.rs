//! Certificates: their names and dates, and whether a private key matches.

use core::net::IpAddr;
use std::fmt;

use chrono::{DateTime, Utc};
use rule::{Host, HostPattern};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, X509Certificate};

/// The certificate that a server presents: the first of its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The SHA-256 of the certificate, in hexadecimal.
    pub fingerprint: String,
    /// The DNS names in its subject alternative name (RFC 5280 §4.2.1.6), sorted. The common name is not
    /// one of them, and neither are names that clients ignore, such as `a*.example.com`.
    pub names: Vec<HostPattern>,
    /// The IP addresses in its subject alternative name, for clients that connect to an address.
    pub addresses: Vec<IpAddr>,
    /// The first moment it is valid.
    pub not_before: DateTime<Utc>,
    /// The last moment it is valid.
    pub not_after: DateTime<Utc>,
}

/// The error for data that is not a certificate.
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
    /// The text has no certificate, or the first one is damaged.
    pub fn parse(pem: &[u8]) -> Result<Self, NotACertificate> {
        Self::parse_der(&CertificateDer::from_pem_slice(pem).map_err(|_| NotACertificate)?)
    }

    /// Reads a certificate in the form that TLS transmits: DER (X.690).
    ///
    /// # Errors
    /// The certificate is damaged.
    pub fn parse_der(der: &[u8]) -> Result<Self, NotACertificate> {
        let (_, found) = X509Certificate::from_der(der).map_err(|_| NotACertificate)?;
        let validity = found.validity();
        Ok(Self {
            fingerprint: hex::encode(Sha256::digest(der)),
            names: names(&found)?,
            addresses: addresses(&found)?,
            not_before: time(validity.not_before)?,
            not_after: time(validity.not_after)?,
        })
    }

    /// The name of the certificate that matches a host.
    #[must_use]
    pub fn name_for(&self, host: &str) -> Option<&HostPattern> {
        let host = Host::from_authority(host.as_bytes());
        self.names.iter().find(|name| name.certifies(host))
    }

    /// Whether the certificate matches some host of a pattern, or an IP address that the pattern includes.
    #[must_use]
    pub(crate) fn suits(&self, pattern: &HostPattern) -> bool {
        self.names.iter().any(|name| pattern.is_certified_by(name))
            || self
                .addresses
                .iter()
                .any(|address| includes(pattern, *address))
    }
}

/// Whether a server with the pattern as its host answers clients that connect to an IP address. Such clients
/// send no SNI (RFC 6066 §3), so only a server for all hosts has their connections.
fn includes(pattern: &HostPattern, address: IpAddr) -> bool {
    match pattern {
        HostPattern::Any => true,
        HostPattern::Exact(_) => pattern.to_string() == address.to_string(),
        HostPattern::Suffix(_) => false,
    }
}

fn time(time: ASN1Time) -> Result<DateTime<Utc>, NotACertificate> {
    DateTime::from_timestamp(time.timestamp(), 0).ok_or(NotACertificate)
}

fn names(found: &X509Certificate<'_>) -> Result<Vec<HostPattern>, NotACertificate> {
    let extension = found
        .subject_alternative_name()
        .map_err(|_| NotACertificate)?;
    // Clients have ignored the common name for years (RFC 6125 §6.4.4).
    let mut names: Vec<HostPattern> = extension
        .into_iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => HostPattern::try_from(*name).ok(),
            _ => None,
        })
        .collect();
    // A certificate can list a name twice, or in upper and lower case.
    names.sort_by_cached_key(ToString::to_string);
    names.dedup();
    Ok(names)
}

/// The IP addresses of a certificate. An address has 4 or 16 octets (RFC 5280 §4.2.1.6).
fn addresses(found: &X509Certificate<'_>) -> Result<Vec<IpAddr>, NotACertificate> {
    let extension = found
        .subject_alternative_name()
        .map_err(|_| NotACertificate)?;
    Ok(extension
        .into_iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::IPAddress(octets) => address(octets),
            _ => None,
        })
        .collect())
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Some(octets.into());
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}

/// Whether a private key matches a certificate, by their public keys; `None` if either cannot be read. The
/// key is not stored.
pub(crate) fn key_fits(certificate: &[u8], key: &[u8]) -> Option<bool> {
    // Both public keys in the form of a SubjectPublicKeyInfo: equal keys have equal octets.
    let certificate = CertificateDer::from_pem_slice(certificate).ok()?;
    let (_, certificate) = X509Certificate::from_der(&certificate).ok()?;
    let key = PrivateKeyDer::from_pem_slice(key).ok()?;
    let key = any_supported_type(&key).ok()?;
    Some(certificate.public_key().raw == key.public_key()?.as_ref())
}
