//! `packager inspect`: would Envoy load this module?

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{ReportFormat, files};
use crate::console::{Console, ExitStatus};
use crate::module::{self, Report};

/// Say what a module is made of and whether Envoy would load it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  packager inspect dist/sni-guard.wasm
  packager inspect dist/sni-guard.wasm --output json

Exit status: 0 Envoy would load it, 1 it would not, 2 it could not be read.")]
pub(crate) struct Args {
    /// The file of the module
    module: PathBuf,
    /// The form of the report
    #[arg(long, value_enum, default_value = "text")]
    output: ReportFormat,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    let wasm = files::read(&args.module)?;
    let report = module::inspect(&wasm)
        .with_context(|| format!("inspecting module {}", args.module.display()))?;
    match args.output {
        ReportFormat::Text => write_text(&report, console.out)?,
        ReportFormat::Json => writeln!(console.out, "{}", serde_json::to_string(&report)?)?,
    }
    Ok(status(&report))
}

pub(crate) fn status(report: &Report) -> ExitStatus {
    if report.problems.is_empty() { ExitStatus::Yes } else { ExitStatus::No }
}

fn write_text(report: &Report, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "size      {} bytes", report.size)?;
    writeln!(out, "digest    {}", report.sha256)?;
    writeln!(out, "ABI       {}", report.abi_versions.join(", "))?;
    for (title, names) in
        [("exports", &report.exports), ("imports", &report.imports), ("features", &report.features)]
    {
        writeln!(out, "{title:<9} {}", names.len())?;
        for name in names {
            writeln!(out, "          {name}")?;
        }
    }
    for problem in &report.problems {
        writeln!(out, "Envoy would not load it: {problem}")?;
    }
    Ok(())
}
