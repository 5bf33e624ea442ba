//! `packager push`: the module as an image, in a registry or in a folder.

mod layout;
mod provenance;
mod registry;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::json;

use self::layout::Layout;
use self::registry::{Registry, Target};
use super::{ReportFormat, build, files};
use crate::console::{Console, ExitStatus};
use crate::image::Image;
use crate::module;

/// Push the module as an image that Istio's gateways load
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(after_help = "Examples:
  packager push
  packager push registry.example.com/sni-guard:1.2.3 registry.example.com/sni-guard:1.2
  packager push localhost:5000/sni-guard:dev --module dist/sni-guard.wasm

Without a reference the image goes to an OCI layout, dist/oci, which skopeo, crane and umoci read.
Each line on standard output is a reference with its digest, for `packager manifest --image`.
Registries on localhost are spoken to in plain HTTP.

Exit status: 0 pushed, 1 Envoy would not load the module, 2 not pushed.")]
pub(crate) struct Args {
    /// Where to push the image
    #[arg(value_name = "REFERENCE")]
    references: Vec<String>,
    /// The module to push; without it the filter is built
    #[arg(long, value_name = "PATH")]
    module: Option<PathBuf>,
    /// Write an OCI layout to this folder, in addition to references
    #[arg(long, value_name = "DIR")]
    layout: Option<PathBuf>,
    /// An annotation of the image, in addition to or in the place of what the module tells; repeat
    /// it for more
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
    /// Push even where the tag names another image
    #[arg(long)]
    overwrite: bool,
    /// Print the manifest and the digest, and push nothing
    #[arg(long)]
    dry_run: bool,
    /// Push only an image of this digest
    #[arg(long, value_name = "sha256:…")]
    expect_digest: Option<String>,
    /// Write the digest to this file
    #[arg(long, value_name = "PATH")]
    digest_file: Option<PathBuf>,
    /// Speak plain HTTP with every registry
    #[arg(long)]
    plain_http: bool,
    /// Do not pull the image back to compare it
    #[arg(long)]
    no_verify: bool,
    /// How many seconds a registry may take to answer
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    timeout: u64,
    /// The form of the report
    #[arg(long, value_enum, default_value = "text")]
    output: ReportFormat,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    let targets: Vec<Target> =
        args.references.iter().map(|text| Target::parse(text)).collect::<Result<_>>()?;
    let wasm = match &args.module {
        Some(path) => files::read(path)?,
        None => build::build_default(console)?,
    };
    let problems = module::inspect(&wasm).context("inspecting the module to push")?.problems;
    if !problems.is_empty() {
        for problem in problems {
            console.say(format_args!("not pushed: Envoy would not load the module: {problem}"));
        }
        return Ok(ExitStatus::No);
    }
    let annotations = provenance::annotations(&wasm, &args.annotation)?;
    let image = Image::build(&wasm, &annotations, provenance::source_date_epoch()?)?;
    if let Some(expected) = args.expect_digest.as_ref().filter(|digest| *digest != image.digest()) {
        bail!("the image has digest {}, not {expected}: nothing was pushed", image.digest());
    }
    if args.dry_run {
        console.out.write_all(&image.manifest.bytes)?;
        writeln!(console.out)?;
        console.say(format_args!("{}, layer {} bytes", image.digest(), image.layer.bytes.len()));
        return Ok(ExitStatus::Yes);
    }
    let pushed = push(args, &image, &targets)?;
    if let Some(path) = &args.digest_file {
        files::write(path, format!("{}\n", image.digest()).as_bytes())?;
    }
    report(args, &image, wasm.len(), &pushed, console)?;
    Ok(ExitStatus::Yes)
}

/// What was pushed where.
#[derive(Debug)]
struct Pushed {
    references: Vec<String>,
    layout: Option<PathBuf>,
    blobs: Blobs,
}

/// What became of the layer and the configuration of each reference.
#[derive(Debug, Default, Serialize)]
struct Blobs {
    uploaded: usize,
    present: usize,
}

impl Blobs {
    /// Counts an image, of whose two blobs so many had to be sent.
    fn add(&mut self, uploaded: usize) {
        self.uploaded += uploaded;
        self.present += 2 - uploaded;
    }
}

fn push(args: &Args, image: &Image, targets: &[Target]) -> Result<Pushed> {
    let mut references = Vec::new();
    let mut blobs = Blobs::default();
    if !targets.is_empty() {
        let registry = Registry::new(args.plain_http, Duration::from_secs(args.timeout))?;
        for target in targets {
            let uploaded = registry
                .push(target, image, args.overwrite)
                .with_context(|| format!("pushing {}", target.name()))?;
            blobs.add(uploaded);
            if !args.no_verify {
                registry
                    .verify(target, image)
                    .with_context(|| format!("pulling {} back", target.name()))?;
            }
            references.push(format!("oci://{}@{}", target.name(), image.digest()));
        }
    }
    let layout = match &args.layout {
        None if targets.is_empty() => Some(PathBuf::from("dist/oci")),
        folder => folder.clone(),
    };
    if let Some(folder) = &layout {
        blobs.add(Layout::at(folder)?.write(image, env!("CARGO_PKG_VERSION"))?);
        references.push(format!("oci-layout:{}@{}", folder.display(), image.digest()));
    }
    Ok(Pushed { references, layout, blobs })
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
            pushed.references.iter().try_for_each(|line| writeln!(console.out, "{line}"))?;
        }
        ReportFormat::Json => {
            let report = json!({
                "digest": image.digest(),
                "references": pushed.references,
                "layout": pushed.layout,
                "format": "oci",
                "size": { "module": module_size, "layer": image.layer.bytes.len() },
                "blobs": pushed.blobs,
                "verified": !args.no_verify,
            });
            writeln!(console.out, "{report}")?;
        }
    }
    let Blobs { uploaded, present } = pushed.blobs;
    console.say(format_args!("blobs: {uploaded} uploaded, {present} already there"));
    Ok(())
}
