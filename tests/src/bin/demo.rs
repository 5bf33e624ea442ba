//! `make demo`: a gateway with two TLS servers that share a certificate, the same requests without
//! the filter, with it, and with one server in the place of the two.

use std::fs;
use std::io::{Write, stdout};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::client::{self, GET, Transport, block_on};
use tests::demo::{Answer, Connection, Demo, State, page};
use tests::envoy::{self, Chain, Envoy, Filter, Guard, GuardConfig, Listener, Logged, VirtualHost};
use tests::process::packager;
use tests::tools::{ENVOY_VERSION, checkout};

const A: &str = "a.example.com";
const B: &str = "b.example.com";
const MODULE: &str = "dist/sni-guard.wasm";
const PAGE: &str = "dist/demo/index.html";

/// What is asked for on a connection, by its SNI: the authorities, each with the expected status.
type Requests = (&'static str, &'static [(&'static str, u16)]);

/// A state of the gateway before it was tried.
struct Plan {
    listener: Listener,
    title: &'static str,
    outcome: &'static str,
    reaction: Option<&'static str>,
    connections: &'static [Requests],
}

fn main() -> Result<()> {
    std::env::set_current_dir(checkout())?;
    let mut out = stdout().lock();
    let (image, guard) = package(&mut out)?;
    writeln!(
        out,
        "Envoy {ENVOY_VERSION}: two TLS servers, {A} and {B}, one certificate for both\n"
    )?;
    let plans = plans(guard);
    let listeners: Vec<Listener> = plans.iter().map(|plan| plan.listener.clone()).collect();
    let envoy = Envoy::start(&listeners)?;
    let states = plans
        .iter()
        .map(|plan| carry_out(plan, &envoy))
        .collect::<Result<Vec<_>>>()?;
    let demo = Demo {
        envoy: ENVOY_VERSION.into(),
        image,
        states,
    };
    demo.write_text(&mut out)?;
    fs::create_dir_all("dist/demo")?;
    fs::write(PAGE, page(&demo)?).with_context(|| format!("writing {PAGE}"))?;
    writeln!(
        out,
        "  When it sees 421, a browser opens the second connection by itself.\n\n\
         dist/ has the module, the image (dist/oci) and the resource (dist/wasmplugin.yaml).\n\
         The three states as a picture: {PAGE}\n\
         To change what it does for one host: docs/plain-envoy.md; on a cluster: docs/quickstart.md"
    )?;
    Ok(())
}

/// Makes all that goes to a gateway: the name of the image, and the filter for Envoy.
fn package(out: &mut impl Write) -> Result<(String, Guard)> {
    let config = json!({ "servers": { "server-a": [A], "server-b": [B] } });
    fs::create_dir_all("dist")?;
    fs::write("dist/plugin-config.json", config.to_string())?;
    step(
        out,
        "Build the filter, as a module",
        &["build", "--out", MODULE],
    )?;
    let pushed = step(
        out,
        "Package it, as an image in a folder",
        &["push", "--module", MODULE],
    )?;
    let (_, digest) = pushed
        .trim()
        .split_once('@')
        .context("push printed no digest")?;
    let image = format!("registry.example.com/sni-guard:0.1.0@{digest}");
    let resource = step(
        out,
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
    Ok((
        image,
        Guard {
            module,
            config: GuardConfig::Inline(Some(config)),
        },
    ))
}

/// Runs the packager, shows how it was called, and returns what it printed.
fn step(out: &mut impl Write, title: &str, arguments: &[&str]) -> Result<String> {
    writeln!(out, "{title}\n  $ packager {}", arguments.join(" "))?;
    let run = packager(arguments);
    ensure!(
        run.status == 0,
        "packager {}: {}",
        arguments.join(" "),
        run.talk
    );
    for line in run.talk.lines().chain(
        run.out
            .lines()
            .take(1)
            .filter(|_| run.out.lines().count() == 1),
    ) {
        writeln!(out, "    {line}")?;
    }
    writeln!(out)?;
    Ok(run.out)
}

fn plans(guard: Guard) -> [Plan; 3] {
    let merged = Chain {
        server_names: vec![A.into(), B.into()],
        virtual_hosts: vec![VirtualHost::of(A), VirtualHost::of(B)],
    };
    [
        Plan {
            listener: Listener::with_servers("plain", &[A, B], None),
            title: "without sni-guard",
            outcome: "The chain of a has no routes for b. The page of b is missing until the \
                      connection ends.",
            reaction: None,
            connections: &[(A, &[(A, 200), (B, 404)])],
        },
        Plan {
            listener: Listener::with_servers("guarded", &[A, B], Some(Filter::Guard(guard))),
            title: "with sni-guard",
            outcome: "The client hears that the connection is the wrong one, and asks again on a \
                      new one. Nobody notices.",
            reaction: Some("421: the client opens a connection for b"),
            connections: &[(A, &[(A, 200), (B, 421)]), (B, &[(B, 200)])],
        },
        Plan {
            listener: Listener {
                name: "merged".into(),
                transport: envoy::Transport::Tls,
                chains: vec![merged],
                filters: vec![],
            },
            title: "with one server for both",
            outcome: "One chain has the routes of both, and one connection is enough. packager \
                      merge plans the way there.",
            reaction: None,
            connections: &[(A, &[(A, 200), (B, 200)])],
        },
    ]
}

/// Opens the connections of a state and sends the requests; the answers must be the expected ones.
fn carry_out(plan: &Plan, envoy: &Envoy) -> Result<State> {
    let connections = plan
        .connections
        .iter()
        .map(|requests| connection(plan, envoy, *requests));
    let names = plan
        .listener
        .chains
        .iter()
        .map(|chain| chain.server_names.clone());
    Ok(State {
        title: plan.title.into(),
        outcome: plan.outcome.into(),
        reaction: plan.reaction.map(str::to_owned),
        chains: names.collect(),
        connections: connections.collect::<Result<_>>()?,
        counters: counters(&plan.listener, envoy)?,
    })
}

fn connection(plan: &Plan, envoy: &Envoy, (sni, requests): Requests) -> Result<Connection> {
    let address = envoy.listener(&plan.listener.name)?;
    let logged = envoy.access_log()?.len();
    let responses = block_on(async {
        let mut connection = client::Connection::h2(address, Transport::Tls(Some(sni))).await?;
        let mut responses = Vec::new();
        for (authority, _) in requests {
            responses.push(connection.send(&GET, authority).await?);
        }
        Ok(responses)
    })?;
    let mut answers = Vec::new();
    for (((authority, expected), response), line) in requests
        .iter()
        .zip(responses)
        .zip(logged_after(envoy, logged, requests.len())?)
    {
        let asked = format!(
            "{}: GET https://{authority}/ on a connection for {sni}",
            plan.title
        );
        let status = response.status;
        ensure!(
            status == *expected,
            "{asked}: {status} in the place of {expected}"
        );
        ensure!(
            status != 200 || response.body == authority.as_bytes(),
            "{asked}: another's page"
        );
        ensure!(
            (line.host(), line.status) == (*authority, status),
            "{asked}: logged as {line:?}"
        );
        answers.push(Answer {
            authority: (*authority).into(),
            status,
            details: line.details,
        });
    }
    Ok(Connection {
        sni: sni.into(),
        answers,
    })
}

/// What the access log has after the first `known` requests, once there are so many.
fn logged_after(envoy: &Envoy, known: usize, count: usize) -> Result<Vec<Logged>> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut lines = envoy.access_log()?;
        if lines.len() >= known + count {
            return Ok(lines.split_off(known));
        }
        ensure!(
            Instant::now() < deadline,
            "Envoy's access log has {lines:?}"
        );
        sleep(Duration::from_millis(20));
    }
}

/// What Envoy counted on a listener, and the filter where there is one.
fn counters(listener: &Listener, envoy: &Envoy) -> Result<Vec<(String, u64)>> {
    let prefix = format!("http.{}.", listener.name);
    let text = envoy.admin("/stats?usedonly")?;
    let shown = [
        "downstream_cx_total",
        "downstream_rq_2xx",
        "downstream_rq_4xx",
    ];
    let mut counters = Vec::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(": ") else {
            continue;
        };
        if name
            .strip_prefix(&prefix)
            .is_some_and(|rest| shown.contains(&rest))
        {
            counters.push((name.to_owned(), value.parse()?));
        }
    }
    if !listener.filters.is_empty() {
        counters.extend(envoy.metrics()?.into_iter().filter(|(_, value)| *value > 0));
    }
    Ok(counters)
}
