//! `packager explain`: what the filter would decide.

mod simulate;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, ValueEnum, ValueHint};
use rule::{Config, Facts, Gateway, Host, Protocol, Route, Rule};
use serde::{Deserialize, Serialize};

use super::source::{self, ClusterArgs};
use super::{ReportFormat, files};
use crate::console::{Console, ExitStatus};

/// Print what the filter decides for a request, and why
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # What the filter answers to a request for b on a connection for a
  packager explain --config plugin.yaml --sni a.example.com --authority b.example.com
  # The same for every line of a file
  packager explain --config plugin.yaml --cases requests.jsonl
  # What the gateway of these resources does, and what the filter does there
  packager explain --from gateways.yaml --sni a.example.com --authority b.example.com
  packager explain --cluster --sni a.example.com --authority b.example.com
  # The servers that a configuration lists, one on each line
  packager explain --config plugin.yaml --servers

A case is one line: {\"sni\": \"a.example.com\", \"authority\": \"b.example.com\"}, with sni null
for a TLS connection without one, and optionally protocol, grpc, method, routed and gateway. With
--from or --cluster the answers are JSON, one line for each TLS listener, and the gateway itself says
what is routed.")]
#[command(group = ArgGroup::new("requests").args(["cases", "authority", "servers"]).required(true))]
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
    /// Read only this namespace of the cluster; repeat it for more
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
    /// The gateway: on one that istiod configured, a route is enough for most requests
    #[arg(long, value_enum, default_value = "istio")]
    #[arg(conflicts_with_all = ["cases", "from", "cluster", "context", "namespace"])]
    gateway: CaseGateway,
    /// Print the servers that the configuration lists, in place of a decision
    #[arg(long)]
    #[arg(conflicts_with_all = ["cases", "from", "cluster", "context", "namespace", "output"])]
    servers: bool,
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

#[derive(Clone, Copy, Debug, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum CaseGateway {
    /// An Envoy that istiod configured
    #[default]
    Istio,
    /// Any other Envoy
    Other,
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
    #[serde(default)]
    gateway: CaseGateway,
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
        _ if args.servers => write_servers(&config, console.out)?,
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
        gateway: args.gateway,
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

/// The servers of a configuration, whichever form it has.
fn write_servers(config: &Config, out: &mut dyn Write) -> Result<()> {
    let Rule::Servers(servers) = config.rule() else {
        return Ok(());
    };
    for (label, hosts) in servers.hosts() {
        writeln!(out, "{label}: {}", hosts.join(", "))?;
    }
    Ok(())
}

fn explain<'c>(config: &'c Config, case: &Case) -> Explanation<'c> {
    let facts = case.facts(match case.routed {
        CaseRoute::Yes => Route::Matched,
        CaseRoute::No => Route::Unmatched,
        CaseRoute::Blackhole => Route::Blackhole,
    });
    let gateway = match case.gateway {
        CaseGateway::Istio => Gateway::Istio,
        CaseGateway::Other => Gateway::Other,
    };
    let Ok(decision) = config.decide(gateway, &facts);
    Explanation {
        status: decision.status(),
        reason: decision.reason(),
        action: config
            .action_for(Host::from_authority(facts.authority))
            .name(),
        sni_server: config.server_of_sni(facts.sni),
        host_server: config.server_of_authority(facts.authority),
    }
}

impl Case {
    /// What the filter would ask about the request.
    fn facts(&self, route: Route) -> Facts<'_> {
        let sni = self.sni.as_deref().unwrap_or_default();
        Facts {
            route,
            has_route: route == Route::Matched,
            connect: self.method == "CONNECT",
            protocol: Some(match self.protocol {
                CaseProtocol::H1 => Protocol::Http1,
                CaseProtocol::H2 => Protocol::Http2,
                CaseProtocol::H3 => Protocol::Http3,
            }),
            grpc: self.grpc,
            ..Facts::new(sni.as_bytes(), self.authority.as_bytes())
        }
    }
}
