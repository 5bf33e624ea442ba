//! Images in registries (OCI distribution specification), as real registries implement it.

mod challenge;
mod connection;
mod credentials;
mod exchange;
mod failure;
mod needs;
mod pause;
mod proxy;
mod pull;
mod realm;
mod reference;
mod secrets;
mod session;
mod tokens;
mod trust;
mod upload;

pub(crate) use self::connection::{Connection, ConnectionArgs};
pub(crate) use self::credentials::Credentials;
pub(crate) use self::needs::{Need, Needs};
pub(crate) use self::pull::{Pulled, Tag};
pub(crate) use self::realm::unusable_realm;
pub(crate) use self::reference::{parse_reference, parse_target};
pub(crate) use self::upload::Upload;

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use oci_client::Reference;
use reqwest::{Method, Url};
use tokio::runtime::{Builder, Runtime};

use self::challenge::Challenge;
use self::exchange::{Answer, Request};
use self::failure::{Context, Failure};
use self::session::Session;
use crate::text::foreign;

const USER_AGENT: &str = concat!("sni-guard-packager/", env!("CARGO_PKG_VERSION"));
/// The pauses before the second attempt and later ones, in milliseconds.
const PAUSES: [u64; 4] = [500, 1_000, 2_000, 4_000];
/// The longest pause that a registry may ask for. A longer one is an error.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// The header with the digest of a manifest or a blob.
const DIGEST: &str = "docker-content-digest";

/// What a command does with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Pull,
    Push,
}

impl Operation {
    /// The actions of the scope of a token.
    fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        }
    }
}

/// The repository of a reference, with a client for it.
pub(crate) struct Registry {
    runtime: Runtime,
    session: Session,
    reference: Reference,
    operation: Operation,
    /// Whether a manifest was pushed, which the registry may not find for some moments.
    was_pushed: Cell<bool>,
}

impl Registry {
    /// Prepares a client for a reference. It sends no request yet.
    pub(crate) fn open(
        connection: &Connection,
        reference: &Reference,
        operation: Operation,
    ) -> Result<Self> {
        Self::with_scheme(
            connection,
            reference,
            operation,
            connection.scheme(reference),
        )
    }

    fn with_scheme(
        connection: &Connection,
        reference: &Reference,
        operation: Operation,
        scheme: &str,
    ) -> Result<Self> {
        Ok(Self {
            runtime: Builder::new_current_thread().enable_all().build()?,
            session: Session::new(connection, reference, scheme, operation)?,
            reference: reference.clone(),
            operation,
            was_pushed: Cell::new(false),
        })
    }

    /// The credentials of this client.
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.session.credentials
    }

    /// A text of the registry without the credentials, which a registry may repeat in what it stores.
    pub(crate) fn without_secrets(&self, text: &str) -> String {
        self.session.secrets.borrow().redacted(text)
    }

    /// Gets the authorization that the registry asks for.
    pub(crate) fn log_in(&self) -> Result<()> {
        self.retried("logging in", async || self.authorize().await)
    }

    async fn authorize(&self) -> Result<(), Failure> {
        // The root of the API is the first request of every client.
        let greeting = self.greet().await?;
        // A server behind a redirect must not get the credentials, whatever it asks for.
        if greeting.status != 401 || greeting.server != exchange::Server::Registry {
            return Ok(());
        }
        let is_basic = Challenge::find(&greeting.challenges()) == Some(Challenge::Basic);
        if self.session.authorize(&greeting).await? {
            // A wrong password has to be found here: later, an absent tag may have the same answer.
            if is_basic {
                let request = Request::new(Method::GET, self.session.root.clone());
                let answer = self.session.send(&request).await?;
                if answer.status == 401 {
                    return Err(self.session.refused(&answer));
                }
            }
            return Ok(());
        }
        // Reads may be open to everybody, but writes are not.
        match self.operation {
            Operation::Push if is_basic => Err(self.session.refused(&greeting)),
            Operation::Push | Operation::Pull => Ok(()),
        }
    }

    /// The answer to a request without authorization for the root of the API.
    async fn greet(&self) -> Result<Answer, Failure> {
        let request = Request::new(Method::GET, self.session.root.clone());
        let answer = self.session.send_once(&request).await?;
        if answer.is_success() {
            return Ok(answer);
        }
        let failure = self.session.refused(&answer);
        if failure.is_temporary() || failure.server() == exchange::Server::Proxy {
            return Err(failure);
        }
        Ok(answer)
    }

    /// The challenges in the registry's answer to a request without credentials.
    pub(crate) fn challenges(&self) -> Result<Vec<String>> {
        let answer = self.retried("asking how to log in", async || self.greet().await)?;
        Ok(answer.challenges())
    }

    /// A URL of the repository.
    fn url(&self, path: &str) -> Url {
        let mut url = self.session.root.clone();
        // A digest may be any text of a manifest, so it must not change the rest of the URL.
        url.set_path(&format!("/v2/{}/{path}", self.reference.repository()));
        url
    }

    fn manifest_url(&self, reference: &Reference) -> Url {
        let name = reference.digest().or(reference.tag()).unwrap_or("latest");
        self.url(&format!("manifests/{name}"))
    }

    /// Makes a request, and repeats it after temporary failures. `step` describes it in an error.
    fn retried<T>(&self, step: &str, request: impl AsyncFn() -> Result<T, Failure>) -> Result<T> {
        self.repeated(request)
            .map_err(|failure| match failure.pause() {
                Some(pause) if pause > LONGEST_PAUSE => anyhow!(
                    "{}; it asks for a pause of {} s before the next request",
                    failure.sentence(),
                    pause.as_secs()
                ),
                Some(_) | None => failure.explain(&self.context()),
            })
            // A step may have the digest of a manifest, which may be any text.
            .with_context(|| foreign(step))
    }

    fn repeated<T>(
        &self,
        request: impl AsyncFn() -> Result<T, Failure>,
    ) -> Result<T, Box<Failure>> {
        self.runtime.block_on(async {
            for pause in PAUSES {
                let failure = match request().await {
                    Ok(value) => return Ok(value),
                    Err(failure) => failure,
                };
                // What was pushed exists, even if the registry does not find it yet.
                let is_late = self.was_pushed.get() && failure.is_unknown();
                if !(failure.is_temporary() || is_late) {
                    return Err(Box::new(failure));
                }
                let wanted = failure.pause().unwrap_or_default();
                if wanted > LONGEST_PAUSE {
                    return Err(Box::new(failure));
                }
                tokio::time::sleep(wanted.max(Duration::from_millis(pause))).await;
            }
            request().await.map_err(Box::new)
        })
    }

    fn context(&self) -> Context<'_> {
        Context {
            reference: &self.reference,
            operation: self.operation,
            credentials: &self.session.credentials,
            scope: &self.session.scope,
        }
    }
}
