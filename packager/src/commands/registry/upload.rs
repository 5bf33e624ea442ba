//! Uploads of blobs and manifests (OCI distribution specification, "Pushing manifests" and "Pushing a blob
//! monolithically").

use anyhow::Result;
use reqwest::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, Url};

use super::exchange::{Request, Sent, Server};
use super::failure::{Failure, FailureKind};
use super::pull::Tag;
use super::{DIGEST, Registry};
use crate::image::{Blob, Image};

/// What happened to a blob of a push.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Upload {
    /// The blob was uploaded.
    Sent,
    /// The registry or the folder has the blob already.
    Skipped,
}

impl Registry {
    /// Uploads a blob unless the registry has it already.
    pub(crate) fn send_blob(&self, blob: &Blob) -> Result<Upload> {
        self.retried(&format!("sending blob {}", blob.digest), async || {
            if self.has_blob(&blob.digest).await? {
                return Ok(Upload::Skipped);
            }
            self.upload(blob).await?;
            Ok(Upload::Sent)
        })
    }

    /// Whether the registry has a blob. Some registries redirect to an object store that refuses HEAD, so only a
    /// success is an answer; everything else means that the blob is sent.
    async fn has_blob(&self, digest: &str) -> Result<bool, Failure> {
        let request = Request::new(Method::HEAD, self.url(&format!("blobs/{digest}")));
        let answer = self.session.send(&request).await?;
        if answer.is_success() {
            return Ok(true);
        }
        let failure = self.session.refused(&answer);
        if failure.is_temporary() {
            return Err(failure);
        }
        Ok(false)
    }

    /// Uploads a blob in one PUT, as containerd does: Google Artifact Registry accepts no upload in chunks.
    async fn upload(&self, blob: &Blob) -> Result<(), Failure> {
        let start = Request::new(Method::POST, self.url("blobs/uploads/"));
        let started = self.session.succeed(&start).await?;
        // The location may be relative, and on another host, which then gets no credentials.
        let location = started
            .header(LOCATION)
            .and_then(|location| started.url.join(location).ok())
            .filter(|url| ["http", "https"].contains(&url.scheme()));
        let Some(mut url) = location else {
            let problem = "its answer to POST has no usable header Location";
            return Err(self.session.unusable(&started, problem));
        };
        url.query_pairs_mut().append_pair("digest", &blob.digest);
        self.put(url, "application/octet-stream", blob).await
    }

    async fn put(&self, url: Url, content_type: &'static str, blob: &Blob) -> Result<(), Failure> {
        let request = Request::new(Method::PUT, url)
            .header(CONTENT_TYPE, HeaderValue::from_static(content_type))
            .body(blob.bytes.clone());
        let answer = self.session.succeed(&request).await?;
        // A registry that rewrites the content would store it under a digest that nobody asks for.
        match answer.header(DIGEST) {
            Some(stored) if stored != blob.digest => {
                let problem = format!("it stored the content as {stored}, not as {}", blob.digest);
                Err(self.session.unusable(&answer, &problem))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Uploads the manifest. `before` is what the tag named before. Afterwards the registry has accepted it, and
    /// [`Self::wait_for_tag`] checks what the tag names.
    pub(crate) fn send_manifest(&self, image: &Image, before: &Tag) -> Result<()> {
        let digest = image.digest();
        // Registries with immutable tags refuse the manifest of a tag that exists, even the same manifest.
        if before.names(digest) {
            return Ok(());
        }
        let step = "sending the manifest";
        self.retried(step, async || {
            let url = self.manifest_url(&self.reference);
            match self
                .put(url, image.manifest.media_type, &image.manifest)
                .await
            {
                Ok(()) => Ok(()),
                // The manifest of an earlier attempt may have arrived, although its answer did not.
                Err(_) if self.tag().await.is_ok_and(|tag| tag.names(digest)) => Ok(()),
                Err(mut failure) => {
                    failure.moves_tag = matches!(before, Tag::Names(_));
                    Err(failure)
                }
            }
        })?;
        self.was_pushed.set(true);
        Ok(())
    }

    /// Waits until the tag names an image that was pushed: many registries are consistent only after some moments.
    pub(crate) fn wait_for_tag(&self, digest: &str) -> Result<()> {
        // A tag that named the image before has nothing to wait for.
        if !self.was_pushed.get() {
            return Ok(());
        }
        self.retried("reading the tag after the push", async || {
            match self.tag().await? {
                Tag::Names(found) if found == digest => Ok(()),
                // Without the right to read, the answer to the upload has to do.
                Tag::Hidden(_) => Ok(()),
                Tag::Names(found) => {
                    let problem = format!("afterwards the tag names {found}, not {digest}");
                    Err(self.not_settled(&problem))
                }
                Tag::Absent => Err(self.not_settled("afterwards the tag does not exist")),
            }
        })
    }

    fn not_settled(&self, problem: &str) -> Failure {
        let request = Request::new(Method::HEAD, self.manifest_url(&self.reference));
        let problem = self.session.secrets.borrow().clean(problem);
        Failure::at(&request, Server::Registry, Sent::Nothing)
            .with(FailureKind::NotSettled(problem))
    }
}
