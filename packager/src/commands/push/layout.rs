//! An image in a folder (OCI image specification, `image-layout.md`).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::commands::files;
use crate::console::Hinted;
use crate::image::{Blob, Image};

const REF_NAME: &str = "org.opencontainers.image.ref.name";

pub(super) struct Layout {
    folder: PathBuf,
    /// The images that are there already, as descriptors.
    manifests: Vec<Value>,
}

impl Layout {
    /// Opens a layout, or prepares a new one in a folder that is empty or not there.
    pub(super) fn at(folder: &Path) -> Result<Self> {
        let index = folder.join("index.json");
        let manifests = if folder.join("oci-layout").is_file() {
            let index: Value = serde_json::from_slice(&files::read(&index)?)
                .with_context(|| format!("reading {}", index.display()))?;
            index.get("manifests").and_then(Value::as_array).cloned().unwrap_or_default()
        } else if is_empty(folder) {
            Vec::new()
        } else {
            bail!(Hinted::new(
                format!("writing OCI layout {}: the folder holds other files", folder.display()),
                "name an empty folder with --layout, or one that holds an OCI layout"
            ));
        };
        Ok(Self { folder: folder.to_owned(), manifests })
    }

    /// Adds an image under a name, in the place of what had the name, and returns how many of its
    /// two blobs were not there. The index goes last: until then nothing has changed for a reader.
    pub(super) fn write(mut self, image: &Image, name: &str) -> Result<usize> {
        let mut written = 0;
        for blob in [&image.layer, &image.config] {
            written += usize::from(self.write_blob(blob)?);
        }
        self.write_blob(&image.manifest)?;
        files::write(&self.folder.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let mut descriptor = image.manifest.descriptor();
        if let Some(descriptor) = descriptor.as_object_mut() {
            descriptor.insert("annotations".into(), json!({ REF_NAME: name }));
        }
        self.manifests.retain(|other| ref_name(other) != Some(name));
        self.manifests.push(descriptor);
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": self.manifests,
        });
        files::write(&self.folder.join("index.json"), &serde_json::to_vec(&index)?)?;
        Ok(written)
    }

    fn write_blob(&self, blob: &Blob) -> Result<bool> {
        let path = self.folder.join("blobs").join(blob.digest.replace(':', "/"));
        if fs::read(&path).is_ok_and(|bytes| bytes == blob.bytes) {
            return Ok(false);
        }
        files::write(&path, &blob.bytes)?;
        Ok(true)
    }
}

fn ref_name(descriptor: &Value) -> Option<&str> {
    descriptor.get("annotations")?.get(REF_NAME)?.as_str()
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}
