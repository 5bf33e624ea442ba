//! Uploads an image to registries and writes it to a folder.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use gateway::advice::Advice;
use oci_client::{Reference, RegistryOperation};
use serde::Serialize;

use super::Args;
use crate::commands::layout::Layout;
use crate::commands::registry::{Connection, Pulled, Registry, Upload};
use crate::console::Console;
use crate::image::{Blob, Format, Image};

/// The folder of an image that is pushed without a reference.
const DEFAULT_LAYOUT: &str = "dist/oci";

/// The result of a push.
#[derive(Debug)]
pub(super) struct Pushed {
    /// The references with the digest, for `packager manifest --image`.
    pub(super) references: Vec<String>,
    pub(super) layout: Option<PathBuf>,
    pub(super) blobs: Blobs,
    /// Whether the image was pulled again and compared.
    pub(super) verified: bool,
}

/// The number of blobs over all references, without manifests.
#[derive(Debug, Default, Serialize)]
pub(super) struct Blobs {
    pub(super) uploaded: usize,
    pub(super) present: usize,
}

impl Blobs {
    fn count(&mut self, upload: Upload) {
        match upload {
            Upload::Sent => self.uploaded += 1,
            Upload::Skipped => self.present += 1,
        }
    }
}

pub(super) fn push(
    args: &Args,
    connection: &Connection,
    image: &Image,
    targets: &[Reference],
    console: &mut Console<'_>,
) -> Result<Pushed> {
    let layout = layout(args, targets)?;

    // Every registry is checked before the first upload, so that a typing error changes nothing.
    let mut registries = Vec::new();
    for target in targets {
        let registry = prepare(args, connection, image, target)
            .with_context(|| format!("pushing {}", target.whole()))?;
        registries.push((target, registry));
    }

    let mut blobs = Blobs::default();
    let mut references = Vec::new();
    for (target, registry) in &registries {
        let name = target.whole();
        send(registry, image, &mut blobs, console).with_context(|| format!("pushing {name}"))?;
        if !args.no_verify {
            pull_back(registry, target, image).with_context(|| format!("pulling {name} back"))?;
        }
        references.push(format!("oci://{name}@{}", image.digest()));
    }
    if let Some(folder) = &layout {
        let uploads = Layout::open_or_create(folder)?.write(image, env!("CARGO_PKG_VERSION"))?;
        for upload in uploads {
            blobs.count(upload);
        }
        references.push(format!(
            "oci-layout:{}@{}",
            folder.display(),
            image.digest()
        ));
    }
    Ok(Pushed {
        references,
        layout,
        blobs,
        verified: !args.no_verify && !targets.is_empty(),
    })
}

/// The folder for the image, if it goes to a folder.
fn layout(args: &Args, targets: &[Reference]) -> Result<Option<PathBuf>> {
    let layout = match &args.layout {
        Some(folder) => folder.clone(),
        None if targets.is_empty() => PathBuf::from(DEFAULT_LAYOUT),
        None => return Ok(None),
    };
    match args.format {
        Format::Docker => bail!(Advice::new(
            "an OCI layout cannot have an image in docker's format",
            "remove --format docker, or push to a registry"
        )),
        Format::Oci | Format::Artifact => Ok(Some(layout)),
    }
}

/// Logs in to a registry and checks that the tag is free, or has the same image.
fn prepare(
    args: &Args,
    connection: &Connection,
    image: &Image,
    target: &Reference,
) -> Result<Registry> {
    let registry = Registry::open(connection, target, RegistryOperation::Push)?;
    registry.log_in()?;
    match registry.tagged()? {
        Some(digest) if digest != image.digest() && !args.overwrite => bail!(Advice::new(
            format!("the tag names another image, {digest}"),
            "push under another tag, or move this tag with --overwrite"
        )),
        Some(_) | None => Ok(registry),
    }
}

/// Uploads the blobs, then the manifest, so that an interrupted push leaves no tag.
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
        blobs.count(registry.send_blob(blob)?);
    }
    registry.send_manifest(image)
}

/// Pulls the manifest by its tag and the blobs by their digests, and compares them with the image.
fn pull_back(registry: &Registry, target: &Reference, image: &Image) -> Result<()> {
    // Gateways pull by tag or digest, and the tag may have moved meanwhile.
    let pulled = registry.pull_manifest(target, &[image.manifest.media_type])?;
    ensure!(
        is_same(&pulled, &image.manifest),
        "the tag names another image than {}",
        image.digest()
    );
    for blob in image.blobs() {
        let pulled = registry.pull_blob(&blob.digest)?;
        ensure!(
            is_same(&pulled, blob),
            "the registry has other content under {}",
            blob.digest
        );
    }
    Ok(())
}

fn is_same(pulled: &Pulled, blob: &Blob) -> bool {
    match pulled {
        Pulled::Right(bytes) => *bytes == blob.bytes,
        Pulled::Wrong => false,
    }
}
