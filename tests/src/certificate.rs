//! A certificate for the gateways under test.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CertifiedKey, DnType, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd, generate_simple_self_signed,
};

/// The files of a self-signed certificate and its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// PEM.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes a certificate for these names in a folder.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn generate(folder: &Path, names: &[&str]) -> Result<Self> {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(owned(names))?;
        Self::write(folder, &cert, &signing_key)
    }

    /// The same with the mark of an authority, as `openssl req -x509` makes it.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn generate_authority(folder: &Path, names: &[&str]) -> Result<Self> {
        let mut params = CertificateParams::new(owned(names))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Self::write(folder, &certificate, &key)
    }

    /// The same, issued by an authority of its own, as browsers want it: its certificate is returned
    /// too.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn issue(folder: &Path, names: &[&str]) -> Result<(Self, PathBuf)> {
        let mut authority = CertificateParams::default();
        authority
            .distinguished_name
            .push(DnType::CommonName, "sni-guard tests");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let mut params = CertificateParams::new(owned(names))?;
        (params.not_before, params.not_after) =
            (date_time_ymd(2026, 1, 1), date_time_ymd(2126, 1, 1));
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?;
        let files = Self::write(folder, &certificate, &key)?;
        let issuer = folder.join("authority.pem");
        fs::write(&issuer, authority.pem())?;
        Ok((files, issuer))
    }

    fn write(folder: &Path, certificate: &rcgen::Certificate, key: &KeyPair) -> Result<Self> {
        let files = Self {
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        };
        fs::write(&files.certificate, certificate.pem())?;
        fs::write(&files.key, key.serialize_pem())?;
        Ok(files)
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
