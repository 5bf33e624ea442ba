//! `packager verify`: would a gateway load this image?

use std::io::Write;

use anyhow::Result;
use serde_json::json;

use super::ReportFormat;
use super::candidate::Candidate;
use super::registry::ConnectionArgs;
use crate::console::{Console, ExitStatus};
use crate::module::loading::{Consumer, NEWEST};

/// Pull an image as a gateway would, and report whether it would load
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  packager verify registry.example.com/sni-guard:1@sha256:…
  packager verify dist/oci --for istio@1.28
  packager verify localhost:5000/sni-guard:dev --output json

The image may be in a registry, in an OCI layout or a module in a file. All reasons are reported at once.")]
pub(crate) struct Args {
    /// The image, as `packager push` prints it; a folder with an OCI layout; or a module
    #[arg(value_hint = clap::ValueHint::AnyPath)]
    image: String,
    /// The consumer of the image: istio@1.MINOR, istio@1.MINOR.PATCH or envoy-gateway
    #[arg(long = "for", value_name = "CONSUMER", default_value_t = NEWEST)]
    consumer: Consumer,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    output: ReportFormat,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    let connection = args.connection.read(console)?;
    let candidate = Candidate::read(&args.image, &connection, args.consumer)?;
    match args.output {
        ReportFormat::Text => write_text(args, &candidate, console.out)?,
        ReportFormat::Json => writeln!(console.out, "{}", as_json(args, &candidate))?,
    }
    Ok(candidate.status())
}

fn as_json(args: &Args, candidate: &Candidate) -> serde_json::Value {
    let (image, module) = (candidate.image.as_ref(), candidate.module.as_ref());
    let problems: Vec<_> = candidate
        .problems
        .iter()
        .map(|problem| json!({ "reason": problem.message, "remedy": problem.hint }))
        .collect();
    json!({
        "image": args.image,
        "for": args.consumer.to_string(),
        "loads": candidate.problems.is_empty(),
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

fn write_text(args: &Args, candidate: &Candidate, out: &mut dyn Write) -> Result<()> {
    write_image(candidate, out)?;
    if let Some(module) = &candidate.module {
        writeln!(out, "module    {} bytes, {}", module.size, module.sha256)?;
    }
    for problem in &candidate.problems {
        writeln!(out, "would not load: {}", problem.message)?;
        writeln!(out, "  remedy: {}", problem.hint)?;
    }
    if candidate.problems.is_empty() {
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

/// What an image says of itself; nothing for a module in a file.
pub(crate) fn write_image(candidate: &Candidate, out: &mut dyn Write) -> Result<()> {
    let Some(image) = &candidate.image else {
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
