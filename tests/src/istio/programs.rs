//! What `tests/istio/setup` installs; it reads the versions from here.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::tools::cache;

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

fn installed(path: &str) -> Result<PathBuf> {
    let path = cache()?.join(path);
    if !path.is_file() {
        bail!("{} is not there: run `tests/istio/setup`", path.display());
    }
    Ok(path)
}
