//! The TLS settings of the probe: trusted authorities and the client certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use gateway::advice::Advice;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

use crate::commands::{certificates, files};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Certificates")]
pub(super) struct TrustArgs {
    /// Trust the certificates in this PEM file, in addition to the system's
    #[arg(long, value_name = "PATH", conflicts_with = "insecure_skip_tls_verify")]
    ca_file: Option<PathBuf>,
    /// Do not verify certificates
    #[arg(long)]
    insecure_skip_tls_verify: bool,
    /// The client certificate for servers that require one, with its chain, in PEM
    #[arg(long, value_name = "PATH", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// Its private key, in PEM
    #[arg(long, value_name = "PATH", requires = "client_cert")]
    client_key: Option<PathBuf>,
}

impl TrustArgs {
    /// The settings of the flags. Connections offer HTTP/2, then HTTP/1.1, as browsers do, and never
    /// resume a session: the verdict is about full handshakes.
    pub(super) fn read(&self) -> Result<Arc<ClientConfig>> {
        let provider = Arc::new(ring::default_provider());
        let verifier = self.verifier(&provider)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        // clap requires both files or none.
        let mut config = match self.client_cert.as_ref().zip(self.client_key.as_ref()) {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => config
                .with_client_auth_cert(certificates::read(certificate)?, read_key(key)?)
                .with_context(|| {
                    format!("using {} with {}", certificate.display(), key.display())
                })?,
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>> {
        // The signature of the handshake is still checked, so the certificate belongs to the
        // server.
        if self.insecure_skip_tls_verify {
            return Ok(Arc::new(AnyCertificate(Arc::clone(provider))));
        }
        let own = self
            .ca_file
            .as_deref()
            .map_or(Ok(Vec::new()), certificates::read)?;
        // The authorities of the system stay trusted, as in a browser.
        match Verifier::new_with_extra_roots(own, Arc::clone(provider)) {
            Ok(verifier) => Ok(Arc::new(verifier)),
            Err(error) => bail!(Advice::new(
                format!("preparing to verify certificates: {error}"),
                "give the certificates of trusted authorities with --ca-file"
            )),
        }
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    match PrivateKeyDer::from_pem_slice(&files::read(path)?) {
        Ok(key) => Ok(key),
        // The message of the library may quote the file, which holds the key.
        Err(pem::Error::NoItemsFound) => bail!(no_key(path, "the file has no private key")),
        Err(_) => bail!(no_key(path, "expected a private key in PEM")),
    }
}

fn no_key(path: &Path, problem: &str) -> Advice {
    Advice::new(
        format!("reading {}: {problem}", path.display()),
        "give a file with -----BEGIN PRIVATE KEY-----; openssl pkey removes a passphrase",
    )
}

/// The settings for one connection, with a flag that becomes true when the client presents its
/// certificate.
pub(super) fn noting_certificate(config: &ClientConfig) -> (Arc<ClientConfig>, Arc<AtomicBool>) {
    let shown = Arc::new(AtomicBool::new(false));
    // The resolver is the only part of the settings that differs between connections.
    let mut config = config.clone();
    config.client_auth_cert_resolver = Arc::new(Noting {
        resolver: config.client_auth_cert_resolver,
        shown: Arc::clone(&shown),
    });
    (Arc::new(config), shown)
}

/// Chooses the client certificate like `resolver`, and notes whether there was one.
#[derive(Debug)]
struct Noting {
    resolver: Arc<dyn ResolvesClientCert>,
    shown: Arc<AtomicBool>,
}

impl ResolvesClientCert for Noting {
    fn resolve(
        &self,
        authorities: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let found = self.resolver.resolve(authorities, schemes);
        self.shown.fetch_or(found.is_some(), Ordering::Relaxed);
        found
    }

    fn has_certs(&self) -> bool {
        self.resolver.has_certs()
    }
}

/// Accepts any certificate, if the server has its private key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
