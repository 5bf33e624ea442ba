//! The image that a resource names. It is pinned by a digest, unless the user allows a tag.

use anyhow::{Context, Result, bail};
use gateway::advice::Advice;
use oci_client::Reference;

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageReference {
    reference: String,
    registry: String,
    digest: Option<String>,
}

impl ImageReference {
    /// Reads `HOST/REPOSITORY:TAG@sha256:…`, with or without `oci://` in front, as `push` prints it. `mutable`
    /// allows references that may name another image later.
    ///
    /// # Errors
    /// The text is not a reference to an image in a registry, or the reference may change its image.
    pub(crate) fn parse(text: &str, mutable: bool) -> Result<Self> {
        let reference = text.strip_prefix("oci://").unwrap_or(text);
        // `push` prints such a reference for a folder, so users may try it.
        if text.starts_with("oci-layout:") {
            bail!(Advice::new(
                format!("image {text} is in a folder, but gateways pull images from a registry"),
                "push it to a registry and give the reference that `packager push` prints"
            ));
        }
        let parsed: Reference = reference.parse().with_context(|| {
            Advice::new(
                format!("image {text:?} does not have the form HOST/REPOSITORY:TAG"),
                "give the reference that `packager push` prints",
            )
        })?;
        // A gateway resolves the reference itself, so it has to be complete.
        let registry = registry(text, reference)?;
        let digest = parsed
            .digest()
            .map(|digest| hex_digest(text, digest))
            .transpose()?;
        if !mutable {
            refuse_mutable(text, parsed.tag(), digest.as_ref())?;
        }
        Ok(Self {
            reference: reference.to_owned(),
            registry,
            digest,
        })
    }

    /// The reference with the scheme `oci`. Without a scheme the API server would parse `host:port/…` as one.
    pub(crate) fn url(&self) -> String {
        format!("oci://{}", self.reference)
    }

    /// The host of the registry, with its port if it has one.
    pub(crate) fn registry(&self) -> &str {
        &self.registry
    }

    /// The digest of the manifest, 64 hexadecimal digits; `None` if the reference has none.
    pub(crate) fn sha256(&self) -> Option<&str> {
        self.digest.as_deref()
    }
}

/// The host of a reference. Without a host, gateways would use the first part of the path as the host.
fn registry(text: &str, reference: &str) -> Result<String> {
    match reference.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => Ok(host.to_owned()),
        _ => bail!(Advice::new(
            format!("image {text} names no registry"),
            "add the host of the registry, for Docker Hub docker.io/NAME/REPOSITORY"
        )),
    }
}

/// The digits of a digest. Istio and Envoy Gateway compare them as text, in lower case.
fn hex_digest(text: &str, digest: &str) -> Result<String> {
    match digest.strip_prefix("sha256:") {
        Some(hex) if hex.len() == 64 && hex.bytes().all(is_lower_hex) => Ok(hex.to_owned()),
        _ => {
            bail!(Advice::new(
                format!(
                    "image {text}: the digest is not sha256: and 64 hexadecimal digits in lower case"
                ),
                "give the reference that `packager push` prints"
            ))
        }
    }
}

fn is_lower_hex(octet: u8) -> bool {
    octet.is_ascii_digit() || (b'a'..=b'f').contains(&octet)
}

fn refuse_mutable(text: &str, tag: Option<&str>, digest: Option<&String>) -> Result<()> {
    if digest.is_none() {
        bail!(Advice::new(
            format!("image {text} is not pinned by a digest: its tag may move at any time"),
            "give the reference that `packager push` prints, with @sha256:… at its end, \
             or use --allow-mutable"
        ));
    }
    // With a digest the tag has no effect, but it suggests that updates are automatic.
    if tag == Some("latest") {
        bail!(Advice::new(
            format!("image {text} has the tag latest, which every push moves"),
            "push it under another tag, or use --allow-mutable"
        ));
    }
    Ok(())
}
