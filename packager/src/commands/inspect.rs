//! `packager inspect`: the contents of a module, and whether Envoy would load it.

use std::io::Write;

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::ReportFormat;
use super::load_check::LoadCheck;
use super::registry::ConnectionArgs;
use super::verify::{write_image, write_notes};
use crate::console::{Console, ExitStatus, unless_closed};
use crate::module::Report;
use crate::module::loading::NEWEST;
use crate::text::{foreign, visible_json};

/// Print the contents of a module or an image, and whether Envoy would load it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # A module, or an OCI layout
  packager inspect dist/sni-guard.wasm
  packager inspect dist/oci
  # An image in a registry, for a script
  packager inspect registry.example.com/sni-guard:1 --output json")]
pub(crate) struct Args {
    /// The file of a module, a folder with an OCI layout, or an image in a registry
    #[arg(value_name = "MODULE|IMAGE", value_hint = clap::ValueHint::AnyPath)]
    subject: String,
    /// The output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: ReportFormat,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    let connection = args.connection.read(console)?;
    let check = LoadCheck::read(&args.subject, &connection, NEWEST)?;
    unless_closed(write(args, &check, console))?;
    Ok(check.status())
}

fn write(args: &Args, check: &LoadCheck, console: &mut Console<'_>) -> Result<()> {
    match args.output {
        ReportFormat::Text => write_text(check, console.out)?,
        ReportFormat::Json => {
            let report = as_json(check).to_string();
            writeln!(console.out, "{}", visible_json(&report))?;
        }
    }
    Ok(())
}

/// The report of the module, with the problems and the facts of the image among its keys.
fn as_json(check: &LoadCheck) -> Value {
    // Without a module the report has only the problems and the image.
    let mut report = match json!(check.module) {
        Value::Object(report) => report,
        _ => Map::new(),
    };
    let problems: Vec<&str> = check
        .problems
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    report.insert("problems".into(), json!(problems));
    if let Some(image) = &check.image {
        report.insert("image".into(), json!(image));
    }
    Value::Object(report)
}

fn write_text(check: &LoadCheck, out: &mut dyn Write) -> Result<()> {
    write_image(check, out)?;
    if let Some(report) = &check.module {
        write_module(report, out)?;
    }
    write_notes(check, out)?;
    for problem in &check.problems {
        writeln!(
            out,
            "Envoy would not load it: {}",
            foreign(&problem.message)
        )?;
    }
    Ok(())
}

fn write_module(report: &Report, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "size      {} bytes", report.size)?;
    writeln!(out, "digest    {}", report.sha256)?;
    writeln!(
        out,
        "ABI       {}",
        foreign(&report.abi_versions.join(", "))
    )?;
    for (title, names) in [
        ("exports", &report.exports),
        ("imports", &report.imports),
        ("features", &report.features),
    ] {
        writeln!(out, "{title:<9} {}", names.len())?;
        // Each name is in a line of its own, so that diff shows what changed.
        for name in names {
            // A module may have any text as a name.
            writeln!(out, "          {}", foreign(name))?;
        }
    }
    Ok(())
}
