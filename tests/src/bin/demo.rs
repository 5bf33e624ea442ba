//! `make demo`: a gateway with two TLS servers that share a certificate, the same request without
//! the filter and with it, and then on a connection of its own.

use std::fs;
use std::io::{Write, stdout};
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::client::{Connection, GET, Transport, block_on};
use tests::envoy::{Envoy, Filter, Guard, GuardConfig, Listener};
use tests::process::packager;
use tests::tools::{ENVOY_VERSION, checkout};

const A: &str = "a.example.com";
const B: &str = "b.example.com";
const MODULE: &str = "dist/sni-guard.wasm";

fn main() -> Result<()> {
    std::env::set_current_dir(checkout())?;
    let mut out = stdout().lock();
    let config = json!({ "servers": { "server-a": [A], "server-b": [B] } });
    fs::create_dir_all("dist")?;
    fs::write("dist/plugin-config.json", config.to_string())?;

    step(&mut out, "Build the filter, as a module", &["build", "--out", MODULE])?;
    let pushed =
        step(&mut out, "Package it, as an image in a folder", &["push", "--module", MODULE])?;
    let (_, digest) = pushed.trim().split_once('@').context("push printed no digest")?;
    let image = format!("registry.example.com/sni-guard:0.1.0@{digest}");
    let resource = step(
        &mut out,
        "Write the resource that names the image (into dist/wasmplugin.yaml)",
        &[
            "manifest",
            "--image",
            &image,
            "--selector",
            "istio=ingressgateway",
            "--config",
            "dist/plugin-config.json",
        ],
    )?;
    fs::write("dist/wasmplugin.yaml", resource)?;

    let module = checkout().join(MODULE).canonicalize()?;
    let guard = Guard { module, config: GuardConfig::Inline(Some(config)) };
    let envoy = Envoy::start(&[gateway("plain", None), gateway("guarded", Some(guard))])?;
    writeln!(
        out,
        "Envoy {ENVOY_VERSION}: two TLS servers, {A} and {B}, one certificate for both\n"
    )?;
    writeln!(out, "  without sni-guard")?;
    let address = envoy.listener("plain")?;
    connection(&mut out, address, A, &[(A, 200), (B, 404)])?;
    writeln!(out, "\n  with sni-guard")?;
    let address = envoy.listener("guarded")?;
    connection(&mut out, address, A, &[(A, 200), (B, 421)])?;
    connection(&mut out, address, B, &[(B, 200)])?;
    writeln!(
        out,
        "\n  A browser does that last step by itself when it sees 421.\n\n\
         dist/ has the module, the image (dist/oci) and the resource (dist/wasmplugin.yaml).\n\
         To use them, push the image to a registry of yours: packager push HOST/sni-guard:TAG"
    )?;
    Ok(())
}

/// Runs the packager, shows how it was called, and returns what it printed.
fn step(out: &mut impl Write, title: &str, arguments: &[&str]) -> Result<String> {
    writeln!(out, "{title}\n  $ packager {}", arguments.join(" "))?;
    let run = packager(arguments);
    ensure!(run.status == 0, "packager {}: {}", arguments.join(" "), run.talk);
    for line in
        run.talk.lines().chain(run.out.lines().take(1).filter(|_| run.out.lines().count() == 1))
    {
        writeln!(out, "    {line}")?;
    }
    writeln!(out)?;
    Ok(run.out)
}

fn gateway(name: &str, guard: Option<Guard>) -> Listener {
    Listener::with_servers(name, &[A, B], guard.map(Filter::Guard))
}

/// Opens a connection, sends the requests, and shows the answers, which must be the expected ones.
fn connection(
    out: &mut impl Write,
    server: SocketAddr,
    sni: &str,
    requests: &[(&str, u16)],
) -> Result<()> {
    writeln!(out, "    connection with SNI {sni}")?;
    let statuses = block_on(async {
        let mut connection = Connection::h2(server, Transport::Tls(Some(sni))).await?;
        let mut statuses = Vec::new();
        for (authority, _) in requests {
            statuses.push(connection.send(&GET, authority).await?.status);
        }
        Ok(statuses)
    })?;
    for ((authority, expected), status) in requests.iter().zip(statuses) {
        writeln!(out, "      GET https://{authority}/  {status}")?;
        ensure!(status == *expected, "expected {expected}");
    }
    Ok(())
}
