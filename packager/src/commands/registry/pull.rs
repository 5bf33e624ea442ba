//! Reads tags, manifests and blobs (OCI distribution specification, "Pulling manifests" and "Pulling blobs").

use anyhow::Result;
use gateway::advice::Advice;
use oci_client::Reference;
use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderValue};

use super::exchange::Request;
use super::failure::Failure;
use super::{DIGEST, Registry};
use crate::digest::sha256;
use crate::image::media_type;
use crate::module::MAX_SIZE;

/// The largest manifest that registries accept (OCI distribution specification, "Pushing Manifests").
pub(super) const LARGEST_MANIFEST: usize = 4 << 20;

/// The content under a digest.
#[derive(Debug)]
pub(crate) enum Pulled {
    /// The bytes have the digest.
    Right(Vec<u8>),
    /// The bytes have another digest.
    Wrong,
}

/// What a tag names.
pub(crate) enum Tag {
    /// An image, by its digest.
    Names(String),
    /// The registry reports that the tag does not exist.
    Absent,
    /// The registry denies the answer, as some do for tags that do not exist.
    Hidden(Advice),
}

impl Tag {
    pub(crate) fn names(&self, digest: &str) -> bool {
        match self {
            Self::Names(found) => found == digest,
            Self::Absent | Self::Hidden(_) => false,
        }
    }
}

impl Registry {
    /// What the tag names.
    pub(crate) fn tagged(&self) -> Result<Tag> {
        self.retried("reading the tag", async || self.tag().await)
    }

    pub(super) async fn tag(&self) -> Result<Tag, Failure> {
        let url = self.manifest_url(&self.reference);
        let request = accepting(
            Request::new(Method::HEAD, url.clone()),
            &media_type::MANIFESTS,
        );
        let head = self.session.send(&request).await?;
        if let Some(digest) = head.header(DIGEST).filter(|_| head.is_success()) {
            return Ok(Tag::Names(self.session.secrets.borrow().clean(digest)));
        }
        if head.status == 404 {
            return Ok(Tag::Absent);
        }
        let failure = self.session.refused(&head);
        // A second request at once would ignore the pause.
        if failure.pause().is_some() {
            return Err(failure);
        }

        // Some registries do not send the digest, and an answer to HEAD never has a message.
        let request = accepting(Request::new(Method::GET, url), &media_type::MANIFESTS);
        let answer = self.session.send(&request.limit(LARGEST_MANIFEST)).await?;
        if answer.is_success() {
            return Ok(Tag::Names(sha256(&answer.body)));
        }
        let failure = self.session.refused(&answer);
        if failure.is_unknown() {
            return Ok(Tag::Absent);
        }
        if failure.is_denied() {
            return Ok(Tag::Hidden(self.hidden_tag(&failure)));
        }
        Err(failure)
    }

    /// The advice for a tag that the registry denies to read.
    fn hidden_tag(&self, failure: &Failure) -> Advice {
        let hint = failure.hint(&self.context()).unwrap_or_default();
        Advice::new(
            format!(
                "whether the tag exists cannot be known: {}",
                failure.sentence()
            ),
            format!("if the tag is new, or may move, add --overwrite; else: {hint}"),
        )
    }

    /// The manifest or index that a reference to the repository names.
    pub(crate) fn pull_manifest(&self, reference: &Reference, accepted: &[&str]) -> Result<Pulled> {
        if reference.digest().is_some_and(|digest| !is_sha256(digest)) {
            return Ok(Pulled::Wrong);
        }
        let request = accepting(
            Request::new(Method::GET, self.manifest_url(reference)),
            accepted,
        )
        .limit(LARGEST_MANIFEST);
        let answer = self.retried("pulling the manifest", async || {
            self.session.succeed(&request).await
        })?;
        // The header is compared too: Istio's agent does the same.
        let found = sha256(&answer.body);
        let is_right = [reference.digest(), answer.header(DIGEST)]
            .into_iter()
            .flatten()
            .all(|digest| digest == found);
        Ok(Pulled::new(answer.body, is_right))
    }

    /// A blob of the repository.
    pub(crate) fn pull_blob(&self, digest: &str) -> Result<Pulled> {
        // No content has a digest of another form, and such a text could name another URL.
        if !is_sha256(digest) {
            return Ok(Pulled::Wrong);
        }
        let url = self.url(&format!("blobs/{digest}"));
        // A module is not larger, and the layer with it is compressed.
        let request = Request::new(Method::GET, url).limit(MAX_SIZE + (1 << 20));
        let answer = self.retried(&format!("pulling blob {digest}"), async || {
            self.session.succeed(&request).await
        })?;
        let is_right = sha256(&answer.body) == digest;
        Ok(Pulled::new(answer.body, is_right))
    }
}

impl Pulled {
    fn new(bytes: Vec<u8>, is_right: bool) -> Self {
        if is_right {
            Self::Right(bytes)
        } else {
            Self::Wrong
        }
    }
}

/// Whether a text has the form of a SHA-256 digest (OCI image specification, `descriptor.md`).
fn is_sha256(digest: &str) -> bool {
    digest.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64
            && hex
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// A request for these media types.
pub(super) fn accepting(request: Request, media_types: &[&str]) -> Request {
    // The types are constants, so none is left out.
    media_types
        .iter()
        .filter_map(|media_type| HeaderValue::from_str(media_type).ok())
        .fold(request, |request, value| request.header(ACCEPT, value))
}
