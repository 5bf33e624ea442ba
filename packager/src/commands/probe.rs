//! `packager probe`: what a live gateway answers on a reused connection.

mod connection;
mod ending;
mod failure;
mod round;
mod rounds;
mod sites;
mod target;
mod trust;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::value_parser;

use self::rounds::Rounds;
use self::sites::Sites;
use self::target::{Ask, Target};
use super::ReportFormat;
use super::inputs::{ExcludeArgs, Paths, StrictArgs};
use super::source::{self, ClusterArgs, MeshArgs};
use crate::console::{Console, ExitStatus};

/// Send requests for several hosts over one connection to a live gateway, and report whether connection
/// coalescing works
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # Whether a client that reuses its connection to a for b gets the answer of b
  packager probe --connect 203.0.113.7:443 --sni a.example.com --authority b.example.com
  # The same for several hosts, with the resources of the gateway, for a script
  packager probe gateways/ --connect localhost:8443 --sni a.example.com --authority a.example.com \\
    b.example.com --ca-file ca.pem --output json
  # Watch for two minutes while a change is applied
  packager probe --connect 203.0.113.7:443 --sni a.example.com --authority b.example.com \\
    --watch --duration 120

Each host is requested on the connection with the SNI of --sni, then on new connections of its own.
A host that is served on both is requested up to four times on each, until the answers agree in status,
body, and headers such as server and location. Anything that differs between two new connections, such
as a timestamp in the body, is ignored. A client certificate that is presented only on new connections
counts as a difference. At most 16 requests run at a time, and at most 1 MiB of a body is read.

Verdicts: fixed-by-421, fixed-by-merge, not-coalescible (fine); not-fixed, wrong-route, needless-421,
all-421, unreachable-fresh, reset. The verdict is reset if a new connection for the host is reset,
regardless of the answer on the reused connection. A new connection that requires a client certificate
which is not given counts as served, so that 200 on the reused connection is a wrong-route.

With --repeat the worst round determines the exit status, with --watch the last round does.")]
pub(crate) struct Args {
    /// The address of the gateway, such as 203.0.113.7:443 or localhost:8443
    #[arg(long, value_name = "ADDRESS:PORT")]
    connect: target::Endpoint,
    /// The SNI of the connection that is reused
    #[arg(long, value_name = "HOST", value_hint = clap::ValueHint::Hostname)]
    sni: target::HostName,
    /// The hosts to request, with or without a port
    #[arg(long = "authority", value_name = "HOST", value_hint = clap::ValueHint::Hostname)]
    #[arg(required = true, num_args = 1..)]
    authorities: Vec<target::Authority>,
    /// The path of the requests
    #[arg(long, default_value = "/")]
    path: target::Path,
    /// The method of the requests
    #[arg(long, default_value = "GET", value_parser = target::method)]
    method: http::Method,
    /// Files and folders with the resources of the gateway, for the names of servers and the verdict
    /// needless-421; - for standard input
    #[arg(short = 'f', long, visible_alias = "filename", value_name = "PATH", num_args = 1..)]
    #[arg(conflicts_with_all = ["cluster", "context", "kubeconfig", "namespace", "all_namespaces"])]
    from: Vec<PathBuf>,
    /// The same as --from
    #[arg(value_name = "PATH")]
    #[arg(conflicts_with_all = ["cluster", "context", "kubeconfig", "namespace", "all_namespaces"])]
    paths: Vec<PathBuf>,
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
    /// The timeout of a connection or an answer in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = value_parser!(u64).range(1..=600))]
    timeout: u64,
    /// The output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: ReportFormat,
    #[command(flatten)]
    trust: trust::TrustArgs,
    #[command(flatten)]
    rounds: rounds::RoundsArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    // Invalid arguments are reported before files are read.
    let target = Target {
        endpoint: args.connect.clone(),
        sni: args.sni.clone(),
        asks: args
            .authorities
            .iter()
            .map(|authority| Ask::new(authority, &args.path))
            .collect::<Result<_>>()?,
        method: args.method.clone(),
        timeout: Duration::from_secs(args.timeout),
        tls: args.trust.read()?,
    };

    // Unreadable documents do not stop the probe, but they make the exit status 2.
    let paths = Paths {
        named: [&args.paths, &args.from],
        exclude: &args.exclude.exclude,
        is_strict: args.strict.strict,
    };
    let source = args.cluster.source(&args.namespace, paths);
    let sites = Sites::read(source, &args.mesh, console)?;
    let readable = sites.finish(console);

    let rounds = Rounds::new(args.rounds, args.output);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let status = runtime.block_on(rounds.run(&target, &sites, console));
    // An ordinary shutdown would wait for a name that is still being resolved.
    runtime.shutdown_background();
    Ok(if readable == ExitStatus::Success {
        status?
    } else {
        readable
    })
}
