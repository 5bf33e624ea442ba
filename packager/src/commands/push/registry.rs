//! An image in a registry (OCI distribution specification).

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use tokio::runtime::{Builder, Runtime};

use crate::console::Hinted;
use crate::image::{Image, MANIFEST, sha256};

/// A reference to push to.
pub(super) struct Target(Reference);

impl Target {
    /// Reads `HOST/REPOSITORY:TAG`, with or without `oci://` in front.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let reference: Reference =
            text.strip_prefix("oci://").unwrap_or(text).parse().with_context(|| {
                format!("reference {text:?} is not of the form HOST/REPOSITORY:TAG")
            })?;
        if reference.digest().is_some() {
            bail!(Hinted::new(
                format!("reference {text} has a digest, and the digest of an image is its own"),
                "leave it out, or check it with --expect-digest"
            ));
        }
        Ok(Self(reference))
    }

    /// The reference in full.
    pub(super) fn name(&self) -> String {
        self.0.whole()
    }

    /// Whether the registry is on this machine, where nobody has certificates.
    fn is_local(&self) -> bool {
        let registry = self.0.resolve_registry();
        let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
        let loopback = host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        host == "localhost" || loopback
    }
}

pub(super) struct Registry {
    runtime: Runtime,
    plain_http: bool,
    timeout: Duration,
}

impl Registry {
    pub(super) fn new(plain_http: bool, timeout: Duration) -> Result<Self> {
        // It fails when there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, plain_http, timeout })
    }

    /// Pushes the layer and the configuration, unless they are there, and then the manifest, so that
    /// an interrupted push leaves no tag. Returns how many of the two blobs were sent.
    pub(super) fn push(&self, target: &Target, image: &Image, overwrite: bool) -> Result<usize> {
        let client = self.client(target)?;
        self.runtime.block_on(async {
            let auth = RegistryAuth::Anonymous;
            client.auth(&target.0, &auth, RegistryOperation::Push).await.map_err(explain)?;
            let tagged = tagged(&client, target).await?;
            if let Some(digest) = tagged.filter(|digest| digest != image.digest() && !overwrite) {
                bail!(Hinted::new(
                    format!("the tag names another image, {digest}"),
                    "push under another tag, or move this one with --overwrite"
                ));
            }
            let mut uploaded = 0;
            for blob in [&image.layer, &image.config] {
                if !client.blob_exists(&target.0, &blob.digest).await.map_err(explain)? {
                    client
                        .push_blob(&target.0, blob.bytes.clone(), &blob.digest)
                        .await
                        .map_err(explain)?;
                    uploaded += 1;
                }
            }
            let media_type = MANIFEST.parse().context("the media type of the manifest")?;
            client
                .push_manifest_raw(&target.0, image.manifest.bytes.clone(), media_type)
                .await
                .map_err(explain)?;
            Ok(uploaded)
        })
    }

    /// Pulls the manifest and its blobs, by tag, and compares them with what was pushed.
    pub(super) fn verify(&self, target: &Target, image: &Image) -> Result<()> {
        let client = self.client(target)?;
        self.runtime.block_on(async {
            let (manifest, digest) = client
                .pull_manifest_raw(&target.0, &RegistryAuth::Anonymous, &[MANIFEST])
                .await
                .map_err(explain)?;
            ensure!(
                manifest == image.manifest.bytes && digest == image.digest(),
                "the registry has manifest {}, {} was pushed",
                sha256(&manifest),
                image.digest()
            );
            for blob in [&image.layer, &image.config] {
                let mut bytes = Vec::new();
                client
                    .pull_blob(&target.0, blob.digest.as_str(), &mut bytes)
                    .await
                    .map_err(explain)?;
                ensure!(bytes == blob.bytes, "the registry has another blob {}", blob.digest);
            }
            Ok(())
        })
    }

    fn client(&self, target: &Target) -> Result<Client> {
        let plain = self.plain_http || target.is_local();
        let config = ClientConfig {
            protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
            connect_timeout: Some(self.timeout),
            read_timeout: Some(self.timeout),
            user_agent: concat!("sni-guard-packager/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        Client::try_from(config).map_err(explain).context("preparing the registry client")
    }
}

/// The digest that the tag names; `None` only where the registry says that there is none.
async fn tagged(client: &Client, target: &Target) -> Result<Option<String>> {
    match client.fetch_manifest_digest(&target.0, &RegistryAuth::Anonymous).await {
        Ok(digest) => Ok(Some(digest)),
        Err(error) if is_unknown(&error) => Ok(None),
        Err(error) => Err(explain(error)),
    }
}

/// Whether the registry says that the manifest or the whole repository is not there. A refusal to
/// tell is no such answer.
fn is_unknown(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::ImageManifestNotFoundError(_)
        | OciDistributionError::ServerError { code: 404, .. } => true,
        OciDistributionError::RegistryError { envelope, .. } => {
            envelope.errors.iter().all(|error| {
                matches!(error.code, OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown)
            })
        }
        _ => false,
    }
}

/// The registry's own words, and a remedy where there is one.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn explain(error: OciDistributionError) -> anyhow::Error {
    let hint = match &error {
        OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::AuthenticationFailure(_) => {
            "the registry wants credentials, which this version does not send"
        }
        OciDistributionError::RequestError(error) if error.is_connect() => {
            "is the registry running there? With --plain-http it is spoken to without TLS"
        }
        _ => return chain(&error),
    };
    Hinted::new(format!("{:#}", chain(&error)), hint).into()
}

/// An error with its causes, which the client's own message leaves out.
fn chain(error: &OciDistributionError) -> anyhow::Error {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_message = inner.to_string();
        if !message.contains(&inner_message) {
            message = format!("{message}: {inner_message}");
        }
        cause = inner.source();
    }
    anyhow::anyhow!(message)
}
