//! Where a module comes from, as the annotations of its image.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail};
use gateway::advice::Advice;

use crate::digest::sha256;
use crate::image::Annotations;
use crate::module;

/// The annotations of an image: what the module tells, what the checkout tells, then what the
/// command line says.
pub(super) fn annotations(wasm: &[u8], overrides: &[String]) -> Result<Annotations> {
    let mut annotations = Annotations::new();
    let mut set = |key: &str, value: String| annotations.insert(key.to_owned(), value);
    set("org.opencontainers.image.title", "sni-guard".into());
    set(
        "org.opencontainers.image.version",
        env!("CARGO_PKG_VERSION").into(),
    );
    set(
        "org.opencontainers.image.licenses",
        env!("CARGO_PKG_LICENSE").into(),
    );
    // The name by which consumers know that the layer is a tar with one module.
    set("module.wasm.image/variant", "compat".into());
    set("sni-guard.plugin.sha256", sha256(wasm));
    for (program, version) in module::producers(wasm).context("reading what made the module")? {
        if ["rustc", "wasm-opt"].contains(&program.as_str()) {
            set(&format!("sni-guard.build.{program}"), version);
        }
    }
    if let Some(revision) = git(&["rev-parse", "HEAD"]) {
        let dirty = git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
        let suffix = if dirty { "-dirty" } else { "" };
        set(
            "org.opencontainers.image.revision",
            format!("{revision}{suffix}"),
        );
    }
    if let Some(source) = git(&["remote", "get-url", "origin"]).filter(|url| is_public(url)) {
        set("org.opencontainers.image.source", source);
    }
    for text in overrides {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => set(key, value.to_owned()),
            _ => bail!(Advice::new(
                format!("--annotation {text:?} is not of the form KEY=VALUE"),
                "write, for example, --annotation org.opencontainers.image.vendor=example"
            )),
        };
    }
    Ok(annotations)
}

/// `SOURCE_DATE_EPOCH`, or 0: an image has no time of day (reproducible-builds.org).
pub(super) fn source_date_epoch() -> Result<u64> {
    match env::var("SOURCE_DATE_EPOCH") {
        Err(env::VarError::NotPresent) => Ok(0),
        Err(error) => Err(error).context("reading SOURCE_DATE_EPOCH"),
        Ok(text) => text
            .parse()
            .with_context(|| format!("SOURCE_DATE_EPOCH {text:?} is no number of seconds")),
    }
}

/// What git says about the checkout that this runs in; `None` elsewhere.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Not a folder, and without credentials.
fn is_public(url: &str) -> bool {
    url.starts_with("https://") && !url.contains('@')
}
