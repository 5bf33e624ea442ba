//! `packager inspect`: would Envoy load this module?

use std::io::Write;

use anyhow::Result;
use serde_json::json;

use super::ReportFormat;
use super::candidate::Candidate;
use super::registry::ConnectionArgs;
use super::verify::write_image;
use crate::console::{Console, ExitStatus};
use crate::module::Report;
use crate::module::loading::NEWEST;

/// Print the contents of a module or an image, and whether Envoy would load it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  packager inspect dist/sni-guard.wasm
  packager inspect dist/oci
  packager inspect registry.example.com/sni-guard:1 --output json")]
pub(crate) struct Args {
    /// The file of a module, a folder with an OCI layout, or an image in a registry
    #[arg(value_name = "MODULE|IMAGE", value_hint = clap::ValueHint::AnyPath)]
    subject: String,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    output: ReportFormat,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    let connection = args.connection.read(console)?;
    let candidate = Candidate::read(&args.subject, &connection, NEWEST)?;
    match args.output {
        ReportFormat::Text => write_text(&candidate, console.out)?,
        ReportFormat::Json => {
            let mut report = json!(candidate.module);
            if report.is_null() {
                report = json!({});
            }
            if let Some(report) = report.as_object_mut() {
                let reasons = candidate.problems.iter().map(|problem| &problem.message);
                report.insert("problems".into(), reasons.cloned().collect());
                if let Some(image) = &candidate.image {
                    report.insert("image".into(), json!(image));
                }
            }
            writeln!(console.out, "{report}")?;
        }
    }
    Ok(candidate.status())
}

fn write_text(candidate: &Candidate, out: &mut dyn Write) -> Result<()> {
    write_image(candidate, out)?;
    if let Some(report) = &candidate.module {
        write_module(report, out)?;
    }
    for problem in &candidate.problems {
        writeln!(out, "Envoy would not load it: {}", problem.message)?;
    }
    Ok(())
}

fn write_module(report: &Report, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "size      {} bytes", report.size)?;
    writeln!(out, "digest    {}", report.sha256)?;
    writeln!(out, "ABI       {}", report.abi_versions.join(", "))?;
    for (title, names) in [
        ("exports", &report.exports),
        ("imports", &report.imports),
        ("features", &report.features),
    ] {
        writeln!(out, "{title:<9} {}", names.len())?;
        for name in names {
            writeln!(out, "          {name}")?;
        }
    }
    Ok(())
}
