//! Which certificates of registries are trusted: those of the system's authorities, those of the
//! authorities of `--ca-file`, and the certificates in `--ca-file` themselves.

use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// The TLS settings that trust some certificates in addition to the system's authorities.
pub(super) fn client_config(trusted: &[CertificateDer<'static>]) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let authorities =
        Verifier::new_with_extra_roots(trusted.iter().cloned(), Arc::clone(&provider))
            .context("preparing to verify certificates")?;
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustedOrListed {
            authorities,
            listed: trusted.to_vec(),
        }))
        .with_no_client_auth())
}

/// Whether the only problem is that a server has the certificate of an authority. The type of this error is
/// private to the library (rustls-webpki `error.rs`).
pub(super) fn is_authority_as_server(error: &CertificateError) -> bool {
    match error {
        CertificateError::Other(other) => other.0.to_string() == "CaUsedAsEndEntity",
        _ => false,
    }
}

/// Accepts what the authorities issued, and a self-signed certificate that is listed itself: `openssl req
/// -x509` marks such a certificate as one of an authority, and Go accepts it.
#[derive(Debug)]
struct TrustedOrListed {
    authorities: Verifier,
    listed: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for TrustedOrListed {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self
            .authorities
            .verify_server_cert(certificate, chain, name, ocsp, now)
        {
            // The library checks the dates before this error, but not the name.
            Err(Error::InvalidCertificate(error))
                if is_authority_as_server(&error)
                    && self.listed.iter().any(|listed| listed == certificate) =>
            {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
