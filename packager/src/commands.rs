//! The subcommands, one module for each. A command reads its input, calls pure functions and prints the
//! result. All input and output of the program is here.

mod access;
mod assumptions;
mod build;
mod certificates;
mod check;
mod cluster;
mod completions;
mod explain;
mod files;
mod image_source;
mod inputs;
mod inspect;
mod layout;
mod load_check;
mod man;
mod manifest;
mod merge;
mod probe;
mod push;
mod registry;
mod settings_file;
mod source;
mod verify;
mod version;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

use crate::console::{Console, ExitStatus, Options};

/// Find, fix and prevent 404s from connection coalescing on Istio gateways.
#[derive(Debug, Parser)]
#[command(
    name = "packager",
    version,
    after_help = "Examples:
  # Find hosts that break each other, in the cluster of the kubeconfig or in files
  packager check
  packager check gateways/
  # Build the filter and push it as an image
  packager push registry.example.com/sni-guard:0.1.0
  # Write the resource that installs the filter
  packager manifest --image registry.example.com/sni-guard:0.1.0@sha256:… \\
      --selector istio=ingressgateway > sni-guard.yaml
  # See what a live gateway answers on a reused connection
  packager probe --connect 203.0.113.7:443 --sni a.example.com --authority b.example.com"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Build(build::Args),
    Inspect(inspect::Args),
    Push(push::Args),
    Verify(verify::Args),
    Manifest(manifest::Args),
    Explain(explain::Args),
    Check(check::Args),
    Merge(merge::Args),
    Probe(probe::Args),
    Completions(completions::Args),
    Man(man::Args),
    Version(version::Args),
}

impl Cli {
    pub(crate) fn run(&self, console: &mut Console<'_>) -> Result<ExitStatus> {
        match &self.command {
            Command::Build(args) => build::run(args, console),
            Command::Inspect(args) => inspect::run(args, console),
            Command::Push(args) => push::run(args, console),
            Command::Verify(args) => verify::run(args, console),
            Command::Manifest(args) => manifest::run(args, console),
            Command::Explain(args) => explain::run(args, console),
            Command::Check(args) => check::run(args, console),
            Command::Merge(args) => merge::run(args, console),
            Command::Probe(args) => probe::run(args, console),
            Command::Completions(args) => completions::run(args, console),
            Command::Man(args) => man::run(args, console),
            Command::Version(args) => version::run(args, console),
        }
    }
}

/// The output format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// Text for people; it may change
    Text,
    /// JSON for programs
    Json,
}
