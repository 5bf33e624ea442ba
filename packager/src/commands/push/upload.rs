//! Uploads an image to registries and writes it to a folder.

use std::path::PathBuf;

use anyhow::{Context, Error, Result, bail, ensure};
use gateway::advice::Advice;
use oci_client::Reference;
use serde::Serialize;

use super::Args;
use crate::commands::layout::Layout;
use crate::commands::registry::{Connection, Operation, Pulled, Registry, Tag, Upload};
use crate::console::Console;
use crate::image::{Blob, Format, Image};

/// The folder of an image that is pushed without a reference.
const DEFAULT_LAYOUT: &str = "dist/oci";

/// The result of a push, which may have ended before all references were pushed.
#[derive(Debug)]
pub(super) struct Pushed {
    pub(super) targets: Vec<Target>,
    pub(super) layout: Option<Written>,
    pub(super) blobs: Blobs,
    /// Why the push ended early.
    pub(super) failure: Option<Error>,
}

/// A layout that was written.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) folder: PathBuf,
    /// The reference with the digest.
    pub(super) reference: String,
}

/// A reference, and how far its push came.
#[derive(Debug, Serialize)]
pub(super) struct Target {
    /// The reference with the digest, for `packager manifest --image`.
    pub(super) reference: String,
    pub(super) state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum State {
    /// The tag names the image.
    Pushed,
    /// The tag names the image, which could not be pulled for comparison.
    NotVerified,
    /// The registry accepted the manifest, but afterwards the tag could not be read, or did not name the image.
    Accepted,
    /// The registry did not accept the image.
    Failed,
    /// An earlier reference failed.
    NotTried,
}

impl State {
    /// Whether the registry has accepted the image, so that the reference with its digest may be used.
    pub(super) fn is_there(self) -> bool {
        match self {
            Self::Pushed | Self::NotVerified | Self::Accepted => true,
            Self::Failed | Self::NotTried => false,
        }
    }
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

/// Pushes an image to each target, and writes it to a folder. The first failure ends the push.
pub(super) fn push(
    args: &Args,
    connection: &Connection,
    image: &Image,
    targets: &[Reference],
    console: &mut Console<'_>,
) -> Result<Pushed> {
    let layout = layout(args, targets)?;
    let mut pushed = Pushed {
        targets: targets
            .iter()
            .map(|target| Target {
                reference: format!("oci://{}@{}", target.whole(), image.digest()),
                state: State::NotTried,
            })
            .collect(),
        layout: None,
        blobs: Blobs::default(),
        failure: None,
    };
    if let Err(error) = push_all(args, connection, image, targets, &mut pushed, console) {
        pushed.failure = Some(error);
        return Ok(pushed);
    }
    // What was pushed is in the report, also if the layout cannot be written.
    if let Some(folder) = layout
        && let Err(error) = write_layout(folder, image, &mut pushed)
    {
        pushed.failure = Some(error);
    }
    Ok(pushed)
}

fn write_layout(folder: PathBuf, image: &Image, pushed: &mut Pushed) -> Result<()> {
    let uploads = Layout::open_or_create(&folder)?.write(image, env!("CARGO_PKG_VERSION"))?;
    for upload in uploads {
        pushed.blobs.count(upload);
    }
    pushed.layout = Some(Written {
        reference: format!("oci-layout:{}@{}", folder.display(), image.digest()),
        folder,
    });
    Ok(())
}

/// Pushes to all registries, and notes how far each one came.
fn push_all(
    args: &Args,
    connection: &Connection,
    image: &Image,
    targets: &[Reference],
    pushed: &mut Pushed,
    console: &mut Console<'_>,
) -> Result<()> {
    let Pushed {
        targets: states,
        blobs,
        ..
    } = pushed;
    // Every registry is checked before the first upload, so that a typing error changes nothing.
    let mut registries = Vec::new();
    for (target, entry) in targets.iter().zip(states) {
        entry.state = State::Failed;
        let prepared = prepare(args, connection, image, target)
            .with_context(|| format!("pushing {}", target.whole()))?;
        entry.state = State::NotTried;
        registries.push((target, entry, prepared));
    }

    for (target, entry, (registry, before)) in registries {
        let name = target.whole();
        entry.state = State::Failed;
        send(&registry, image, &before, blobs, console)
            .with_context(|| format!("pushing {name}"))?;
        entry.state = State::Accepted;
        registry
            .wait_for_tag(image.digest())
            .with_context(|| format!("pushing {name}"))?;
        // The tag names the image from here on, whatever happens to the pull.
        entry.state = State::NotVerified;
        if !args.no_verify {
            pull_back(&registry, target, image).with_context(|| format!("pulling {name} back"))?;
        }
        entry.state = State::Pushed;
    }
    Ok(())
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

/// Logs in to a registry and checks that the tag is free, or has the same image. Returns what it names.
fn prepare(
    args: &Args,
    connection: &Connection,
    image: &Image,
    target: &Reference,
) -> Result<(Registry, Tag)> {
    let registry = Registry::open(connection, target, Operation::Push)?;
    registry.log_in()?;
    let tag = registry.tagged()?;
    match tag {
        Tag::Names(digest) if digest != image.digest() && !args.overwrite => bail!(Advice::new(
            format!("the tag names another image, {digest}"),
            "push under another tag, or move this tag with --overwrite"
        )),
        // A tag that the user cannot see may name another image.
        Tag::Hidden(advice) if !args.overwrite => Err(advice.into()),
        tag @ (Tag::Names(_) | Tag::Absent | Tag::Hidden(_)) => Ok((registry, tag)),
    }
}

/// Uploads the blobs, then the manifest, so that an interrupted push leaves no tag.
fn send(
    registry: &Registry,
    image: &Image,
    before: &Tag,
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
    registry.send_manifest(image, before)
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
