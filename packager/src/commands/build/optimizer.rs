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
    /// Checks that the program runs, before anything is built.
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
        let version = text
            .trim()
            .strip_prefix("wasm-opt version ")
            .unwrap_or_else(|| text.trim());
        if !output.status.success() || version.is_empty() {
            bail!(
                "{} --version tells no version, {}",
                program.display(),
                output.status
            );
        }
        Ok(Self {
            program: program.to_owned(),
            version: version.to_owned(),
        })
    }

    /// The version of the program: another one makes another module.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Optimises for speed, with the features that the module declares and no others.
    pub(super) fn run(&self, wasm: &[u8]) -> Result<Vec<u8>> {
        let folder = tempfile::tempdir().context("making a folder for wasm-opt")?;
        let (input, output) = (
            folder.path().join("in.wasm"),
            folder.path().join("out.wasm"),
        );
        fs::write(&input, wasm).context("writing the module for wasm-opt")?;
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
                "{} refused the module: {}",
                self.program.display(),
                message.trim()
            );
        }
        fs::read(&output).context("reading what wasm-opt wrote")
    }
}

/// The flags for features as compilers name them. Names that wasm-opt does not share stand for
/// parts of features that it knows.
fn feature_flags(features: &[String]) -> Vec<String> {
    let names = features.iter().map(|feature| match feature.as_str() {
        "bulk-memory-opt" => "bulk-memory",
        "call-indirect-overlong" => "reference-types",
        "nontrapping-fptoint" => "nontrapping-float-to-int",
        "simd128" => "simd",
        other => other,
    });
    names.map(|name| format!("--enable-{name}")).collect()
}
