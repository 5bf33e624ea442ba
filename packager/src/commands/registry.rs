//! Images in registries (OCI distribution specification): a thin layer over the client, which knows
//! no retries, sends what is there already, and keeps its reasons to itself.

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
use reqwest::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use tokio::runtime::{Builder, Runtime};

use self::failure::Failure;
use crate::image::{Blob, Image};

const USER_AGENT: &str = concat!("sni-guard-packager/", env!("CARGO_PKG_VERSION"));
/// How many milliseconds to wait before each attempt but the first.
const PAUSES: [u64; 4] = [500, 1_000, 2_000, 4_000];
/// Longer than this nobody waits for a registry that says when to come back.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The repository of a reference, ready to be asked.
pub(crate) struct Registry {
    runtime: Runtime,
    client: Client,
    /// For what the client does not tell: the headers of an answer.
    headers: reqwest::Client,
    root: String,
    reference: Reference,
    credentials: Credentials,
    operation: RegistryOperation,
}

/// What a registry has under a digest: the bytes that it stands for, or others.
#[derive(Debug)]
pub(crate) enum Pulled {
    Right(Vec<u8>),
    Wrong,
}

impl Registry {
    /// Prepares for a reference; nobody is asked yet.
    pub(crate) fn open(
        connection: &Connection,
        reference: &Reference,
        operation: RegistryOperation,
    ) -> Result<Self> {
        // It fails when there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::try_from(connection.client_config(reference))
            .context("preparing the registry client")?;
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

    /// Asks for the token that the operation needs.
    pub(crate) fn log_in(&self) -> Result<()> {
        self.retried("logging in", async || {
            // The client takes whatever the registry says to mean that it wants no token.
            self.greet().await?;
            self.client
                .auth(&self.reference, &self.credentials.auth, self.operation)
                .await
        })?;
        Ok(())
    }

    /// The digest that the tag names; `None` only where the registry says that there is none.
    pub(crate) fn tagged(&self) -> Result<Option<String>> {
        self.retried("looking at the tag", async || {
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

    /// Sends a blob unless it is there, and says whether it did.
    pub(crate) fn send_blob(&self, blob: &Blob) -> Result<bool> {
        let digest = blob.digest.as_str();
        self.retried(&format!("sending blob {digest}"), async || {
            if self.client.blob_exists(&self.reference, digest).await? {
                return Ok(false);
            }
            match self
                .client
                .push_blob(&self.reference, blob.bytes.clone(), digest)
                .await
            {
                // Some registries do not tell where it is, and have it nevertheless.
                Err(OciDistributionError::RegistryNoLocationError)
                    if self.client.blob_exists(&self.reference, digest).await? =>
                {
                    Ok(true)
                }
                sent => sent.map(|_| true),
            }
        })
    }

    /// Sends the manifest, after which the tag names the image.
    pub(crate) fn send_manifest(&self, image: &Image) -> Result<()> {
        let media_type = image
            .manifest
            .media_type
            .parse()
            .context("the manifest's media type")?;
        self.retried("sending the manifest", async || {
            let bytes = image.manifest.bytes.clone();
            let (reference, media_type) = (&self.reference, &media_type);
            self.client
                .push_manifest_raw(
                    reference,
                    bytes,
                    reqwest::header::HeaderValue::clone(media_type),
                )
                .await
        })?;
        let tagged = self.tagged()?.unwrap_or_else(|| "nothing".into());
        ensure!(
            tagged == image.digest(),
            "sending the manifest: the registry then has {tagged} under the tag, not {}",
            image.digest()
        );
        Ok(())
    }

    /// The manifest, or the index, that a reference to the repository names.
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

    /// The challenges with which the registry meets those who have no credentials.
    pub(crate) fn challenges(&self) -> Result<Vec<String>> {
        let answer = self.retried("asking how to log in", async || self.greet().await)?;
        let challenges = answer.headers().get_all(WWW_AUTHENTICATE).iter();
        Ok(challenges
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect())
    }

    /// Asks for the root, as everybody does first.
    async fn greet(&self) -> Result<reqwest::Response, OciDistributionError> {
        let answer = self.headers.get(&self.root).send().await?;
        let code = answer.status().as_u16();
        if code == 429 || code >= 500 {
            let (url, message) = (self.root.clone(), answer.text().await?);
            return Err(OciDistributionError::ServerError { code, url, message });
        }
        Ok(answer)
    }

    /// Makes a request, and again where it may do better later.
    fn retried<T>(
        &self,
        step: &str,
        request: impl AsyncFn() -> Result<T, OciDistributionError>,
    ) -> Result<T> {
        self.runtime.block_on(async {
            let mut pauses = PAUSES.into_iter().map(Duration::from_millis);
            loop {
                let failure = match request().await {
                    Ok(value) => return Ok(value),
                    Err(error) => Failure::from(&error),
                };
                let pause = if failure.is_passing() {
                    pauses.next()
                } else {
                    None
                };
                let Some(pause) = pause else {
                    return Err(self.explain(&failure)).with_context(|| step.to_owned());
                };
                let told = self.retry_after(&failure).await;
                if let Some(told) = told.filter(|told| *told > LONGEST_PAUSE) {
                    bail!(
                        "{step}: the registry wants to be asked again in {} s",
                        told.as_secs()
                    );
                }
                tokio::time::sleep(told.unwrap_or_default().max(pause)).await;
            }
        })
    }

    /// How long the registry wants to be left alone (RFC 9110 §10.2.3, in seconds). The client does
    /// not tell the headers of a refusal, so the same place is asked for them.
    async fn retry_after(&self, failure: &Failure) -> Option<Duration> {
        let answer = self
            .headers
            .head(failure.answered_url()?)
            .send()
            .await
            .ok()?;
        let seconds = answer
            .headers()
            .get(RETRY_AFTER)?
            .to_str()
            .ok()?
            .trim()
            .parse()
            .ok()?;
        Some(Duration::from_secs(seconds))
    }

    fn explain(&self, failure: &Failure) -> anyhow::Error {
        failure.explain(&self.reference, self.operation, &self.credentials)
    }
}

/// The client compares what it pulled with the digest.
fn checked(pulled: Result<Vec<u8>, OciDistributionError>) -> Result<Pulled, OciDistributionError> {
    match pulled {
        Ok(bytes) => Ok(Pulled::Right(bytes)),
        Err(error) if Failure::from(&error).is_wrong_bytes() => Ok(Pulled::Wrong),
        Err(error) => Err(error),
    }
}
