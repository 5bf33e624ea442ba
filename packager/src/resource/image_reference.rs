//! The image that a resource names: always one certain image, never whatever a tag points to.

use anyhow::{Context, Result, bail};
use oci_client::Reference;

use crate::console::Hinted;

/// An image in a registry, pinned by the digest of its manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedImage {
    reference: String,
    digest: String,
}

impl PinnedImage {
    /// Reads `HOST/REPOSITORY:TAG@sha256:…`, with or without `oci://` in front, as `push` prints
    /// it.
    ///
    /// # Errors
    /// The text is no reference to an image in a registry, or has no digest.
    pub fn parse(text: &str) -> Result<Self> {
        let reference = text.strip_prefix("oci://").unwrap_or(text);
        if text.starts_with("oci-layout:") {
            bail!(Hinted::new(
                format!("image {text} is in a folder, and gateways pull from a registry"),
                "push it to a registry and give the reference that `packager push` prints"
            ));
        }
        let parsed: Reference = reference
            .parse()
            .with_context(|| format!("image {text:?} is not of the form HOST/REPOSITORY:TAG"))?;
        let Some(digest) = parsed.digest().and_then(|digest| digest.strip_prefix("sha256:")) else {
            bail!(Hinted::new(
                format!("image {text} is not pinned by a digest: its tag may move at any time"),
                "give the reference that `packager push` prints, with @sha256:… at its end"
            ));
        };
        Ok(Self { reference: reference.to_owned(), digest: digest.to_owned() })
    }

    /// The reference with its scheme. Without one the API server takes `host:port/…` for a scheme.
    #[must_use]
    pub fn url(&self) -> String {
        format!("oci://{}", self.reference)
    }

    /// The digest of the manifest: 64 hexadecimal digits.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.digest
    }
}
