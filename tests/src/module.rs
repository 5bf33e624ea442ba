//! The built module, made by `packager build` as users make it.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

use crate::process::packager;
use crate::tools::checkout;

/// Builds the module, once per test program, and returns its file.
///
/// # Errors
/// It cannot be built, or Envoy would not load it.
pub fn build() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build_once().map_err(|error| format!("{error:#}")));
    built.clone().map_err(anyhow::Error::msg)
}

fn build_once() -> Result<PathBuf> {
    let path = checkout().join("dist/sni-guard.wasm");
    let out = path
        .to_str()
        .context("the path of the checkout is not UTF-8")?;
    let run = packager(&["build", "--max-size", "120KiB", "--out", out]);
    ensure!(run.status == 0, "packager build: {}", run.talk);
    Ok(path)
}
