//! The manifest of an image, read as Istio's agent reads it (Istio `pkg/wasm/imagefetcher.go`;
//! Envoy Gateway's `internal/wasm` is the same code).

use std::io::Read;

use anyhow::{Context, Result, anyhow};
use flate2::read::GzDecoder;
use gateway::advice::Advice;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Annotations, MODULE_NAME, media_type};
use crate::module::MAX_SIZE;
use crate::text::foreign;

/// The hint for images that gateways do not accept.
const PUSH: &str =
    "push the module with `packager push`, which writes an image that gateways accept";

/// The content of a reference.
#[derive(Clone, Debug)]
pub(crate) enum Manifest {
    Image(ImageManifest),
    /// An index of images for several platforms.
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
    pub(crate) media_type: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub(crate) digest: String,
    /// The length in octets.
    pub(crate) size: u64,
}

/// The formats of Wasm images that gateways load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Variant {
    /// An OCI image with a tar.
    Compat,
    /// The same with docker's media types.
    Docker,
    /// An artifact with an unpacked module.
    Artifact,
}

impl Manifest {
    /// Reads a manifest or an index.
    ///
    /// # Errors
    /// The text is neither of them.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Head {
            #[serde(default)]
            media_type: String,
            manifests: Option<Vec<Child>>,
        }
        let head: Head = parse(bytes)?;
        // The media type is optional in OCI manifests. Without it, only an index has manifests.
        let is_index = match head.media_type.as_str() {
            "" => head.manifests.is_some(),
            media_type::INDEX | media_type::DOCKER_INDEX => true,
            _ => false,
        };
        if is_index {
            return Ok(Self::Index(head.manifests.unwrap_or_default()));
        }
        Ok(Self::Image(parse(bytes)?))
    }
}

/// Reads JSON of a registry. The error of the library quotes it.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| anyhow!("{}", foreign(&error.to_string())))
        .context("reading the manifest")
}

/// The image of an index that gateways load. They look for this platform on every machine.
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
    /// Reads the manifest of one image.
    ///
    /// # Errors
    /// The text is another one.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        parse(bytes)
    }

    /// The layer in which a gateway would look for the module.
    ///
    /// # Errors
    /// A gateway would accept none of the layers.
    pub(crate) fn module_layer(&self) -> Result<(Variant, &Descriptor), Advice> {
        let Some(last) = self.layers.last() else {
            return Err(Advice::new("the image has no layer", PUSH));
        };

        // The agent looks at the last layer, and its media type has to match the manifest.
        let (variant, expected) = if self.media_type == media_type::DOCKER_MANIFEST {
            (Variant::Docker, media_type::DOCKER_LAYER)
        } else {
            (Variant::Compat, media_type::LAYER)
        };
        if last.media_type == expected {
            return Ok((variant, last));
        }

        // An artifact has exactly two layers, in any order.
        let module = self
            .layers
            .iter()
            .find(|layer| layer.media_type == media_type::ARTIFACT_MODULE);
        match module {
            Some(layer) if self.layers.len() == 2 && variant == Variant::Compat => {
                Ok((Variant::Artifact, layer))
            }
            Some(_) | None => Err(Advice::new(
                format!(
                    "the last layer has media type {}, and gateways accept only {expected}",
                    last.media_type
                ),
                PUSH,
            )),
        }
    }
}

impl Variant {
    /// The name in reports.
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
    /// A gateway would find no module.
    pub(crate) fn unpack(self, layer: Vec<u8>) -> Result<Vec<u8>, Advice> {
        match self {
            Self::Artifact => Ok(layer),
            Self::Compat | Self::Docker => match find_module(&layer) {
                Ok(Some(module)) => Ok(module),
                Ok(None) => Err(Advice::new(
                    format!("the last layer has no file {MODULE_NAME}"),
                    "push the module with `packager push`",
                )),
                Err(error) => Err(Advice::new(
                    format!("the layer is not a gzipped tar: {error:#}"),
                    "push it again with `packager push --overwrite`",
                )),
            },
        }
    }
}

/// The content of the first file with the name of the module, in any folder. As in a gateway, unpacking
/// stops at a limit.
fn find_module(layer: &[u8]) -> Result<Option<Vec<u8>>> {
    let limit = u64::try_from(MAX_SIZE)?;
    // A small layer may unpack to a huge file, so the limit is for the unpacked data.
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
