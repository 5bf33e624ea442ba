//! Reads files with errors that name the file, and writes files atomically.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use crate::console::Console;

/// Reads a file. The error names it.
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

/// Writes a file and creates its folders. A reader sees the old content or the new one, never a part.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_file(path, bytes).with_context(|| format!("writing {}", path.display()))
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    // A rename is atomic only within one file system, so the temporary file is in the same folder.
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    make_readable(file.as_file())?;
    file.persist(path)?;
    Ok(())
}

/// Only the owner can read a temporary file. The file that replaces it must have ordinary permissions.
#[cfg(unix)]
fn make_readable(file: &fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_: &fs::File) -> std::io::Result<()> {
    Ok(())
}
