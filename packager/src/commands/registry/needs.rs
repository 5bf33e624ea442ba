//! What a gateway needs to pull an image that this command pulls with the credentials and the authorities of
//! this machine.

use anyhow::Result;
use oci_client::Reference;
use reqwest::Method;

use super::connection::Connection;
use super::exchange::Request;
use super::failure::Failure;
use super::pull::{LARGEST_MANIFEST, accepting};
use super::{Operation, Registry};
use crate::image::media_type;

/// One thing that a gateway needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Credentials: the registry denies the image to a client without them.
    PullSecret,
    /// Trust: no authority of the system issued the certificate of the registry.
    Authority,
}

impl Need {
    /// The name in JSON, which scripts read.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::PullSecret => "imagePullSecret",
            Self::Authority => "trustedAuthority",
        }
    }

    /// The name in text.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PullSecret => "imagePullSecret",
            Self::Authority => "a trusted authority",
        }
    }
}

/// The result of pulling as a gateway without further settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs {
    /// Each need with the answer that shows it.
    pub(crate) found: Vec<(Need, String)>,
    /// Why the needs are not known; `None` if they are.
    pub(crate) unknown: Option<String>,
}

impl Needs {
    /// Asks a registry as Istio's agent does without an `imagePullSecret` (Istio
    /// `pkg/wasm/imagefetcher.go`, `NewImageFetcher`), with the authorities of this system. The agent takes
    /// plain HTTP if the registry offers nothing else, so plain HTTP is not a need.
    pub(crate) fn find(connection: &Connection, reference: &Reference) -> Result<Self> {
        let mut needs = Self::default();
        let has_credentials = !connection.credentials(reference)?.is_anonymous();
        if connection.has_own_trust() {
            let agent = connection.without_credentials().with_system_trust();
            match ask(&agent, connection, reference)? {
                Err(failure) if failure.is_of_trust() => {
                    needs.found.push((Need::Authority, failure.sentence()));
                }
                other => {
                    needs.add_credentials(other);
                    return Ok(needs);
                }
            }
        } else if !has_credentials {
            // The first pull was the one of a gateway.
            return Ok(needs);
        }
        needs.add_credentials(ask(
            &connection.without_credentials(),
            connection,
            reference,
        )?);
        Ok(needs)
    }

    fn add_credentials(&mut self, asked: Result<(), Box<Failure>>) {
        match asked {
            Ok(()) => {}
            // Some registries answer 404 for what a client may not see.
            Err(failure) if failure.is_denied() || failure.is_unknown() => {
                self.found.push((Need::PullSecret, failure.sentence()));
            }
            Err(failure) => self.unknown = Some(failure.sentence()),
        }
    }
}

/// Requests the manifest. `original` determines the scheme, which depends on its flags.
fn ask(
    connection: &Connection,
    original: &Connection,
    reference: &Reference,
) -> Result<Result<(), Box<Failure>>> {
    let scheme = original.scheme(reference);
    let registry = Registry::with_scheme(connection, reference, Operation::Pull, scheme)?;
    let url = registry.manifest_url(reference);
    let request =
        accepting(Request::new(Method::GET, url), &media_type::MANIFESTS).limit(LARGEST_MANIFEST);
    Ok(registry.repeated(async || {
        registry.authorize().await?;
        registry.session.succeed(&request).await.map(|_| ())
    }))
}
