//! OCI layouts: images in a folder (OCI image specification, `image-layout.md`).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use gateway::advice::Advice;
use serde_json::{Value, json};

use crate::commands::files;
use crate::commands::registry::Upload;
use crate::image::{Blob, Image, media_type};

const REF_NAME: &str = "org.opencontainers.image.ref.name";

pub(crate) struct Layout {
    folder: PathBuf,
    /// The descriptors of the images in the layout.
    manifests: Vec<Value>,
}

impl Layout {
    /// Opens a layout, or prepares a new one in a folder that is empty or does not exist.
    pub(crate) fn open_or_create(folder: &Path) -> Result<Self> {
        let index = folder.join("index.json");
        let manifests = if folder.join("oci-layout").is_file() {
            let index: Value = serde_json::from_slice(&files::read(&index)?)
                .with_context(|| format!("reading {}", index.display()))?;
            index
                .get("manifests")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default()
        } else if is_empty(folder) {
            Vec::new()
        } else {
            bail!(Advice::new(
                format!(
                    "writing OCI layout {}: the folder has other files",
                    folder.display()
                ),
                "name an empty folder with --layout, or a folder with an OCI layout"
            ));
        };
        Ok(Self {
            folder: folder.to_owned(),
            manifests,
        })
    }

    /// Opens a layout that exists.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        // This file marks a folder as a layout (OCI image specification).
        if !folder.join("oci-layout").is_file() {
            bail!(Advice::new(
                format!(
                    "reading OCI layout {}: it has no file oci-layout",
                    folder.display()
                ),
                "name a folder that `packager push` wrote, such as dist/oci"
            ));
        }
        Self::open_or_create(folder)
    }

    /// The digest of the image, if the layout has only one.
    pub(crate) fn only_digest(&self) -> Result<String> {
        let digests: Vec<_> = self
            .manifests
            .iter()
            .filter_map(|m| m.get("digest")?.as_str())
            .collect();
        match digests.as_slice() {
            [digest] => Ok((*digest).to_owned()),
            _ => bail!(Advice::new(
                format!(
                    "OCI layout {} has {} images",
                    self.folder.display(),
                    digests.len()
                ),
                format!(
                    "name one image as oci-layout:{}@sha256:…",
                    self.folder.display()
                )
            )),
        }
    }

    /// The content under a digest. It is not compared with the digest.
    pub(crate) fn blob(&self, digest: &str) -> Result<Vec<u8>> {
        // The digest becomes a path, so it must not have other characters.
        let hexadecimal = digest
            .strip_prefix("sha256:")
            .filter(|text| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(hexadecimal) = hexadecimal else {
            bail!("{digest:?} is not a sha256 digest")
        };
        files::read(&self.folder.join("blobs/sha256").join(hexadecimal))
    }

    /// Adds an image under a name, and replaces the image that has the name. Returns what happened to each
    /// blob except the manifest.
    pub(crate) fn write(mut self, image: &Image, name: &str) -> Result<Vec<Upload>> {
        let mut uploads = Vec::new();
        for blob in image.blobs() {
            uploads.push(self.write_blob(blob)?);
        }
        self.write_blob(&image.manifest)?;
        files::write(
            &self.folder.join("oci-layout"),
            br#"{"imageLayoutVersion":"1.0.0"}"#,
        )?;
        let mut descriptor = image.manifest.descriptor();
        if let Some(descriptor) = descriptor.as_object_mut() {
            descriptor.insert("annotations".into(), json!({ REF_NAME: name }));
        }

        // The index comes last: until then nothing changes for a reader.
        self.manifests.retain(|other| ref_name(other) != Some(name));
        self.manifests.push(descriptor);
        let index = json!({
            "schemaVersion": 2,
            "mediaType": media_type::INDEX,
            "manifests": self.manifests,
        });
        files::write(
            &self.folder.join("index.json"),
            &serde_json::to_vec(&index)?,
        )?;
        Ok(uploads)
    }

    fn write_blob(&self, blob: &Blob) -> Result<Upload> {
        let path = self
            .folder
            .join("blobs")
            .join(blob.digest.replace(':', "/"));
        // A blob with other content under its digest is damaged, and is written again.
        if fs::read(&path).is_ok_and(|bytes| bytes == blob.bytes) {
            return Ok(Upload::Skipped);
        }
        files::write(&path, &blob.bytes)?;
        Ok(Upload::Sent)
    }
}

fn ref_name(descriptor: &Value) -> Option<&str> {
    descriptor.get("annotations")?.get(REF_NAME)?.as_str()
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}
