//! The origin of a module, as annotations of its image.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail};
use gateway::advice::Advice;

use crate::digest::sha256;
use crate::image::Annotations;
use crate::module;

/// The annotations of an image. Annotations of the command line replace others.
pub(super) fn annotations(wasm: &[u8], overrides: &[String]) -> Result<Annotations> {
    let mut annotations = Annotations::from(
        [
            ("org.opencontainers.image.title", "sni-guard"),
            (
                "org.opencontainers.image.version",
                env!("CARGO_PKG_VERSION"),
            ),
            (
                "org.opencontainers.image.licenses",
                env!("CARGO_PKG_LICENSE"),
            ),
            // Gateways recognise an image with one module in a tar by this variant.
            ("module.wasm.image/variant", "compat"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    annotations.insert("sni-guard.plugin.sha256".into(), sha256(wasm));
    annotations.extend(build_programs(wasm)?);
    annotations.extend(checkout());
    for text in overrides {
        let (key, value) = parse(text)?;
        annotations.insert(key, value);
    }
    Ok(annotations)
}

/// The versions of the programs that determine the bytes of the module.
fn build_programs(wasm: &[u8]) -> Result<Vec<(String, String)>> {
    let producers = module::producers(wasm).context("reading which programs made the module")?;
    Ok(producers
        .into_iter()
        .filter(|(program, _)| ["rustc", "wasm-opt"].contains(&program.as_str()))
        .map(|(program, version)| (format!("sni-guard.build.{program}"), version))
        .collect())
}

/// The revision and the public URL of the checkout in the current folder; nothing elsewhere.
fn checkout() -> Vec<(String, String)> {
    let mut annotations = Vec::new();
    if let Some(revision) = git(&["rev-parse", "HEAD"]) {
        let is_dirty = git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
        let suffix = if is_dirty { "-dirty" } else { "" };
        annotations.push((
            "org.opencontainers.image.revision".into(),
            format!("{revision}{suffix}"),
        ));
    }
    if let Some(url) = git(&["remote", "get-url", "origin"])
        && is_public(&url)
    {
        annotations.push(("org.opencontainers.image.source".into(), url));
    }
    annotations
}

fn parse(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => bail!(Advice::new(
            format!("--annotation {text:?} does not have the form KEY=VALUE"),
            "write, for example, --annotation org.opencontainers.image.vendor=example"
        )),
    }
}

/// `SOURCE_DATE_EPOCH`, or 0: the image must not depend on the time of the build
/// (reproducible-builds.org).
pub(super) fn source_date_epoch() -> Result<u64> {
    match env::var("SOURCE_DATE_EPOCH") {
        Err(env::VarError::NotPresent) => Ok(0),
        Err(error) => Err(error).context("reading SOURCE_DATE_EPOCH"),
        Ok(text) => text
            .parse()
            .with_context(|| format!("SOURCE_DATE_EPOCH {text:?} is not a number of seconds")),
    }
}

/// The output of git in the current folder; `None` if git fails, for example outside a checkout.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Whether a URL is neither a local folder nor has credentials.
fn is_public(url: &str) -> bool {
    url.starts_with("https://") && !url.contains('@')
}
