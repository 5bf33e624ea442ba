//! Certificates in PEM files.

use std::path::Path;

use anyhow::{Context, Result, bail};
use gateway::advice::Advice;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::files;

/// Reads all certificates of a file. A file without any is an error.
pub(crate) fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = files::read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("reading {}", path.display()))?;
    // The parser skips everything that is not PEM, so a file in DER has no certificate.
    if certificates.is_empty() {
        bail!(Advice::new(
            format!(
                "reading {}: the file has no PEM certificate",
                path.display()
            ),
            "give a file with -----BEGIN CERTIFICATE-----; openssl x509 -inform der converts DER"
        ));
    }
    Ok(certificates)
}
