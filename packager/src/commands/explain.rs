//! `packager explain`: what the filter would decide.

mod simulate;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, ValueEnum, ValueHint};
use rule::{Config, Decision, Facts, Host, Judgement, Protocol, Route};
use serde::{Deserialize, Serialize};

use super::source::{self, ClusterArgs};
use super::{ReportFormat, files};
use crate::console::{Console, ExitStatus};

/// Say what the filter decides for a request, and why
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  packager explain --config plugin.yaml --sni a.example.com --authority b.example.com
  packager explain --config plugin.yaml --cases requests.jsonl
  packager explain --from gateways.yaml --sni a.example.com --authority b.example.com
  packager explain --cluster --sni a.example.com --authority b.example.com

A case is one line: {\"sni\": \"a.example.com\", \"authority\": \"b.example.com\"}, with sni null
for a TLS connection without one, and optionally protocol, grpc, method and routed. With --from
or --cluster the answers are JSON, one line for each TLS listener, and the gateway itself says what
is routed.

Exit status: 0 told, 2 the configuration, a case or a resource is invalid.")]
#[command(group = ArgGroup::new("requests").args(["cases", "authority"]).required(true))]
pub(crate) struct Args {
    /// The filter's configuration, YAML or JSON; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "cluster", "context", "namespace"])]
    config: Option<PathBuf>,
    /// Files and folders with the resources of gateways, to tell what those do and what the filter
    /// would do with the servers in them; - for standard input
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["cluster", "context", "namespace"])]
    from: Vec<PathBuf>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Read this namespace of the cluster alone; repeat it for more
    #[arg(long, value_name = "NAMESPACE", value_parser = source::namespace)]
    namespace: Vec<String>,
    /// Decide many requests, one JSON object a line; - for standard input
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// The server name of the connection; leave it out for a connection without one
    #[arg(long, value_name = "HOST", value_hint = ValueHint::Hostname, conflicts_with = "cases")]
    sni: Option<String>,
    /// The authority of the request
    #[arg(long, value_name = "HOST", value_hint = ValueHint::Hostname, conflicts_with = "cases")]
    authority: Option<String>,
    /// The version of HTTP
    #[arg(long, value_enum, default_value = "h2", conflicts_with = "cases")]
    protocol: CaseProtocol,
    /// The request is gRPC
    #[arg(long, conflicts_with = "cases")]
    grpc: bool,
    /// The method of the request
    #[arg(
        long,
        value_name = "METHOD",
        default_value = "GET",
        conflicts_with = "cases"
    )]
    method: String,
    /// Whether the gateway has a virtual host for the authority on this connection
    #[arg(long, value_enum, default_value = "no")]
    #[arg(conflicts_with_all = ["cases", "from", "cluster", "context", "namespace"])]
    routed: CaseRoute,
    /// The form of the answer to a single request; cases are answered in JSON
    #[arg(long, value_enum, default_value = "text", conflicts_with = "cases")]
    output: ReportFormat,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum CaseProtocol {
    H1,
    #[default]
    H2,
    H3,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum CaseRoute {
    /// A virtual host matched
    Yes,
    /// None did
    #[default]
    No,
    /// Only Istio's placeholder for an empty route table did
    Blackhole,
}

/// One request on one TLS connection.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    sni: Option<String>,
    authority: String,
    #[serde(default)]
    protocol: CaseProtocol,
    #[serde(default)]
    grpc: bool,
    #[serde(default = "get")]
    method: String,
    #[serde(default)]
    routed: CaseRoute,
}

fn get() -> String {
    "GET".into()
}

/// What is decided about a case.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation<'c> {
    /// The status of the answer; `None` when the request passes.
    status: Option<u16>,
    reason: &'static str,
    /// The action that the configuration has for the host.
    action: &'static str,
    /// The servers that the configuration lists for the two names.
    sni_server: Option<&'c str>,
    host_server: Option<&'c str>,
    /// What a request that found a route costs under the configuration.
    path: &'static str,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    if let Some(source) = args.cluster.source(&args.namespace, &args.from) {
        let cases = match &args.cases {
            Some(path) => read_cases(path, console)?
                .into_iter()
                .collect::<Result<_>>()?,
            None => vec![single_case(args)?],
        };
        return simulate::run(source, &cases, console);
    }
    let settings = files::read_settings(args.config.as_deref(), console)?;
    let config = settings
        .check()
        .with_context(|| files::origin(args.config.as_deref()))?;
    match &args.cases {
        Some(path) => explain_cases(&config, path, console)?,
        None => explain_one(&config, args, console)?,
    }
    Ok(ExitStatus::Yes)
}

fn explain_cases(config: &Config, path: &Path, console: &mut Console<'_>) -> Result<()> {
    for case in read_cases(path, console)? {
        writeln!(
            console.out,
            "{}",
            serde_json::to_string(&explain(config, &case?))?
        )?;
    }
    Ok(())
}

/// The cases of a file, or what is wrong with each.
fn read_cases(path: &Path, console: &mut Console<'_>) -> Result<Vec<Result<Case>>> {
    let text = files::read_text(path, console)?;
    let lines = (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty());
    let cases = lines.map(|(number, line)| {
        serde_json::from_str(line)
            .with_context(|| format!("reading case in line {number} of {}", path.display()))
    });
    Ok(cases.collect())
}

fn single_case(args: &Args) -> Result<Case> {
    let Some(authority) = args.authority.clone() else {
        bail!("there is no authority")
    };
    Ok(Case {
        sni: args.sni.clone(),
        authority,
        protocol: args.protocol,
        grpc: args.grpc,
        method: args.method.clone(),
        routed: args.routed,
    })
}

fn explain_one(config: &Config, args: &Args, console: &mut Console<'_>) -> Result<()> {
    let case = single_case(args)?;
    let explanation = explain(config, &case);
    match args.output {
        ReportFormat::Json => {
            writeln!(console.out, "{}", serde_json::to_string(&explanation)?)?;
        }
        ReportFormat::Text => write_text(&case, &explanation, console.out)?,
    }
    Ok(())
}

fn write_text(case: &Case, explanation: &Explanation<'_>, out: &mut dyn Write) -> Result<()> {
    let answer = explanation
        .status
        .map_or_else(|| "pass".into(), |status| status.to_string());
    writeln!(out, "{answer} {}", explanation.reason)?;
    writeln!(out, "action for {}: {}", case.authority, explanation.action)?;
    for (what, name, server) in [
        ("SNI", case.sni.as_deref(), explanation.sni_server),
        (
            "authority",
            Some(case.authority.as_str()),
            explanation.host_server,
        ),
    ] {
        if let (Some(name), Some(server)) = (name, server) {
            writeln!(out, "{what} {name}: server {server}")?;
        }
    }
    Ok(())
}

fn explain<'c>(config: &'c Config, case: &Case) -> Explanation<'c> {
    let sni = case.sni.as_deref().unwrap_or_default().as_bytes();
    let route = match case.routed {
        CaseRoute::Yes => Route::Matched,
        CaseRoute::No => Route::Unmatched,
        CaseRoute::Blackhole => Route::Blackhole,
    };
    let decision = decide(config, case, route);
    let host = Host::from_authority(case.authority.as_bytes());
    Explanation {
        status: decision.status(),
        reason: decision.reason(),
        action: config.action_for(host).name(),
        sni_server: config.server_label(Host::from_sni(sni)),
        host_server: config.server_label(host),
        path: config.path().name(),
    }
}

fn decide(config: &Config, case: &Case, route: Route) -> Decision {
    let sni = case.sni.as_deref().unwrap_or_default().as_bytes();
    match config.judge(sni, case.authority.as_bytes()) {
        Judgement::Pass(pass) => Decision::Pass(pass),
        Judgement::Suspect(suspect) => config.settle(suspect, facts(case, route)),
    }
}

fn facts(case: &Case, route: Route) -> Facts {
    Facts {
        tls: true,
        route,
        connect: case.method == "CONNECT",
        protocol: Some(match case.protocol {
            CaseProtocol::H1 => Protocol::Http1,
            CaseProtocol::H2 => Protocol::Http2,
            CaseProtocol::H3 => Protocol::Http3,
        }),
        grpc: case.grpc,
    }
}
