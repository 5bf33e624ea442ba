//! Compiles the filter with cargo.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use gateway::advice::Advice;
use serde::Deserialize;

use crate::commands::files;
use crate::console::Console;

const TARGET: &str = "wasm32-wasip1";

/// Compiles the filter of the checkout in the current folder. Cargo writes its messages to stderr itself.
pub(super) fn compile(console: &mut Console<'_>) -> Result<Vec<u8>> {
    let workspace = workspace()?;
    require_target(&workspace)?;
    console.message(format_args!("compiling the filter for {TARGET}"));
    // The messages in JSON name the file of the module, wherever the target folder is.
    let output = Command::new(cargo())
        .args([
            "build",
            "--locked",
            "--package",
            "filter",
            "--profile",
            "module",
        ])
        .args([
            "--target",
            TARGET,
            "--message-format",
            "json-render-diagnostics",
        ])
        .current_dir(&workspace)
        .env("CARGO_ENCODED_RUSTFLAGS", remapped_paths(&workspace)?)
        .env_remove("RUSTFLAGS")
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo")?;
    if !output.status.success() {
        bail!("building the filter: cargo failed, {}", output.status);
    }
    files::read(&module_path(&output.stdout)?)
}

fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The root of the checkout.
fn workspace() -> Result<PathBuf> {
    let arguments = ["locate-project", "--workspace", "--message-format", "plain"];
    let output = Command::new(cargo())
        .args(arguments)
        .output()
        .map_err(|error| {
            Advice::new(
                format!("running cargo: {error}"),
                "install Rust: https://rustup.rs",
            )
        })?;
    let manifest = PathBuf::from(first_line(&output));
    match manifest.parent() {
        Some(folder) if folder.join("filter/Cargo.toml").is_file() => Ok(folder.to_owned()),
        _ => bail!(Advice::new(
            "building the filter: the current folder is not in a checkout of sni-guard",
            "run the command in a checkout, or give a built module with --module if the command has it"
        )),
    }
}

fn require_target(workspace: &Path) -> Result<()> {
    let folder = rustc(workspace, &["--print", "target-libdir", "--target", TARGET])?;
    if Path::new(&folder).is_dir() {
        return Ok(());
    }
    bail!(Advice::new(
        format!("building the filter: Rust's target {TARGET} is not installed"),
        "run `rustup toolchain install` in the checkout"
    ))
}

/// Flags that remove the folders of this machine from the module. Otherwise the digest of the module would
/// depend on the machine.
fn remapped_paths(workspace: &Path) -> Result<String> {
    let mut folders = vec![
        (workspace.to_owned(), "/sni-guard".to_owned()),
        (cargo_home()?, "/cargo".to_owned()),
    ];
    // The folder of a dependency depends on the registry: a mirror has another one.
    folders.extend(
        source_folders(workspace)?
            .into_iter()
            .map(|path| (path, "/crates".to_owned())),
    );
    // With rust-src installed, paths of the standard library are folders of this machine.
    let sysroot = PathBuf::from(rustc(workspace, &["--print", "sysroot"])?);
    folders.push((sysroot.join("lib/rustlib/src/rust"), "/rustc".to_owned()));
    let flags: Vec<String> = folders
        .iter()
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
        .collect();
    // CARGO_ENCODED_RUSTFLAGS separates flags by this character, so that paths may have blanks.
    Ok(flags.join("\u{1f}"))
}

/// The folders with the sources of dependencies. `cargo metadata` downloads and unpacks them.
fn source_folders(workspace: &Path) -> Result<BTreeSet<PathBuf>> {
    let output = Command::new(cargo())
        .args([
            "metadata",
            "--locked",
            "--format-version",
            "1",
            "--filter-platform",
            TARGET,
        ])
        .current_dir(workspace)
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", output.status);
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("reading the output of cargo metadata")?;
    Ok(metadata
        .packages
        .iter()
        .filter(|package| package.source.is_some())
        .filter_map(|package| Some(package.manifest_path.ancestors().nth(2)?.into()))
        .collect())
}

/// The output of `cargo metadata`, as far as it is used.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    /// None for a member of the workspace.
    source: Option<String>,
    manifest_path: PathBuf,
}

fn cargo_home() -> Result<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))
        .context("finding the home folder of cargo")
}

fn rustc(workspace: &Path, arguments: &[&str]) -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(arguments)
        .current_dir(workspace)
        .output()
        .context("running rustc")?;
    if !output.status.success() {
        bail!(
            "rustc {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(first_line(&output))
}

fn first_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// A message of cargo, as far as it is used (cargo book, "External tools").
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

fn module_path(messages: &[u8]) -> Result<PathBuf> {
    for line in messages.split(|byte| *byte == b'\n') {
        if line.is_empty() {
            continue;
        }
        let message: Message =
            serde_json::from_slice(line).context("reading the messages of cargo build")?;
        // Other messages are about dependencies and build scripts.
        if message.reason == "compiler-artifact"
            && let Some(module) = message
                .filenames
                .into_iter()
                .find(|path| path.ends_with("filter.wasm"))
        {
            return Ok(module);
        }
    }
    bail!("cargo did not build filter.wasm")
}
