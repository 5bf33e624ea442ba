//! `packager push`: packages the module as an image, in a registry or in a folder.

mod provenance;
mod upload;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use gateway::advice::Advice;
use oci_client::Reference;
use serde_json::{Value, json};

use self::upload::{Blobs, Pushed};
use super::registry::{ConnectionArgs, parse_target};
use super::{ReportFormat, build, files};
use crate::console::{Console, ExitStatus};
use crate::image::{Format, Image};
use crate::module::{self, Report};
use crate::text::{foreign, visible, visible_json};

/// Push the filter to a registry as an image that gateways load
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # Build the filter and write it to the OCI layout dist/oci
  packager push
  # Build the filter and push it with two tags
  packager push registry.example.com/sni-guard:1.2.3 registry.example.com/sni-guard:1.2
  # Push a module that is built already
  packager push localhost:5000/sni-guard:dev --module dist/sni-guard.wasm
  # Log in with a password from a file
  packager push ghcr.io/example/sni-guard:1 --username ci --password-stdin < token

Without a reference the image goes to an OCI layout, dist/oci, which skopeo, crane and umoci read.
Each line on standard output is a reference with its digest, for `packager manifest --image`.
Credentials come from --username, else from the files of podman login and docker login.")]
pub(crate) struct Args {
    /// Where to push the image
    #[arg(value_name = "REFERENCE")]
    references: Vec<String>,
    /// The module to push; without it the filter is built
    #[arg(long, value_name = "PATH")]
    module: Option<PathBuf>,
    /// Write an OCI layout to this folder, in addition to references
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    layout: Option<PathBuf>,
    /// The format of the image
    #[arg(long, value_enum, default_value = "oci")]
    format: Format,
    /// An annotation of the image. It replaces an annotation of the same name that packager writes; repeat
    /// it for more
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
    /// Push even if the tag has another image
    #[arg(long)]
    overwrite: bool,
    /// Print the manifest and the digest, and push nothing
    #[arg(long)]
    dry_run: bool,
    /// Push only an image with this digest
    #[arg(long, value_name = "sha256:…")]
    expect_digest: Option<String>,
    /// Write the digest to this file
    #[arg(long, value_name = "PATH")]
    digest_file: Option<PathBuf>,
    /// Do not pull the image for comparison after the push
    #[arg(long)]
    no_verify: bool,
    /// The output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: ReportFormat,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    let targets: Vec<Reference> = args
        .references
        .iter()
        .map(|text| parse_target(text))
        .collect::<Result<_>>()?;
    let wasm = match &args.module {
        Some(path) => files::read(path)?,
        None => build::build_default(console)?,
    };

    // An image that no gateway loads must not reach a registry.
    let Report {
        problems, notes, ..
    } = module::inspect(&wasm).context("inspecting the module to push")?;
    for note in notes {
        console.note(foreign(&note));
    }
    if !problems.is_empty() {
        for problem in problems {
            console.message(format_args!(
                "not pushed: Envoy would not load the module: {}",
                foreign(&problem)
            ));
        }
        return Ok(ExitStatus::Failure);
    }

    let image = image(args, &wasm)?;
    if args.dry_run {
        print_manifest(args, &image, wasm.len(), console)?;
        return Ok(ExitStatus::Success);
    }
    // A dry run needs no registry, so the password is read only now.
    let connection = args.connection.read(console)?;
    let pushed = upload::push(args, &connection, &image, &targets, console)?;
    // After a failure, the report has the references that were pushed before. It is first, because the file may fail
    // too.
    report(args, &image, wasm.len(), &pushed, console)?;
    if let Some(failure) = pushed.failure {
        return Err(failure);
    }
    if let Some(path) = &args.digest_file {
        files::write(path, format!("{}\n", image.digest()).as_bytes())?;
    }
    Ok(ExitStatus::Success)
}

/// The image of the module, with the digest that the user expects.
fn image(args: &Args, wasm: &[u8]) -> Result<Image> {
    let annotations = provenance::annotations(wasm, &args.annotation)?;
    let epoch = provenance::source_date_epoch()?;
    let image = Image::build(wasm, &annotations, epoch, args.format)?;
    match &args.expect_digest {
        Some(expected) if expected != image.digest() => bail!(Advice::new(
            format!(
                "the image has digest {}, not {expected}: nothing was pushed",
                image.digest()
            ),
            "compare --dry-run with the annotations of the expected image: they have its revision, its \
             rustc and its wasm-opt"
        )),
        Some(_) | None => Ok(image),
    }
}

fn print_manifest(
    args: &Args,
    image: &Image,
    module_size: usize,
    console: &mut Console<'_>,
) -> Result<()> {
    match args.output {
        ReportFormat::Text => {
            console.out.write_all(&image.manifest.bytes)?;
            writeln!(console.out)?;
            console.message(format_args!(
                "{}, layer {} bytes",
                image.digest(),
                image.layer.bytes.len()
            ));
        }
        ReportFormat::Json => {
            let manifest: Value = serde_json::from_slice(&image.manifest.bytes)?;
            let report = json!({
                "digest": image.digest(),
                "manifest": manifest,
                "format": format_name(args.format),
                "size": { "module": module_size, "layer": image.layer.bytes.len() },
            });
            writeln!(console.out, "{}", visible_json(&report.to_string()))?;
        }
    }
    Ok(())
}

fn format_name(format: Format) -> Option<String> {
    format
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
}

fn report(
    args: &Args,
    image: &Image,
    module_size: usize,
    pushed: &Pushed,
    console: &mut Console<'_>,
) -> Result<()> {
    // Only what is there has a line, also after a failure.
    let references: Vec<&str> = pushed
        .targets
        .iter()
        .filter(|target| target.state.is_there())
        .map(|target| target.reference.as_str())
        .chain(
            pushed
                .layout
                .as_ref()
                .map(|layout| layout.reference.as_str()),
        )
        .collect();
    match args.output {
        ReportFormat::Text => {
            for reference in references {
                writeln!(console.out, "{}", visible(reference))?;
            }
        }
        ReportFormat::Json => {
            let is_verified =
                pushed.failure.is_none() && !args.no_verify && !pushed.targets.is_empty();
            let report = json!({
                "digest": image.digest(),
                "references": references,
                "targets": pushed.targets,
                "layout": pushed.layout.as_ref().map(|layout| &layout.folder),
                "format": format_name(args.format),
                "size": { "module": module_size, "layer": image.layer.bytes.len() },
                "blobs": pushed.blobs,
                "verified": is_verified,
            });
            writeln!(console.out, "{}", visible_json(&report.to_string()))?;
        }
    }
    let Blobs { uploaded, present } = pushed.blobs;
    if pushed.failure.is_some() && uploaded + present == 0 {
        return Ok(());
    }
    console.message(format_args!(
        "blobs: {uploaded} uploaded, {present} already there"
    ));
    Ok(())
}
