//! Where an image or a module is: in a registry, in an OCI layout, or in a file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use oci_client::Reference;

use super::layout::Layout;
use super::registry::{Connection, Needs, Operation, Pulled, Registry, parse_reference};
use crate::digest::sha256;
use crate::image::manifest::Descriptor;
use crate::image::media_type;

/// The source that an argument names.
pub(crate) enum Source {
    /// A file with a module.
    Module(PathBuf),
    Image(ImageSource),
}

/// The source of an image.
pub(crate) enum ImageSource {
    /// A layout, and the digest of the image in it.
    Layout(Layout, String),
    Registry(Box<Registry>, Reference),
}

impl Source {
    /// Finds what a text names: a file, a folder with an OCI layout, `oci-layout:FOLDER@DIGEST`, or a
    /// reference to a registry.
    ///
    /// # Errors
    /// The text names nothing, or the layout or the credentials cannot be read.
    pub(crate) fn find(text: &str, connection: &Connection) -> Result<Self> {
        if let Some(layout) = text.strip_prefix("oci-layout:") {
            return match layout.split_once('@') {
                None => Self::layout(layout, None),
                Some((folder, digest)) => Self::layout(folder, Some(digest)),
            };
        }

        // A reference may look like a relative path, so what exists on disk comes first.
        let path = Path::new(text);
        if path.is_dir() {
            return Self::layout(text, None);
        }
        if path.is_file() {
            return Ok(Self::Module(path.to_owned()));
        }
        let reference = parse_reference(text)
            .with_context(|| format!("{text:?} is neither a file nor a folder"))?;
        // The scope of the token is only pull.
        let registry = Registry::open(connection, &reference, Operation::Pull)?;
        Ok(Self::Image(ImageSource::Registry(
            Box::new(registry),
            reference,
        )))
    }

    fn layout(folder: &str, digest: Option<&str>) -> Result<Self> {
        let layout = Layout::open(Path::new(folder))?;
        let digest = match digest {
            Some(digest) => digest.to_owned(),
            None => layout.only_digest()?,
        };
        Ok(Self::Image(ImageSource::Layout(layout, digest)))
    }
}

impl ImageSource {
    /// The challenges with which the registry asks clients to log in; a layout has none.
    pub(crate) fn challenges(&self) -> Result<Vec<String>> {
        match self {
            Self::Layout(..) => Ok(Vec::new()),
            Self::Registry(registry, _) => registry.challenges(),
        }
    }

    pub(crate) fn log_in(&self) -> Result<()> {
        match self {
            Self::Layout(..) => Ok(()),
            Self::Registry(registry, _) => registry.log_in(),
        }
    }

    /// The source of the credentials that the pull uses; a layout needs none.
    pub(crate) fn credentials(&self) -> Option<String> {
        match self {
            Self::Layout(..) => None,
            Self::Registry(registry, _) => Some(registry.credentials().to_string()),
        }
    }

    /// A text of the image without the credentials of the registry, which may repeat them; a layout has none.
    pub(crate) fn without_secrets(&self, text: &str) -> String {
        match self {
            Self::Layout(..) => text.to_owned(),
            Self::Registry(registry, _) => registry.without_secrets(text),
        }
    }

    /// What a gateway needs to pull the image too; nothing is known about a layout.
    pub(crate) fn needs(&self, connection: &Connection) -> Result<Needs> {
        match self {
            Self::Layout(..) => Ok(Needs::default()),
            Self::Registry(_, reference) => Needs::find(connection, reference),
        }
    }

    /// The host of the registry, with its port if it has one; `None` for a layout.
    pub(crate) fn registry(&self) -> Option<&str> {
        match self {
            Self::Layout(..) => None,
            Self::Registry(_, reference) => Some(reference.registry()),
        }
    }

    /// Whether the argument has a digest, so that a gateway would compare it.
    pub(crate) fn is_pinned(&self) -> bool {
        match self {
            Self::Layout(..) => true,
            Self::Registry(_, reference) => reference.digest().is_some(),
        }
    }

    /// The manifest or index that the argument names.
    pub(crate) fn named_manifest(&self) -> Result<Pulled> {
        match self {
            Self::Layout(layout, digest) => Ok(compared(layout.blob(digest)?, digest)),
            Self::Registry(registry, reference) => {
                registry.pull_manifest(reference, &media_type::MANIFESTS)
            }
        }
    }

    /// The manifest with a digest, from the same layout or repository.
    pub(crate) fn manifest(&self, digest: &str) -> Result<Pulled> {
        match self {
            Self::Layout(layout, _) => Ok(compared(layout.blob(digest)?, digest)),
            Self::Registry(registry, reference) => {
                let reference = reference.clone_with_digest(digest.to_owned());
                registry.pull_manifest(&reference, &media_type::MANIFESTS)
            }
        }
    }

    pub(crate) fn blob(&self, descriptor: &Descriptor) -> Result<Pulled> {
        let digest = descriptor.digest.as_str();
        match self {
            Self::Layout(layout, _) => Ok(compared(layout.blob(digest)?, digest)),
            Self::Registry(registry, _) => registry.pull_blob(digest),
        }
    }
}

fn compared(bytes: Vec<u8>, digest: &str) -> Pulled {
    if sha256(&bytes) == digest {
        Pulled::Right(bytes)
    } else {
        Pulled::Wrong
    }
}
