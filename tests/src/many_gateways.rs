//! `packager manifest` for many Gateways on one gateway workload.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use crate::process::{Run, packager};

const IMAGE: &str = "registry.example.com/sni-guard:1@sha256:\
                     0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Runs `packager manifest --output json` on a Gateway for each host, with further arguments.
///
/// # Errors
/// The Gateways cannot be written.
pub fn manifest(hosts: impl IntoIterator<Item = String>, arguments: &[&str]) -> Result<Run> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("gateways.yaml");
    fs::write(&file, gateways(hosts)?)?;
    let file = file
        .to_str()
        .context("the folder for temporary files is not UTF-8")?;
    let resource = ["--image", IMAGE, "--selector", "istio=ingressgateway"];
    let input = ["--from", file, "--output", "json"];
    Ok(packager(
        &[&["manifest"][..], &resource, &input, arguments].concat(),
    ))
}

fn gateways(hosts: impl IntoIterator<Item = String>) -> Result<String> {
    let mut text = String::new();
    for (number, host) in hosts.into_iter().enumerate() {
        writeln!(
            text,
            "---\napiVersion: networking.istio.io/v1\nkind: Gateway\n\
             metadata: {{name: gateway-{number}, namespace: istio-system}}\n\
             spec:\n  selector: {{istio: ingressgateway}}\n  servers:\n  \
             - port: {{number: 443, name: https, protocol: HTTPS}}\n    \
             hosts: ['{host}']\n    tls: {{mode: SIMPLE, credentialName: gateway-{number}}}"
        )?;
    }
    Ok(text)
}
