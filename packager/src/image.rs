//! The image: a module and its annotations, as the blobs that every consumer of Wasm images loads.
//!
//! One image manifest (never an index), a real image configuration, and one gzipped tar layer with
//! `plugin.wasm` (OCI image specification, `manifest.md`, `config.md`, `layer.md`). The digest is a
//! function of the module, the annotations and the time stamp alone.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context, Result};
use chrono::{DateTime, SecondsFormat};
use flate2::{Compression, GzBuilder};
use serde_json::json;

use crate::digest::sha256;

pub(crate) mod docker_hub;
pub(crate) mod manifest;
pub mod media_type;

/// The name of the module in the layer, which Istio's agent looks for.
pub(crate) const MODULE_NAME: &str = "plugin.wasm";

/// The format of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// An OCI image, which every gateway and every tool reads
    Oci,
    /// The same with docker's media types and without annotations, for registries that accept no others
    Docker,
    /// The older format of Wasm images, with an unpacked module, which only gateways load
    Artifact,
}

/// Annotations of an image. They are also the labels of its configuration, since docker's manifest has none.
pub(crate) type Annotations = BTreeMap<String, String>;

/// A blob of an image with its descriptor.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) media_type: &'static str,
    /// `sha256:` and 64 hexadecimal digits.
    pub(crate) digest: String,
    pub(crate) bytes: Vec<u8>,
}

/// An image. Its blobs are pushed before the manifest that names them.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// The layer with the module.
    pub(crate) layer: Blob,
    /// The other blobs: the image configuration, and the runtime configuration of an artifact.
    pub(crate) rest: Vec<Blob>,
    /// The manifest, whose digest is the image's.
    pub(crate) manifest: Blob,
}

impl Image {
    /// Packages a module with annotations.
    ///
    /// `epoch`, in seconds since 1970, is the value of every time stamp. Keys are sorted, the compression
    /// level is fixed and nothing depends on the machine, so equal arguments give equal bytes.
    ///
    /// # Errors
    /// The time stamp is too large for gzip.
    pub(crate) fn build(
        module: &[u8],
        annotations: &Annotations,
        epoch: u64,
        format: Format,
    ) -> Result<Self> {
        let time = u32::try_from(epoch).context("the time stamp of the image is after 2106")?;
        match format {
            Format::Oci | Format::Docker => Self::archive(module, annotations, time, format),
            Format::Artifact => Self::artifact(module, annotations, time),
        }
    }

    fn archive(
        module: &[u8],
        annotations: &Annotations,
        time: u32,
        format: Format,
    ) -> Result<Self> {
        // Docker's manifest has no annotations (Docker image manifest, version 2 schema 2).
        let is_oci = format == Format::Oci;
        let (manifest_type, config_type, layer_type) = if is_oci {
            (media_type::MANIFEST, media_type::CONFIG, media_type::LAYER)
        } else {
            (
                media_type::DOCKER_MANIFEST,
                media_type::DOCKER_CONFIG,
                media_type::DOCKER_LAYER,
            )
        };

        // The configuration has the digest of the tar, the manifest has the digest of the compressed tar.
        let tar = tar(module, time)?;
        let config = Blob::new(config_type, config(&[sha256(&tar)], annotations, time)?);
        let layer = Blob::new(layer_type, gzip(&tar, time)?);
        let annotations = is_oci.then_some(annotations);
        let manifest = manifest(manifest_type, &config, &[&layer], annotations)?;
        Ok(Self {
            layer,
            rest: vec![config],
            manifest,
        })
    }

    /// Istio requires exactly two layers, and one of them is the module (Istio
    /// `pkg/wasm/imagefetcher.go`, `extractOCIArtifactImage`).
    fn artifact(module: &[u8], annotations: &Annotations, time: u32) -> Result<Self> {
        let layer = Blob::new(media_type::ARTIFACT_MODULE, module.to_vec());
        let runtime = Blob::new(
            media_type::ARTIFACT_CONFIG,
            serde_json::to_vec(&json!({ "type": "envoy_proxy" }))?,
        );
        // An artifact has no tar, so the configuration names its layers.
        let content = [runtime.digest.clone(), layer.digest.clone()];
        let config = Blob::new(media_type::CONFIG, config(&content, annotations, time)?);
        let layers = [&runtime, &layer];
        let manifest = manifest(media_type::MANIFEST, &config, &layers, Some(annotations))?;
        Ok(Self {
            layer,
            rest: vec![runtime, config],
            manifest,
        })
    }

    /// All blobs but the manifest, in the order in which they are sent.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = &Blob> {
        std::iter::once(&self.layer).chain(&self.rest)
    }

    /// The digest of the manifest.
    #[must_use]
    pub(crate) fn digest(&self) -> &str {
        &self.manifest.digest
    }
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self {
            media_type,
            digest: sha256(&bytes),
            bytes,
        }
    }

    /// The descriptor of the blob (OCI image specification, `descriptor.md`).
    #[must_use]
    pub(crate) fn descriptor(&self) -> serde_json::Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len() })
    }
}

fn manifest(
    media_type: &'static str,
    config: &Blob,
    layers: &[&Blob],
    annotations: Option<&Annotations>,
) -> Result<Blob> {
    let layers: Vec<_> = layers.iter().map(|layer| layer.descriptor()).collect();
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config.descriptor(),
        "layers": layers,
    });
    // An empty key would change the digest, so it is left out.
    if let Some((manifest, annotations)) = manifest.as_object_mut().zip(annotations) {
        manifest.insert("annotations".into(), json!(annotations));
    }
    Ok(Blob::new(media_type, serde_json::to_vec(&manifest)?))
}

fn tar(module: &[u8], time: u32) -> Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_path(MODULE_NAME)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(u64::try_from(module.len())?);
    header.set_mode(0o644);
    // Owner and mode are fixed, so that the tar does not depend on the machine.
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(u64::from(time));
    // The checksum covers the other fields.
    header.set_cksum();
    let mut archive = tar::Builder::new(Vec::new());
    archive.append(&header, module)?;
    Ok(archive.into_inner()?)
}

fn gzip(bytes: &[u8], time: u32) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new()
        .mtime(time)
        .write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn config(diff_ids: &[String], annotations: &Annotations, time: u32) -> Result<Vec<u8>> {
    let created = DateTime::from_timestamp(i64::from(time), 0).unwrap_or_default();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "created": created.to_rfc3339_opts(SecondsFormat::Secs, true),
        "config": { "Labels": annotations },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    Ok(serde_json::to_vec(&config)?)
}
