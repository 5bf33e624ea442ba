//! Secrets with certificates that are made anew for each test.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

/// A certificate and a private key, PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Pair {
    /// Makes a certificate for these names, valid from 2020 until a year begins.
    ///
    /// # Errors
    /// A name is none.
    pub fn generate(names: &[&str], until: i32) -> Result<Self> {
        let mut params = params(names)?;
        params.not_after = date_time_ymd(until, 1, 1);
        Self::sign(&params)
    }

    /// Makes a certificate for these names, valid from 2020 until some days and some hours after now.
    ///
    /// # Errors
    /// A name is none.
    pub fn generate_for_days(names: &[&str], days: u64) -> Result<Self> {
        let mut params = params(names)?;
        // Half a day more, so that the number of whole days is the same while a test runs.
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let left = Duration::from_hours(days * 24 + 12);
        params.not_after = date_time_ymd(1970, 1, 1) + now + left;
        Self::sign(&params)
    }

    fn sign(params: &CertificateParams) -> Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self {
            certificate,
            key: key.serialize_pem(),
        })
    }

    /// A Secret with both.
    ///
    /// # Errors
    /// The name is not of the form `NAMESPACE/NAME`.
    pub fn secret(&self, name: &str) -> Result<String> {
        let (namespace, name) = name
            .split_once('/')
            .context("a Secret without a namespace")?;
        Ok(format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             data: {{tls.crt: {}, tls.key: {}}}\n",
            STANDARD.encode(&self.certificate),
            STANDARD.encode(&self.key)
        ))
    }
}

fn params(names: &[&str]) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.not_before = date_time_ymd(2020, 1, 1);
    Ok(params)
}
