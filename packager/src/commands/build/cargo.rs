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

/// Compiles the filter of the checkout that this runs in. Cargo talks to the terminal itself.
pub(super) fn compile(console: &mut Console<'_>) -> Result<Vec<u8>> {
    let workspace = workspace()?;
    require_target(&workspace)?;
    console.say(format_args!("compiling the filter for {TARGET}"));
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
        bail!("cargo could not build the filter, {}", output.status);
    }
    files::read(&module_path(&output.stdout)?)
}

fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The folder of the checkout.
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
            "building the filter: this folder is in no checkout of sni-guard",
            "run it in a checkout, or give a built module with --module where a command has it"
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

/// Flags that keep the folders of this machine out of the module: without them it would have other
/// octets, and so another digest, for everyone.
fn remapped_paths(workspace: &Path) -> Result<String> {
    let mut folders = vec![
        (workspace.to_owned(), "/sni-guard".to_owned()),
        (cargo_home()?, "/cargo".to_owned()),
    ];
    // Where a registry's sources lie depends on the registry, a mirror for one.
    folders.extend(
        source_folders(workspace)?
            .into_iter()
            .map(|path| (path, "/crates".to_owned())),
    );
    // With rust-src installed, the standard library's paths are real ones.
    let sysroot = PathBuf::from(rustc(workspace, &["--print", "sysroot"])?);
    folders.push((sysroot.join("lib/rustlib/src/rust"), "/rustc".to_owned()));
    let flags = folders
        .iter()
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    Ok(flags.collect::<Vec<_>>().join("\u{1f}"))
}

/// The folders that hold the sources of dependencies. They are there afterwards: cargo unpacks what
/// it tells about.
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
        serde_json::from_slice(&output.stdout).context("reading what cargo metadata says")?;
    let manifests = metadata
        .packages
        .iter()
        .filter(|package| package.source.is_some());
    Ok(manifests
        .filter_map(|package| Some(package.manifest_path.ancestors().nth(2)?.into()))
        .collect())
}

/// What cargo metadata says, as far as it matters here.
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
    let home = || env::home_dir().map(|home| home.join(".cargo"));
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .context("finding cargo's home")
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

/// One of cargo's messages, as far as it matters here (cargo book, "External tools").
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

fn module_path(messages: &[u8]) -> Result<PathBuf> {
    for line in messages
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let message: Message =
            serde_json::from_slice(line).context("reading what cargo says it built")?;
        if message.reason == "compiler-artifact"
            && let Some(module) = message
                .filenames
                .iter()
                .find(|path| path.ends_with("filter.wasm"))
        {
            return Ok(module.clone());
        }
    }
    bail!("cargo built no filter.wasm")
}
