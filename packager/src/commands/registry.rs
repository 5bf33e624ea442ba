//! Images in registries (OCI distribution specification). The client library does not retry, uploads blobs
//! that exist already, and reports failures without their reasons. This layer adds that.

mod connection;
mod credentials;
mod failure;
mod realm;

pub(crate) use self::connection::{Connection, ConnectionArgs};
pub(crate) use self::credentials::Credentials;
pub(crate) use self::realm::unusable_realm;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use oci_client::errors::OciDistributionError;
use oci_client::{Client, Reference, RegistryOperation};
use reqwest::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use tokio::runtime::{Builder, Runtime};

use self::failure::Failure;
use crate::image::{Blob, Image};

const USER_AGENT: &str = concat!("sni-guard-packager/", env!("CARGO_PKG_VERSION"));
/// The pauses before the second attempt and later ones, in milliseconds.
const PAUSES: [u64; 4] = [500, 1_000, 2_000, 4_000];
/// The longest pause that a registry may ask for. A longer one is an error.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The repository of a reference, with a client for it.
pub(crate) struct Registry {
    runtime: Runtime,
    client: Client,
    /// For headers of answers, which the client does not return.
    headers: reqwest::Client,
    /// The URL of the API, `…/v2/`.
    root: String,
    reference: Reference,
    credentials: Credentials,
    operation: RegistryOperation,
}

/// The content under a digest.
#[derive(Debug)]
pub(crate) enum Pulled {
    /// The bytes have the digest.
    Right(Vec<u8>),
    /// The bytes have another digest.
    Wrong,
}

/// What happened to a blob of a push.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Upload {
    /// The blob was uploaded.
    Sent,
    /// The registry or the folder has the blob already.
    Skipped,
}

impl Registry {
    /// Prepares clients for a reference. They send no request yet.
    pub(crate) fn open(
        connection: &Connection,
        reference: &Reference,
        operation: RegistryOperation,
    ) -> Result<Self> {
        // This fails if a provider is installed already, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::try_from(connection.client_config(reference))
            .context("preparing the registry client")?;
        // The second client returns headers, such as Retry-After, and trusts the same certificates.
        let certificates: Vec<_> = connection
            .certificates
            .iter()
            .map(|der| reqwest::Certificate::from_der(der))
            .collect::<Result<_, _>>()?;
        let headers = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .tls_certs_merge(certificates)
            .danger_accept_invalid_certs(connection.any_certificate)
            .timeout(connection.timeout)
            .build()
            .context("preparing the registry client")?;
        let scheme = connection.scheme(reference);
        Ok(Self {
            runtime: Builder::new_current_thread().enable_all().build()?,
            client,
            headers,
            root: format!("{scheme}://{}/v2/", reference.resolve_registry()),
            reference: reference.clone(),
            credentials: connection.credentials(reference)?,
            operation,
        })
    }

    /// Gets the token that the operation needs.
    pub(crate) fn log_in(&self) -> Result<()> {
        self.retried("logging in", async || {
            // The client treats an error of the registry as "no token needed", so ask first.
            self.greet().await?;
            self.client
                .auth(&self.reference, &self.credentials.auth, self.operation)
                .await
        })?;
        Ok(())
    }

    /// The digest that the tag names; `None` only if the registry reports that the tag is unknown.
    pub(crate) fn tagged(&self) -> Result<Option<String>> {
        self.retried("reading the tag", async || {
            match self
                .client
                .fetch_manifest_digest(&self.reference, &self.credentials.auth)
                .await
            {
                Ok(digest) => Ok(Some(digest)),
                Err(error) if Failure::from(&error).is_unknown() => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    /// Uploads a blob unless the registry has it already.
    pub(crate) fn send_blob(&self, blob: &Blob) -> Result<Upload> {
        let digest = blob.digest.as_str();
        self.retried(&format!("sending blob {digest}"), async || {
            if self.client.blob_exists(&self.reference, digest).await? {
                return Ok(Upload::Skipped);
            }
            match self
                .client
                .push_blob(&self.reference, blob.bytes.clone(), digest)
                .await
            {
                // Some registries accept the blob but omit the header Location.
                Err(OciDistributionError::RegistryNoLocationError)
                    if self.client.blob_exists(&self.reference, digest).await? =>
                {
                    Ok(Upload::Sent)
                }
                sent => sent.map(|_| Upload::Sent),
            }
        })
    }

    /// Uploads the manifest. Afterwards the tag names the image.
    pub(crate) fn send_manifest(&self, image: &Image) -> Result<()> {
        let media_type: HeaderValue = image
            .manifest
            .media_type
            .parse()
            .context("the media type of the manifest")?;
        self.retried("sending the manifest", async || {
            let bytes = image.manifest.bytes.clone();
            self.client
                .push_manifest_raw(&self.reference, bytes, media_type.clone())
                .await
        })?;

        // A registry may rewrite the manifest, and then gateways would not find the digest.
        let tagged = self.tagged()?.unwrap_or_else(|| "nothing".into());
        ensure!(
            tagged == image.digest(),
            "sending the manifest: afterwards the tag names {tagged}, not {}",
            image.digest()
        );
        Ok(())
    }

    /// The manifest or index that a reference to the repository names.
    pub(crate) fn pull_manifest(&self, reference: &Reference, accepted: &[&str]) -> Result<Pulled> {
        self.retried("pulling the manifest", async || {
            let auth = &self.credentials.auth;
            let pulled = self
                .client
                .pull_manifest_raw(reference, auth, accepted)
                .await;
            checked(pulled.map(|(bytes, _)| bytes.to_vec()))
        })
    }

    /// A blob of the repository.
    pub(crate) fn pull_blob(&self, digest: &str) -> Result<Pulled> {
        self.retried(&format!("pulling blob {digest}"), async || {
            let mut bytes = Vec::new();
            let pulled = self
                .client
                .pull_blob(&self.reference, digest, &mut bytes)
                .await;
            checked(pulled.map(|()| bytes))
        })
    }

    /// The challenges in the registry's answer to a request without credentials.
    pub(crate) fn challenges(&self) -> Result<Vec<String>> {
        let answer = self.retried("asking how to log in", async || self.greet().await)?;
        Ok(answer
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect())
    }

    /// Requests the root of the API, which is the first request of every client.
    async fn greet(&self) -> Result<reqwest::Response, OciDistributionError> {
        let answer = self.headers.get(&self.root).send().await?;
        let code = answer.status().as_u16();
        if code == 429 || code >= 500 {
            let (url, message) = (self.root.clone(), answer.text().await?);
            return Err(OciDistributionError::ServerError { code, url, message });
        }
        Ok(answer)
    }

    /// Makes a request, and repeats it after temporary failures.
    fn retried<T>(
        &self,
        step: &str,
        request: impl AsyncFn() -> Result<T, OciDistributionError>,
    ) -> Result<T> {
        self.runtime.block_on(async {
            for pause in PAUSES {
                let failure = match request().await {
                    Ok(value) => return Ok(value),
                    Err(error) => Failure::from(&error),
                };
                if !failure.is_temporary() {
                    return Err(self.explain(&failure)).with_context(|| step.to_owned());
                }
                self.wait(step, &failure, Duration::from_millis(pause))
                    .await?;
            }
            request()
                .await
                .map_err(|error| self.explain(&Failure::from(&error)))
                .with_context(|| step.to_owned())
        })
    }

    /// Waits for a pause, or longer if the registry asks for that.
    async fn wait(&self, step: &str, failure: &Failure, pause: Duration) -> Result<()> {
        let wanted = self.retry_after(failure).await.unwrap_or_default();
        if wanted > LONGEST_PAUSE {
            bail!(
                "{step}: the registry asks for a pause of {} s before the next request",
                wanted.as_secs()
            );
        }
        tokio::time::sleep(wanted.max(pause)).await;
        Ok(())
    }

    /// The pause that the registry asks for (RFC 9110 §10.2.3, in seconds). The client does not return the
    /// headers of a failure, so a HEAD request for the same URL has to.
    async fn retry_after(&self, failure: &Failure) -> Option<Duration> {
        let answer = self
            .headers
            .head(failure.answered_url()?)
            .send()
            .await
            .ok()?;
        let value = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
        Some(Duration::from_secs(value.trim().parse().ok()?))
    }

    fn explain(&self, failure: &Failure) -> anyhow::Error {
        failure.explain(&self.reference, self.operation, &self.credentials)
    }
}

/// Separates content with a wrong digest from other failures: the client compares the digests.
fn checked(pulled: Result<Vec<u8>, OciDistributionError>) -> Result<Pulled, OciDistributionError> {
    match pulled {
        Ok(bytes) => Ok(Pulled::Right(bytes)),
        Err(error) if Failure::from(&error).is_wrong_bytes() => Ok(Pulled::Wrong),
        Err(error) => Err(error),
    }
}
