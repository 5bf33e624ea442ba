//! Files: read with an error that names them, written whole or not at all.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use gateway::advice::Advice;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::NamedTempFile;

use crate::console::Console;
use crate::settings::Settings;

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// Reads a text file, or standard input for `-`.
pub(crate) fn read_text(path: &Path, console: &mut Console<'_>) -> Result<String> {
    if path != Path::new("-") {
        return fs::read_to_string(path).with_context(|| format!("reading {}", path.display()));
    }
    let mut text = String::new();
    console
        .input
        .read_to_string(&mut text)
        .context("reading standard input")?;
    Ok(text)
}

/// Reads all certificates of a PEM file; one at least.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.with_context(|| format!("reading {}", path.display()))?;
    if certificates.is_empty() {
        bail!(Advice::new(
            format!("reading {}: it has no PEM certificate", path.display()),
            "give a file with -----BEGIN CERTIFICATE-----; openssl x509 -inform der makes one of DER"
        ));
    }
    Ok(certificates)
}

/// Reads the filter's configuration, an empty one when there is no file.
pub(crate) fn read_settings(path: Option<&Path>, console: &mut Console<'_>) -> Result<Settings> {
    let Some(path) = path else {
        return Ok(Settings::default());
    };
    let text = read_text(path, console)?;
    Settings::parse(&text).with_context(|| origin(Some(path)))
}

/// What a message about the configuration calls it.
pub(crate) fn origin(path: Option<&Path>) -> String {
    match path {
        None => "configuration".into(),
        Some(path) => format!("configuration {}", path.display()),
    }
}

/// Writes a file in one step, with the folders it needs.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_file(path, bytes).with_context(|| format!("writing {}", path.display()))
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    make_readable(file.as_file())?;
    file.persist(path)?;
    Ok(())
}

/// A temporary file is its owner's alone; what replaces an ordinary file is not.
#[cfg(unix)]
fn make_readable(file: &fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_: &fs::File) -> std::io::Result<()> {
    Ok(())
}
