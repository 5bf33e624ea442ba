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
use sha2::{Digest, Sha256};

/// The media type of the manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// The name of the module in the layer, which Istio's agent looks for.
pub const MODULE_NAME: &str = "plugin.wasm";

/// Annotations of an image, which are also the labels of its configuration.
pub type Annotations = BTreeMap<String, String>;

/// One blob of an image.
#[derive(Clone, Debug)]
pub struct Blob {
    /// Its media type.
    pub media_type: &'static str,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// An image, in the order in which it is pushed: what the manifest names goes before it.
#[derive(Clone, Debug)]
pub struct Image {
    /// The gzipped tar with the module.
    pub layer: Blob,
    /// The image configuration.
    pub config: Blob,
    /// The manifest, whose digest is the image's.
    pub manifest: Blob,
}

impl Image {
    /// Packages a module.
    ///
    /// `epoch`, in seconds since 1970, stands wherever a time does. With sorted keys, one
    /// compression level and nothing of this machine, equal arguments give equal bytes.
    ///
    /// # Errors
    /// The time stamp is beyond what gzip can hold.
    pub fn build(module: &[u8], annotations: &Annotations, epoch: u64) -> Result<Self> {
        let time = u32::try_from(epoch).context("the time stamp of the image is after 2106")?;
        let tar = tar(module, time)?;
        let layer = Blob::new(LAYER, gzip(&tar, time)?);
        let config = Blob::new(CONFIG, config(&sha256(&tar), annotations, time)?);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
            "annotations": annotations,
        });
        let manifest = Blob::new(MANIFEST, serde_json::to_vec(&manifest)?);
        Ok(Self { layer, config, manifest })
    }

    /// The digest of the manifest.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.manifest.digest
    }
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self { media_type, digest: sha256(&bytes), bytes }
    }

    /// The descriptor of the blob (OCI image specification, `descriptor.md`).
    #[must_use]
    pub fn descriptor(&self) -> serde_json::Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len() })
    }
}

/// The digest of some bytes, as OCI writes it.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn tar(module: &[u8], time: u32) -> Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_path(MODULE_NAME)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(u64::try_from(module.len())?);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(u64::from(time));
    header.set_cksum();
    let mut archive = tar::Builder::new(Vec::new());
    archive.append(&header, module)?;
    Ok(archive.into_inner()?)
}

fn gzip(bytes: &[u8], time: u32) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(time).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn config(diff_id: &str, annotations: &Annotations, time: u32) -> Result<Vec<u8>> {
    let created = DateTime::from_timestamp(i64::from(time), 0).unwrap_or_default();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "created": created.to_rfc3339_opts(SecondsFormat::Secs, true),
        "config": { "Labels": annotations },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    });
    Ok(serde_json::to_vec(&config)?)
}
