//! `packager verify`: whether a gateway would load an image.

use std::io::Write;

use anyhow::Result;
use serde_json::{Value, json};

use super::ReportFormat;
use super::access::Access;
use super::load_check::LoadCheck;
use super::registry::ConnectionArgs;
use crate::console::{Console, ExitStatus, unless_closed};
use crate::module::loading::{Consumer, NEWEST};
use crate::text::{foreign, visible, visible_json};

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
are reported at once.

The command pulls with the credentials and the trusted authorities of this machine. A gateway has neither, so
the command also asks the registry without them, and lists what a gateway needs: an imagePullSecret, or
trust in the authority of the registry. A need is not a problem: the exit status stays 0.")]
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
        ReportFormat::Json => {
            let report = as_json(args, check).to_string();
            writeln!(console.out, "{}", visible_json(&report))?;
        }
    }
    Ok(())
}

fn as_json(args: &Args, check: &LoadCheck) -> Value {
    // A key of a missing part is null, so that scripts find every key.
    let (image, module) = (check.image.as_ref(), check.module.as_ref());
    let problems: Vec<_> = check
        .problems
        .iter()
        // The keys are part of the contract with scripts.
        .map(|problem| json!({ "reason": problem.message, "remedy": problem.hint }))
        .collect();
    let access = check.access.as_ref();
    let needs: Vec<_> = access
        .iter()
        .flat_map(|access| &access.needs)
        .map(|(need, advice)| {
            json!({ "need": need.key(), "reason": advice.message, "remedy": advice.hint })
        })
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
        // Without a registry, or without an answer, it is not known what a gateway needs.
        "needs": access
            .filter(|access| access.unknown.is_none())
            .map(|_| needs),
        "credentials": access.map(|access| &access.credentials),
        "module": module,
    })
}

fn write_text(args: &Args, check: &LoadCheck, out: &mut dyn Write) -> Result<()> {
    write_image(check, out)?;
    if let Some(module) = &check.module {
        writeln!(out, "module    {} bytes, {}", module.size, module.sha256)?;
    }
    write_notes(check, out)?;
    for problem in &check.problems {
        writeln!(out, "would not load: {}", foreign(&problem.message))?;
        writeln!(out, "  hint: {}", foreign(&problem.hint))?;
    }
    if let Some(access) = &check.access {
        write_access(access, out)?;
    }
    let has_needs = check
        .access
        .as_ref()
        .is_some_and(|access| !access.needs.is_empty());
    // The consequence matters only if the image does not load.
    if !check.problems.is_empty() {
        writeln!(
            out,
            "with {}: {}",
            args.consumer,
            args.consumer.consequence()
        )?;
    } else if has_needs {
        writeln!(out, "{} would load it with what it needs", args.consumer)?;
    } else {
        writeln!(out, "{} would load it", args.consumer)?;
    }
    Ok(())
}

/// Writes why some releases of Envoy may not load the module.
pub(crate) fn write_notes(check: &LoadCheck, out: &mut dyn Write) -> Result<()> {
    for note in check.module.iter().flat_map(|module| &module.notes) {
        writeln!(out, "note: {}", foreign(note))?;
    }
    Ok(())
}

/// Writes how the pull of a gateway differs from the pull of this command.
fn write_access(access: &Access, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "pulled    with {}", visible(&access.credentials))?;
    for (need, advice) in &access.needs {
        writeln!(out, "needs: {}: {}", need.name(), advice.message)?;
        writeln!(out, "  hint: {}", advice.hint)?;
    }
    if let Some(reason) = &access.unknown {
        writeln!(out, "needs: not known: {reason}")?;
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
        writeln!(
            out,
            "layer     {} bytes, {}",
            layer.size,
            foreign(&layer.digest)
        )?;
    }
    for (key, value) in &image.annotations {
        // Annotations may have line breaks and anything else.
        writeln!(out, "          {}: {}", foreign(key), foreign(value))?;
    }
    Ok(())
}
