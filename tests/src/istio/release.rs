//! The filter's way to a gateway, as operators go it: `packager push`, `packager manifest`.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{A, B, Gateway, text};
use crate::module;
use crate::process::{packager, packager_with_input};

/// Pushes the built module to the gateway's registry and returns the image, pinned by its digest.
///
/// # Errors
/// The module cannot be built or pushed.
pub fn push(gateway: &Gateway) -> Result<String> {
    let reference = format!("{}:1", repository(gateway));
    let run = packager(&["push", &reference, "--module", text(&module::build()?)?]);
    ensure!(run.status == 0, "packager push: {}", run.talk);
    Ok(run
        .out
        .lines()
        .last()
        .context("packager push printed nothing")?
        .to_owned())
}

/// An image that is not in the gateway's registry.
#[must_use]
pub fn missing_image(gateway: &Gateway) -> String {
    format!("{}:2@sha256:{}", repository(gateway), "0".repeat(64))
}

/// Each gateway has its own: agents keep modules by repository, here all in one folder, and a file
/// there is not written in one piece.
fn repository(gateway: &Gateway) -> String {
    format!("{}/{}/sni-guard", gateway.registry().host(), gateway.name())
}

/// The resource that has a gateway run an image, knowing the gateway's servers.
///
/// # Errors
/// `packager manifest` refuses it.
pub fn manifest(gateway: &Gateway, image: &str, options: &[&str]) -> Result<String> {
    let selector = format!("istio={}", gateway.name());
    let mut arguments = vec!["manifest", "--image", image, "--namespace", gateway.name()];
    arguments.extend(["--selector", &selector, "--config", "-"]);
    arguments.extend(options);
    let run = packager_with_input(&arguments, &servers().to_string());
    ensure!(run.status == 0, "packager manifest: {}", run.talk);
    Ok(run.out)
}

/// The filter's configuration for the servers of `tests/istio/gateway.yaml`.
#[must_use]
pub fn servers() -> Value {
    json!({ "servers": { "https-a": [A], "https-b": [B] } })
}
