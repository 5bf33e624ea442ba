//! What `tests/istio/setup` installs; it reads the versions from here.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail};
use packager::digest::sha256;

use crate::tools::{cache, checkout};

/// The version of the API server and of kubectl.
pub const KUBERNETES_VERSION: &str = "1.34.2";

/// The version of istiod, its agent and istioctl: the head of the branch of Istio 1.31. Istio's tags
/// are not Go modules, its commits are.
pub const ISTIO_VERSION: &str = "v0.0.0-20260827124520-eed52ebb66ad";

/// A program of Kubernetes.
///
/// # Errors
/// It is not installed.
pub fn kubernetes_program(name: &str) -> Result<PathBuf> {
    installed(&format!("kubernetes-{KUBERNETES_VERSION}/{name}"))
}

/// A program of Istio, or a file that comes with it.
///
/// # Errors
/// It is not installed.
pub fn istio_file(name: &str) -> Result<PathBuf> {
    installed(&format!("istio-{ISTIO_VERSION}/{name}"))
}

/// The program that pulls an image with the code of Istio's agent, `tests/istio/fetch.go`.
///
/// # Errors
/// It is not installed as it is now.
pub fn fetch_program() -> Result<PathBuf> {
    let source = fs::read(checkout().join("tests/istio/fetch.go"))?;
    let digest = sha256(&source);
    let digest = digest
        .trim_start_matches("sha256:")
        .get(..12)
        .unwrap_or_default();
    installed(&format!("istio-fetch-{ISTIO_VERSION}-{digest}/fetch"))
}

fn installed(path: &str) -> Result<PathBuf> {
    let path = cache()?.join(path);
    if !path.is_file() {
        bail!("{} is not there: run `tests/istio/setup`", path.display());
    }
    Ok(path)
}
