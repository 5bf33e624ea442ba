//! `packager explain`: the decision of the filter for a request, and its reason.

mod case;
mod configuration;
mod simulate;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, ValueHint};
use gateway::advice::Advice;
use gateway::resources::LabelQuery;
use rule::{Config, Host, Rule, lua};
use serde::Serialize;

use self::case::{Case, CaseGateway, CaseProtocol, CaseRoute, parse_cases};
use self::configuration::Configuration;
use super::inputs::{ExcludeArgs, Paths, StrictArgs};
use super::source::{self, ClusterArgs, MeshArgs, Source};
use super::{ReportFormat, files, settings_file};
use crate::console::{Console, ExitStatus};
use crate::reasons::{self, Reason};

/// Print what the filter decides for a request, and why; or what a reason means
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # What the filter answers to a request for b on a connection for a
  packager explain --config plugin.yaml --sni a.example.com --authority b.example.com
  # The same for every line of a file
  packager explain --config plugin.yaml --cases requests.jsonl
  # What a gateway with these resources does, and what the filter does there
  packager explain --from gateways.yaml --sni a.example.com --authority b.example.com
  packager explain --cluster --sni a.example.com --authority b.example.com
  # The servers that a configuration lists, one on each line
  packager explain --config plugin.yaml --servers
  # The decision of an installed filter
  kubectl get wasmplugin -n istio-system sni-guard -o yaml |
    packager explain --config - --sni a.example.com --authority b.example.com
  # What a reason in a metric, a log or an access log means, and what to do
  packager explain sni_guard_other_server

A case is one line: {\"sni\": \"a.example.com\", \"authority\": \"b.example.com\"}, with sni null
for a TLS connection without one, and optionally protocol, grpc, method, routed and gateway. With
--from or --cluster the answers are JSON, one line for each TLS listener, and the resources determine
what is routed.")]
#[command(group = ArgGroup::new("requests").args(["reason", "cases", "authority", "servers"]).required(true))]
pub(crate) struct Args {
    /// A reason, as in metrics, logs and access logs: print what it means, and what to do
    #[arg(value_name = "REASON", value_parser = reasons::parse)]
    #[arg(conflicts_with_all = ["config", "from", "cluster", "context", "kubeconfig", "namespace", "sni"])]
    reason: Option<Reason>,
    /// The filter's configuration in YAML or JSON, or a WasmPlugin, TrafficExtension or EnvoyFilter with
    /// it, as kubectl prints it; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "cluster", "context", "namespace"])]
    config: Option<PathBuf>,
    /// Files and folders with the resources of gateways, to print what these gateways do and what the
    /// filter would decide there; - for standard input
    #[arg(short = 'f', long, visible_alias = "filename", value_name = "PATH", num_args = 1..)]
    #[arg(conflicts_with_all = ["cluster", "context", "kubeconfig", "namespace", "all_namespaces"])]
    from: Vec<PathBuf>,
    #[command(flatten)]
    exclude: ExcludeArgs,
    #[command(flatten)]
    strict: StrictArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Read only this namespace of the cluster; repeat it for more
    #[arg(short, long, value_name = "NAMESPACE", value_parser = source::namespace)]
    namespace: Vec<String>,
    /// Read all namespaces of the cluster, which is the default
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    #[command(flatten)]
    mesh: MeshArgs,
    /// Answer only for listeners that have a server of a Gateway with these labels, such as team=shop
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<LabelQuery>,
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
    /// Print the servers that the configuration lists, instead of a decision
    #[arg(long)]
    #[arg(conflicts_with_all = ["cases", "from", "cluster", "context", "namespace", "output"])]
    servers: bool,
    /// The output format for a single request; the answers to cases are JSON
    #[arg(
        short,
        long,
        value_enum,
        default_value = "text",
        conflicts_with = "cases"
    )]
    output: ReportFormat,
}

/// The decision for a case.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation<'c> {
    /// The status of the filter's answer; `None` if the request passes.
    status: Option<u16>,
    /// The name of the reason, as in metrics and access logs.
    reason: &'static str,
    /// The action that the configuration has for the host.
    action: &'static str,
    /// The label of the listed server for the SNI.
    sni_server: Option<&'c str>,
    /// The label of the listed server for the authority.
    host_server: Option<&'c str>,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    if let Some(reason) = &args.reason {
        write_reason(reason, args.output, console.out)?;
        return Ok(ExitStatus::Success);
    }

    // With resources, the gateway itself decides what is routed.
    if let Some(source) = args.source() {
        return simulate::run(args, source, &all_cases(args, console)?, console);
    }
    flags_without_effect(args)?;

    let path = args.config.as_deref();
    let Configuration {
        settings,
        is_script,
    } = configuration::read(path, console)?;
    let config = settings
        .check()
        .with_context(|| settings_file::name(path))?;
    if args.servers {
        write_servers(&config, console.out)?;
    } else if let Some(path) = &args.cases {
        explain_cases(&config, is_script, path, console)?;
    } else {
        explain_one(&config, is_script, args, console)?;
    }
    Ok(ExitStatus::Success)
}

impl Args {
    /// Where to read the resources of gateways, if anywhere.
    fn source(&self) -> Option<Source<'_>> {
        let paths = Paths {
            named: [&self.from, &[]],
            exclude: &self.exclude.exclude,
            is_strict: self.strict.strict,
        };
        self.cluster.source(&self.namespace, paths)
    }
}

/// Refuses flags that only matter for the resources of gateways.
fn flags_without_effect(args: &Args) -> Result<()> {
    let flags = [
        ("--selector", args.selector.is_some()),
        ("--mesh-config", args.mesh.is_given()),
        ("--exclude", !args.exclude.exclude.is_empty()),
        ("--strict", args.strict.strict),
        ("--all-namespaces", args.all_namespaces),
    ];
    match flags.into_iter().find(|(_, is_given)| *is_given) {
        Some((flag, _)) => bail!(Advice::new(
            format!("{flag} has no effect without the resources of gateways"),
            format!("give them with --from PATH or --cluster, or remove {flag}")
        )),
        None => Ok(()),
    }
}

fn write_reason(reason: &Reason, format: ReportFormat, out: &mut dyn Write) -> Result<()> {
    match format {
        ReportFormat::Json => writeln!(out, "{}", serde_json::to_string(reason)?)?,
        ReportFormat::Text => {
            for explanation in &reason.explanations {
                writeln!(out, "{}: {}", reason.name, explanation.answer.text())?;
                writeln!(out, "  meaning: {}", explanation.meaning)?;
                writeln!(out, "  what to do: {}", explanation.action)?;
            }
        }
    }
    Ok(())
}

fn all_cases(args: &Args, console: &mut Console<'_>) -> Result<Vec<Case>> {
    match &args.cases {
        Some(path) => parse_cases(&files::read_text(path, console)?, path).collect(),
        None => Ok(vec![single_case(args)?]),
    }
}

fn single_case(args: &Args) -> Result<Case> {
    let Some(authority) = args.authority.clone() else {
        bail!("--authority is missing")
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

fn explain_cases(
    config: &Config,
    is_script: bool,
    path: &Path,
    console: &mut Console<'_>,
) -> Result<()> {
    let text = files::read_text(path, console)?;
    // Each answer is printed before the next case is read, so an invalid case hides no earlier answer.
    for case in parse_cases(&text, path) {
        let answer = serde_json::to_string(&explain(config, is_script, &case?))?;
        writeln!(console.out, "{answer}")?;
    }
    Ok(())
}

fn explain_one(
    config: &Config,
    is_script: bool,
    args: &Args,
    console: &mut Console<'_>,
) -> Result<()> {
    let case = single_case(args)?;
    let explanation = explain(config, is_script, &case);
    match args.output {
        ReportFormat::Json => {
            writeln!(console.out, "{}", serde_json::to_string(&explanation)?)?;
        }
        ReportFormat::Text => {
            write_text(&case, &explanation, console.out)?;
            if is_script {
                writeln!(
                    console.out,
                    "decided by a Lua script, which cannot see virtual hosts"
                )?;
            }
        }
    }
    Ok(())
}

fn explain<'c>(config: &'c Config, is_script: bool, case: &Case) -> Explanation<'c> {
    let facts = case.facts(case.route());
    let facts = if is_script {
        lua::seen_by_script(facts)
    } else {
        facts
    };
    // Facts answer every question, so the decision cannot fail.
    let Ok(decision) = config.decide(case.gateway(), &facts);
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

fn write_text(case: &Case, explanation: &Explanation<'_>, out: &mut dyn Write) -> Result<()> {
    let answer = explanation
        .status
        .map_or_else(|| "pass".into(), |status| status.to_string());
    writeln!(out, "{answer} {}", explanation.reason)?;
    writeln!(out, "action for {}: {}", case.authority, explanation.action)?;
    // A name without a listed server gets no line.
    if let (Some(sni), Some(server)) = (&case.sni, explanation.sni_server) {
        writeln!(out, "SNI {sni}: server {server}")?;
    }
    if let Some(server) = explanation.host_server {
        writeln!(out, "authority {}: server {server}", case.authority)?;
    }
    Ok(())
}

/// Writes the servers of a configuration, one on each line. Both forms of the table look the same.
fn write_servers(config: &Config, out: &mut dyn Write) -> Result<()> {
    // Rule exact has no servers.
    let Rule::Servers(servers) = config.rule() else {
        return Ok(());
    };
    for (label, hosts) in servers.hosts() {
        writeln!(out, "{label}: {}", hosts.join(", "))?;
    }
    Ok(())
}
