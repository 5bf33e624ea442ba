//! `packager probe`: what does a live gateway answer on a reused connection?

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
use crate::console::{Console, ExitStatus};

/// Ask a live gateway for hosts on one connection, and say whether clients that reuse it fare well
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  packager probe --connect 203.0.113.7:443 --sni a.example.com --authority b.example.com
  packager probe --connect localhost:8443 --sni a.example.com --authority a.example.com \\
    b.example.com --ca-file ca.pem --from gateways/ --output json
  packager probe --connect 203.0.113.7:443 --sni a.example.com --authority b.example.com \\
    --watch --for 120

Each host is asked for on the connection that was opened for --sni, then on connections of its own.
A host that is served on both is asked for up to four times on either, until the answers agree:
status, headers such as server and location, and body. What no two new connections answer alike, such
as a body with the time, is not compared. That a client certificate is shown on new connections alone
is a difference. No more than 16 requests are under way at a time, and no more than 1 MiB of a body is
read.

Verdicts: fixed-by-421, fixed-by-merge, not-coalescible (fine); not-fixed, wrong-route, needless-421,
all-421, unreachable-fresh, reset. It is reset where a new connection for the host is, whatever the
reused one answers. A new connection that demands a client certificate which is not given counts as
served, so that 200 on the reused one is a wrong-route.

Exit status: 0 every host is fixed or not coalescible, 1 one is not, 2 it could not be told, such as
when no connection could be made. With --repeat every round counts, with --watch the last one.")]
pub(crate) struct Args {
    /// Where to connect to, such as 203.0.113.7:443 or localhost:8443
    #[arg(long, value_name = "ADDRESS:PORT")]
    connect: target::Endpoint,
    /// The host whose connection is reused
    #[arg(long, value_name = "HOST", value_hint = clap::ValueHint::Hostname)]
    sni: target::HostName,
    /// The hosts to ask for, with a port or without
    #[arg(long = "authority", value_name = "HOST", value_hint = clap::ValueHint::Hostname)]
    #[arg(required = true, num_args = 1..)]
    authorities: Vec<target::Authority>,
    /// The path to ask for
    #[arg(long, default_value = "/")]
    path: target::Path,
    /// The method of the requests
    #[arg(long, default_value = "GET", value_parser = target::method)]
    method: http::Method,
    /// Files and folders with the resources of the gateway, - for standard input: they name the
    /// servers, and tell a 421 that is needless
    #[arg(long, value_name = "PATH", num_args = 1..)]
    from: Vec<PathBuf>,
    /// How many seconds a connection, or an answer, may take
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = value_parser!(u64).range(1..=600))]
    timeout: u64,
    /// The form of the report
    #[arg(long, value_enum, default_value = "text")]
    output: ReportFormat,
    #[command(flatten)]
    trust: trust::TrustArgs,
    #[command(flatten)]
    rounds: rounds::RoundsArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    let asks = args
        .authorities
        .iter()
        .map(|authority| Ask::new(authority, &args.path));
    let target = Target {
        endpoint: args.connect.clone(),
        sni: args.sni.clone(),
        asks: asks.collect::<Result<_>>()?,
        method: args.method.clone(),
        timeout: Duration::from_secs(args.timeout),
        tls: args.trust.read()?,
    };
    let sites = Sites::read(&args.from, console)?;
    let readable = sites.finish(console);
    let rounds = Rounds::new(args.rounds, args.output);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let status = runtime.block_on(rounds.run(&target, &sites, console));
    // A name that is still being resolved would be waited for.
    runtime.shutdown_background();
    Ok(if readable == ExitStatus::Yes {
        status?
    } else {
        readable
    })
}
