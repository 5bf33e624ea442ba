//! Binaryen's `wasm-opt` program.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use gateway::advice::Advice;

use crate::module;

pub(super) struct Optimizer {
    program: PathBuf,
    version: String,
}

impl Optimizer {
    /// Finds the program and its version, so that a missing program is reported before the build.
    pub(super) fn find(program: &Path) -> Result<Self> {
        let output = Command::new(program)
            .arg("--version")
            .output()
            .map_err(|error| {
                Advice::new(
                    format!("running {}: {error}", program.display()),
                    "install Binaryen (Debian: apt-get install binaryen; npm: binaryen), name the \
                 program with --wasm-opt, or leave it out with --no-optimize",
                )
            })?;
        let text = String::from_utf8_lossy(&output.stdout);
        // The version is an annotation of the image, without the name of the program.
        let version = text
            .trim()
            .strip_prefix("wasm-opt version ")
            .unwrap_or_else(|| text.trim());
        if !output.status.success() || version.is_empty() {
            bail!(
                "{} --version prints no version, {}",
                program.display(),
                output.status
            );
        }
        Ok(Self {
            program: program.to_owned(),
            version: version.to_owned(),
        })
    }

    /// The version of the program. Another version may make other bytes.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Optimises the module for speed, with only the features that the module declares.
    pub(super) fn run(&self, wasm: &[u8]) -> Result<Vec<u8>> {
        let folder = tempfile::tempdir().context("making a folder for wasm-opt")?;
        let (input, output) = (
            folder.path().join("in.wasm"),
            folder.path().join("out.wasm"),
        );
        fs::write(&input, wasm).context("writing the module for wasm-opt")?;
        // By default wasm-opt would enable more features, which Envoy may not support.
        let result = Command::new(&self.program)
            .args([
                OsStr::new("-O3"),
                OsStr::new("--strip-debug"),
                OsStr::new("--mvp-features"),
            ])
            .args(feature_flags(&module::inspect(wasm)?.features))
            .args([input.as_os_str(), OsStr::new("-o"), output.as_os_str()])
            .output()
            .with_context(|| format!("running {}", self.program.display()))?;
        if !result.status.success() {
            let message = String::from_utf8_lossy(&result.stderr);
            bail!(
                "{} does not accept the module: {}",
                self.program.display(),
                message.trim()
            );
        }
        fs::read(&output).context("reading the output of wasm-opt")
    }
}

/// The flags of wasm-opt for features as compilers name them. Some names of compilers are parts of a
/// feature of wasm-opt.
fn feature_flags(features: &[String]) -> Vec<String> {
    features
        .iter()
        .map(|feature| match feature.as_str() {
            "bulk-memory-opt" => "bulk-memory",
            "call-indirect-overlong" => "reference-types",
            "nontrapping-fptoint" => "nontrapping-float-to-int",
            "simd128" => "simd",
            other => other,
        })
        .map(|name| format!("--enable-{name}"))
        .collect()
}
