//! `packager push`: the module as an image, in a registry or in a folder.

mod provenance;

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use clap::builder::PossibleValue;
use gateway::advice::Advice;
use oci_client::{Reference, RegistryOperation};
use serde::Serialize;
use serde_json::json;

use super::layout::Layout;
use super::registry::{Connection, ConnectionArgs, Pulled, Registry};
use super::{ReportFormat, build, files};
use crate::console::{Console, ExitStatus};
use crate::image::{Blob, Format, Image};
use crate::module;

/// Push the filter to a registry as an image that gateways load
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  packager push
  packager push registry.example.com/sni-guard:1.2.3 registry.example.com/sni-guard:1.2
  packager push localhost:5000/sni-guard:dev --module dist/sni-guard.wasm
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
    /// An annotation of the image, which may replace one that the module provides; repeat it for more
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
    #[arg(long, value_enum, default_value = "text")]
    output: ReportFormat,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    let targets: Vec<Reference> = args
        .references
        .iter()
        .map(|text| target(text))
        .collect::<Result<_>>()?;
    let wasm = match &args.module {
        Some(path) => files::read(path)?,
        None => build::build_default(console)?,
    };
    let problems = module::inspect(&wasm)
        .context("inspecting the module to push")?
        .problems;
    if !problems.is_empty() {
        for problem in problems {
            console.say(format_args!(
                "not pushed: Envoy would not load the module: {problem}"
            ));
        }
        return Ok(ExitStatus::No);
    }
    let annotations = provenance::annotations(&wasm, &args.annotation)?;
    let epoch = provenance::source_date_epoch()?;
    let image = Image::build(&wasm, &annotations, epoch, args.format)?;
    if let Some(expected) = args
        .expect_digest
        .as_ref()
        .filter(|digest| *digest != image.digest())
    {
        bail!(Advice::new(
            format!(
                "the image has digest {}, not {expected}: nothing was pushed",
                image.digest()
            ),
            "compare --dry-run with the annotations of that image: they name its revision, its rustc \
             and its wasm-opt"
        ));
    }
    if args.dry_run {
        console.out.write_all(&image.manifest.bytes)?;
        writeln!(console.out)?;
        console.say(format_args!(
            "{}, layer {} bytes",
            image.digest(),
            image.layer.bytes.len()
        ));
        return Ok(ExitStatus::Yes);
    }
    let connection = args.connection.read(console)?;
    let pushed = push(args, &connection, &image, &targets, console)?;
    if let Some(path) = &args.digest_file {
        files::write(path, format!("{}\n", image.digest()).as_bytes())?;
    }
    report(args, &image, wasm.len(), &pushed, console)?;
    Ok(ExitStatus::Yes)
}

/// Reads `HOST/REPOSITORY:TAG`, with or without `oci://` in front.
fn target(text: &str) -> Result<Reference> {
    let reference: Reference = text
        .strip_prefix("oci://")
        .unwrap_or(text)
        .parse()
        .with_context(|| format!("reference {text:?} is not of the form HOST/REPOSITORY:TAG"))?;
    if reference.digest().is_some() {
        bail!(Advice::new(
            format!("reference {text} has a digest, and the digest of an image is its own"),
            "leave it out, or check it with --expect-digest"
        ));
    }
    Ok(reference)
}

/// What was pushed where.
#[derive(Debug)]
struct Pushed {
    references: Vec<String>,
    layout: Option<PathBuf>,
    blobs: Blobs,
    verified: bool,
}

/// What became of the blobs of each reference, the manifest not counted.
#[derive(Debug, Default, Serialize)]
struct Blobs {
    uploaded: usize,
    present: usize,
}

impl Blobs {
    fn add(&mut self, was_sent: bool) {
        *(if was_sent {
            &mut self.uploaded
        } else {
            &mut self.present
        }) += 1;
    }
}

fn push(
    args: &Args,
    connection: &Connection,
    image: &Image,
    targets: &[Reference],
    console: &mut Console<'_>,
) -> Result<Pushed> {
    let layout = match &args.layout {
        None if targets.is_empty() => Some(PathBuf::from("dist/oci")),
        folder => folder.clone(),
    };
    if layout.is_some() && args.format == Format::Docker {
        bail!(Advice::new(
            "an OCI layout holds no image of docker's form",
            "leave out --format docker, or push to a registry"
        ));
    }
    let registries = targets
        .iter()
        .map(|target| prepare(args, connection, image, target))
        .collect::<Result<Vec<_>>>()?;
    let mut blobs = Blobs::default();
    let mut references = Vec::new();
    for (target, registry) in targets.iter().zip(&registries) {
        let name = target.whole();
        send(registry, image, &mut blobs, console).with_context(|| format!("pushing {name}"))?;
        if !args.no_verify {
            pull_back(registry, target, image).with_context(|| format!("pulling {name} back"))?;
        }
        references.push(format!("oci://{name}@{}", image.digest()));
    }
    if let Some(folder) = &layout {
        Layout::at(folder)?.write(image, env!("CARGO_PKG_VERSION"), |sent| blobs.add(sent))?;
        references.push(format!(
            "oci-layout:{}@{}",
            folder.display(),
            image.digest()
        ));
    }
    let verified = !args.no_verify && !targets.is_empty();
    Ok(Pushed {
        references,
        layout,
        blobs,
        verified,
    })
}

/// Logs in and looks at the tag, for every reference before anything is sent to the first.
fn prepare(
    args: &Args,
    connection: &Connection,
    image: &Image,
    target: &Reference,
) -> Result<Registry> {
    let prepared = || {
        let registry = Registry::open(connection, target, RegistryOperation::Push)?;
        registry.log_in()?;
        let tagged = registry.tagged()?;
        if let Some(digest) = tagged.filter(|digest| digest != image.digest() && !args.overwrite) {
            bail!(Advice::new(
                format!("the tag names another image, {digest}"),
                "push under another tag, or move this one with --overwrite"
            ));
        }
        Ok(registry)
    };
    prepared().with_context(|| format!("pushing {}", target.whole()))
}

/// Sends what the manifest names and then the manifest, so that an interrupted push leaves no tag.
fn send(
    registry: &Registry,
    image: &Image,
    blobs: &mut Blobs,
    console: &mut Console<'_>,
) -> Result<()> {
    for blob in image.blobs() {
        console.progress(format_args!(
            "sending {}, {} bytes",
            blob.digest,
            blob.bytes.len()
        ));
        blobs.add(registry.send_blob(blob)?);
    }
    registry.send_manifest(image)
}

/// Pulls the manifest and its blobs, by tag, and compares them with what was pushed.
fn pull_back(registry: &Registry, target: &Reference, image: &Image) -> Result<()> {
    let pulled = registry.pull_manifest(target, &[image.manifest.media_type])?;
    ensure!(
        is(&pulled, &image.manifest),
        "the tag names another image than {}",
        image.digest()
    );
    for blob in image.blobs() {
        let pulled = registry.pull_blob(&blob.digest)?;
        ensure!(
            is(&pulled, blob),
            "the registry has other bytes under {}",
            blob.digest
        );
    }
    Ok(())
}

fn is(pulled: &Pulled, blob: &Blob) -> bool {
    matches!(pulled, Pulled::Right(bytes) if *bytes == blob.bytes)
}

fn report(
    args: &Args,
    image: &Image,
    module_size: usize,
    pushed: &Pushed,
    console: &mut Console<'_>,
) -> Result<()> {
    match args.output {
        ReportFormat::Text => {
            pushed
                .references
                .iter()
                .try_for_each(|line| writeln!(console.out, "{line}"))?;
        }
        ReportFormat::Json => {
            let format = args.format.to_possible_value();
            let report = json!({
                "digest": image.digest(),
                "references": pushed.references,
                "layout": pushed.layout,
                "format": format.as_ref().map(PossibleValue::get_name),
                "size": { "module": module_size, "layer": image.layer.bytes.len() },
                "blobs": pushed.blobs,
                "verified": pushed.verified,
            });
            writeln!(console.out, "{report}")?;
        }
    }
    let Blobs { uploaded, present } = pushed.blobs;
    console.say(format_args!(
        "blobs: {uploaded} uploaded, {present} already there"
    ));
    Ok(())
}
