//! `packager verify`: whether a gateway would load an image.

use std::io::Write;

use anyhow::Result;
use serde_json::json;

use super::ReportFormat;
use super::load_check::LoadCheck;
use super::registry::ConnectionArgs;
use crate::console::{Console, ExitStatus, unless_closed};
use crate::module::loading::{Consumer, NEWEST};

/// Pull an image as a gateway would, and report whether it would load
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # Whether the newest Istio would load the image
  packager verify registry.example.com/sni-guard:1@sha256:…
  # The same for another release of Istio
  packager verify dist/oci --for istio@1.28
  # For a script
  packager verify localhost:5000/sni-guard:dev --output json

The argument is an image in a registry, an image in an OCI layout, or a file with a module. All problems
are reported at once.")]
pub(crate) struct Args {
    /// The image, as `packager push` prints it; a folder with an OCI layout; or a module
    #[arg(value_hint = clap::ValueHint::AnyPath)]
    image: String,
    /// The consumer of the image: istio@1.MINOR, istio@1.MINOR.PATCH or envoy-gateway
    #[arg(long = "for", value_name = "CONSUMER", default_value_t = NEWEST)]
    consumer: Consumer,
    /// The output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: ReportFormat,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    let connection = args.connection.read(console)?;
    let check = LoadCheck::read(&args.image, &connection, args.consumer)?;
    unless_closed(write(args, &check, console))?;
    Ok(check.status())
}

fn write(args: &Args, check: &LoadCheck, console: &mut Console<'_>) -> Result<()> {
    match args.output {
        ReportFormat::Text => write_text(args, check, console.out)?,
        ReportFormat::Json => writeln!(console.out, "{}", as_json(args, check))?,
    }
    Ok(())
}

fn as_json(args: &Args, check: &LoadCheck) -> serde_json::Value {
    // A key of a missing part is null, so that scripts find every key.
    let (image, module) = (check.image.as_ref(), check.module.as_ref());
    let problems: Vec<_> = check
        .problems
        .iter()
        // The keys are part of the contract with scripts.
        .map(|problem| json!({ "reason": problem.message, "remedy": problem.hint }))
        .collect();
    json!({
        "image": args.image,
        "for": args.consumer.to_string(),
        "loads": check.problems.is_empty(),
        "digest": image.map(|image| &image.digest),
        "variant": image.map(|image| image.variant),
        "layer": image.map(|image| &image.layer),
        "annotations": image.map(|image| &image.annotations),
        "size": module.map(|module| module.size),
        "sha256": module.map(|module| &module.sha256),
        "problems": problems,
        "module": module,
    })
}

fn write_text(args: &Args, check: &LoadCheck, out: &mut dyn Write) -> Result<()> {
    write_image(check, out)?;
    if let Some(module) = &check.module {
        writeln!(out, "module    {} bytes, {}", module.size, module.sha256)?;
    }
    for problem in &check.problems {
        writeln!(out, "would not load: {}", problem.message)?;
        writeln!(out, "  hint: {}", problem.hint)?;
    }
    // The consequence matters only if the image does not load.
    if check.problems.is_empty() {
        writeln!(out, "{} would load it", args.consumer)?;
    } else {
        writeln!(
            out,
            "with {}: {}",
            args.consumer,
            args.consumer.consequence()
        )?;
    }
    Ok(())
}

/// Writes the facts of the image; nothing for a module in a file.
pub(crate) fn write_image(check: &LoadCheck, out: &mut dyn Write) -> Result<()> {
    let Some(image) = &check.image else {
        return Ok(());
    };
    writeln!(out, "image     {}", image.digest)?;
    if let Some((variant, layer)) = image.variant.zip(image.layer.as_ref()) {
        writeln!(out, "variant   {}", variant.name())?;
        writeln!(out, "layer     {} bytes, {}", layer.size, layer.digest)?;
    }
    for (key, value) in &image.annotations {
        writeln!(out, "          {key}: {value}")?;
    }
    Ok(())
}
