//! The manifest of an image, read the way Istio's agent reads it (Istio `pkg/wasm/imagefetcher.go`;
//! Envoy Gateway's `internal/wasm` is the same code).

use std::io::Read;

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use gateway::advice::Advice;
use serde::{Deserialize, Serialize};

use super::{Annotations, MODULE_NAME, media_type};
use crate::module::MAX_SIZE;

/// What a reference names.
#[derive(Clone, Debug)]
pub(crate) enum Manifest {
    /// An image.
    Image(ImageManifest),
    /// Images for several platforms.
    Index(Vec<Child>),
}

/// The manifest of one image.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImageManifest {
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    layers: Vec<Descriptor>,
    /// What the image says of itself.
    #[serde(default)]
    pub(crate) annotations: Annotations,
}

/// An image of an index.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Child {
    /// The digest of its manifest.
    pub(crate) digest: String,
    platform: Option<Platform>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

/// A blob, as a manifest names it (OCI image specification, `descriptor.md`).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    /// What it is.
    pub(crate) media_type: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub(crate) digest: String,
    /// Octets.
    pub(crate) size: u64,
}

/// The forms of Wasm images that gateways know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Variant {
    /// An image with a tar.
    Compat,
    /// The same under docker's media types.
    Docker,
    /// An artifact with the module as it is.
    Artifact,
}

impl Manifest {
    /// Reads a manifest or an index.
    ///
    /// # Errors
    /// It is neither.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Head {
            #[serde(default)]
            media_type: String,
            manifests: Option<Vec<Child>>,
        }
        let head: Head = serde_json::from_slice(bytes).context("reading the manifest")?;
        let is_index = [media_type::INDEX, media_type::DOCKER_INDEX];
        match head.manifests {
            Some(children) if head.media_type.is_empty() => Ok(Self::Index(children)),
            children if is_index.contains(&head.media_type.as_str()) => {
                Ok(Self::Index(children.unwrap_or_default()))
            }
            _ => Ok(Self::Image(
                serde_json::from_slice(bytes).context("reading the manifest")?,
            )),
        }
    }
}

/// The image of an index that a gateway takes. It looks for this platform on every machine.
#[must_use]
pub(crate) fn linux_amd64(children: &[Child]) -> Option<&Child> {
    let wanted = Platform {
        architecture: "amd64".into(),
        os: "linux".into(),
    };
    children
        .iter()
        .find(|child| child.platform.as_ref() == Some(&wanted))
}

impl ImageManifest {
    /// The layer that a gateway would look for the module in.
    ///
    /// # Errors
    /// There is none that it would take.
    pub(crate) fn module_layer(&self) -> Result<(Variant, &Descriptor), Advice> {
        let wrong = |reason: String| {
            Advice::new(
                reason,
                "push the module with `packager push`, which writes what they take",
            )
        };
        let Some(last) = self.layers.last() else {
            return Err(wrong("the image has no layer".into()));
        };
        let (variant, expected) = if self.media_type == media_type::DOCKER_MANIFEST {
            (Variant::Docker, media_type::DOCKER_LAYER)
        } else {
            (Variant::Compat, media_type::LAYER)
        };
        if last.media_type == expected {
            return Ok((variant, last));
        }
        let module = self
            .layers
            .iter()
            .find(|layer| layer.media_type == media_type::ARTIFACT_MODULE);
        match module {
            Some(layer) if self.layers.len() == 2 && variant == Variant::Compat => {
                Ok((Variant::Artifact, layer))
            }
            _ => Err(wrong(format!(
                "its last layer has media type {}, and gateways take only {expected}",
                last.media_type
            ))),
        }
    }
}

impl Variant {
    /// Its name.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Compat => "compat",
            Self::Docker => "docker",
            Self::Artifact => "artifact",
        }
    }

    /// The module in a layer.
    ///
    /// # Errors
    /// There is none that a gateway would find.
    pub(crate) fn unpack(self, layer: Vec<u8>) -> Result<Vec<u8>, Advice> {
        match self {
            Self::Artifact => Ok(layer),
            Self::Compat | Self::Docker => {
                let found = find_module(&layer).map_err(|error| {
                    let reason = format!("its layer is no gzipped tar: {error:#}");
                    Advice::new(reason, "push it again with `packager push --overwrite`")
                })?;
                found.ok_or_else(|| {
                    let reason = format!("its last layer holds no file {MODULE_NAME}");
                    Advice::new(reason, "push the module with `packager push`")
                })
            }
        }
    }
}

/// The first file of that name, in whatever folder. Not more than a gateway reads is unpacked.
fn find_module(layer: &[u8]) -> Result<Option<Vec<u8>>> {
    let limit = u64::try_from(MAX_SIZE)?;
    let mut archive = tar::Archive::new(GzDecoder::new(layer).take(limit));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry
            .path()?
            .file_name()
            .is_some_and(|name| name == MODULE_NAME)
        {
            let mut module = Vec::new();
            entry.read_to_end(&mut module)?;
            return Ok(Some(module));
        }
    }
    Ok(None)
}
