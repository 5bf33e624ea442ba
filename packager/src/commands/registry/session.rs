//! Requests to one registry: authorization, redirects, and what is known of an answer.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chrono::Utc;
use oci_client::Reference;
use reqwest::header::{AUTHORIZATION, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, Url};
use tokio::time::timeout;

use super::challenge::Challenge;
use super::connection::Connection;
use super::credentials::{Credentials, Login};
use super::exchange::{Answer, Request, Sent, Server};
use super::failure::{Failure, FailureKind};
use super::pause::retry_after;
use super::proxy::Proxies;
use super::secrets::Secrets;
use super::{Operation, tokens};

/// The slowest transfer that is awaited, in octets per second over its whole time. Without it, a server that sends
/// an octet now and then would hold the command for ever.
const SLOWEST: usize = 16 << 10;
/// The longest chain of redirects, as in Go's client.
const REDIRECTS: usize = 10;

pub(super) struct Session {
    client: reqwest::Client,
    /// The limit for the beginning of an answer, and for each part of it.
    timeout: Duration,
    proxies: Proxies,
    /// The URL of the API, `…/v2/`.
    pub(super) root: Url,
    pub(super) credentials: Credentials,
    /// What the token service is asked for.
    pub(super) scope: String,
    authorization: RefCell<Authorization>,
    pub(super) secrets: RefCell<Secrets>,
}

/// The authorization of the next request to the registry.
#[derive(Clone, Default)]
struct Authorization {
    header: Option<HeaderValue>,
    sent: Sent,
}

impl Session {
    /// Prepares requests. It sends none yet.
    pub(super) fn new(
        connection: &Connection,
        reference: &Reference,
        scheme: &str,
        operation: Operation,
    ) -> Result<Self> {
        let proxies = Proxies::from_environment();
        let credentials = connection.credentials(reference)?;
        let mut secrets = Secrets::default();
        for secret in proxies.secrets() {
            secrets.add(&secret);
        }
        match &credentials.login {
            Login::Anonymous => {}
            Login::Password { name, password } => {
                secrets.add(password);
                secrets.add(&tokens::basic(name, password));
            }
            Login::IdentityToken(token) => secrets.add(token),
        }
        let registry = reference.resolve_registry();
        Ok(Self {
            client: connection.client(&proxies)?,
            timeout: connection.timeout,
            proxies,
            root: Url::parse(&format!("{scheme}://{registry}/v2/"))
                .with_context(|| format!("the registry {registry} is not an address"))?,
            credentials,
            scope: format!("repository:{}:{}", reference.repository(), operation.name()),
            authorization: RefCell::default(),
            secrets: RefCell::new(secrets),
        })
    }

    /// The answer to a request. If the registry asks for a login, it gets one, and the request again.
    pub(super) async fn send(&self, request: &Request) -> Result<Answer, Failure> {
        let answer = self.send_once(request).await?;
        // Other servers must not get the credentials, whatever they ask for.
        if answer.status == 401
            && answer.server == Server::Registry
            && self.authorize(&answer).await?
        {
            return self.send_once(request).await;
        }
        Ok(answer)
    }

    /// As [`Self::send`]; an answer that is not a success is a failure.
    pub(super) async fn succeed(&self, request: &Request) -> Result<Answer, Failure> {
        let answer = self.send(request).await?;
        if answer.is_success() {
            Ok(answer)
        } else {
            Err(self.refused(&answer))
        }
    }

    /// Prepares the authorization that a challenge asks for. `false` if there is none that differs from what
    /// was sent.
    pub(super) async fn authorize(&self, answer: &Answer) -> Result<bool, Failure> {
        let challenge = Challenge::find(&answer.challenges());
        let authorization = match (challenge, &self.credentials.login) {
            (Some(Challenge::Basic), Login::Password { name, password })
                if answer.sent != Sent::Credentials =>
            {
                Authorization {
                    header: Some(secret_header("Basic", &tokens::basic(name, password))),
                    sent: Sent::Credentials,
                }
            }
            (
                Some(Challenge::Bearer {
                    realm,
                    service,
                    scope,
                }),
                _,
            ) => {
                // The root of the API is about no repository: some registries name an example there.
                let challenge = Challenge::Bearer {
                    realm,
                    service,
                    scope: scope.filter(|_| answer.url != self.root),
                };
                // A token may have expired, so a new one is worth a try.
                let token = tokens::fetch(self, &challenge).await?;
                self.secrets.borrow_mut().add(&token);
                Authorization {
                    header: Some(secret_header("Bearer", &token)),
                    sent: if self.credentials.is_anonymous() {
                        Sent::AnonymousToken
                    } else {
                        Sent::Token
                    },
                }
            }
            (Some(Challenge::Basic) | None, _) => return Ok(false),
        };
        self.authorization.replace(authorization);
        Ok(true)
    }

    /// The answer to a request with the authorization that is known already.
    pub(super) async fn send_once(&self, request: &Request) -> Result<Answer, Failure> {
        let authorization = self.authorization.borrow().clone();
        self.follow(request, Server::Registry, &authorization).await
    }

    /// Sends a request to the token service, with the password if there is one.
    pub(super) async fn ask_token_service(
        &self,
        request: &Request,
        basic: Option<&str>,
    ) -> Result<Answer, Failure> {
        let authorization = Authorization {
            header: basic.map(|credentials| secret_header("Basic", credentials)),
            sent: if basic.is_some() {
                Sent::Credentials
            } else {
                Sent::Nothing
            },
        };
        self.follow(request, Server::TokenService, &authorization)
            .await
    }

    /// Sends a request, and follows redirects. Only the first server gets the authorization.
    async fn follow(
        &self,
        request: &Request,
        first: Server,
        authorization: &Authorization,
    ) -> Result<Answer, Failure> {
        let origin = match first {
            Server::TokenService => request.url.origin(),
            Server::Registry | Server::Elsewhere | Server::Proxy => self.root.origin(),
        };
        let mut request = request.clone();
        for _ in 0..=REDIRECTS {
            let is_first = request.url.origin() == origin;
            let server = if is_first { first } else { Server::Elsewhere };
            let nothing = Authorization::default();
            let authorization = if is_first { authorization } else { &nothing };
            let answer = self.exchange(&request, server, authorization).await?;
            match redirect(&answer) {
                // The body of a request for a token is the identity token. No other server may get it.
                Some(url)
                    if first == Server::TokenService
                        && !request.body.is_empty()
                        && url.origin() != origin =>
                {
                    return Ok(answer);
                }
                Some(url) => request.url = url,
                None => return Ok(answer),
            }
        }
        Err(Failure::at(&request, first, Sent::Nothing)
            .with(FailureKind::Protocol("it redirects in a circle".into())))
    }

    async fn exchange(
        &self,
        request: &Request,
        server: Server,
        authorization: &Authorization,
    ) -> Result<Answer, Failure> {
        let sent = authorization.sent;
        let proxy = self
            .proxies
            .find(&request.url)
            .map_err(|unusable| Failure::at(request, server, sent).without_proxy(unusable))?;
        let mut builder = self
            .client
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone())
            .body(request.body.clone());
        if let Some(header) = &authorization.header {
            builder = builder.header(AUTHORIZATION, header.clone());
        }
        let failed = |error: reqwest::Error| {
            Failure::at(request, server, sent)
                .with_error(&error, proxy, |text| self.secrets.borrow().clean(text))
        };
        let late = |_| {
            Failure::at(request, server, sent)
                .with(FailureKind::Timeout)
                .through(proxy)
        };
        // The answer begins after the upload, which may need more time than an answer.
        let limit = self.limit(request.body.len());
        let mut response = timeout(limit, builder.send())
            .await
            .map_err(late)?
            .map_err(failed)?;

        // A server may send without end, so reading stops at a limit of octets, and at a limit of time that grows
        // with the octets that arrived.
        let start = Instant::now();
        let mut body = Vec::new();
        loop {
            let left = self.limit(body.len()).saturating_sub(start.elapsed());
            let chunk = timeout(left.min(self.timeout), response.chunk())
                .await
                .map_err(late)?
                .map_err(failed)?;
            let Some(chunk) = chunk else { break };
            if body.len() + chunk.len() > request.limit {
                return Err(
                    Failure::at(request, server, sent).with(FailureKind::Protocol(format!(
                        "it sends more than {} bytes",
                        request.limit
                    ))),
                );
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body,
            method: request.method.clone(),
            url: request.url.clone(),
            server,
            sent,
        })
    }

    /// The longest time for the transfer of some octets.
    fn limit(&self, octets: usize) -> Duration {
        // Whole milliseconds are exact enough, and the numbers are small.
        self.timeout + Duration::from_millis((octets * 1_000 / SLOWEST) as u64)
    }

    /// The failure of an answer that is not a success.
    pub(super) fn refused(&self, answer: &Answer) -> Failure {
        let mut failure = Failure::from_answer(answer, |text| self.secrets.borrow().clean(text));
        // A proxy answers in place of the registry if there is no TLS.
        if let Ok(Some(proxy)) = self.proxies.find(&answer.url)
            && is_of_proxy(answer)
        {
            failure = failure.by_proxy(proxy);
        }
        failure.retry_after = answer
            .header(RETRY_AFTER)
            .and_then(|value| retry_after(value, Utc::now()));
        failure
    }

    /// A failure of an answer that was a success, but not as the specification describes it.
    pub(super) fn unusable(&self, answer: &Answer, problem: &str) -> Failure {
        let problem = self.secrets.borrow().clean(problem);
        Failure::of_answer(answer).with(FailureKind::Protocol(problem))
    }
}

/// A header that logs and errors of libraries do not show.
fn secret_header(scheme: &str, secret: &str) -> HeaderValue {
    let mut header = HeaderValue::from_str(&format!("{scheme} {secret}"))
        .unwrap_or_else(|_| HeaderValue::from_static(""));
    header.set_sensitive(true);
    header
}

/// The URL to which an answer redirects. Only requests without a body follow each kind of redirect.
fn redirect(answer: &Answer) -> Option<Url> {
    let follows = match answer.status {
        307 | 308 => true,
        301..=303 => answer.method == Method::GET || answer.method == Method::HEAD,
        _ => false,
    };
    let location = answer.headers.get(LOCATION).filter(|_| follows)?;
    let url = answer.url.join(location.to_str().ok()?).ok()?;
    // Other schemes are not for this client.
    ["http", "https"].contains(&url.scheme()).then_some(url)
}

/// Whether an answer to a request through a proxy is the proxy's own. Inside TLS, a proxy cannot answer; what it
/// answers to CONNECT is an error of the connection.
fn is_of_proxy(answer: &Answer) -> bool {
    answer.url.scheme() == "http" && (answer.status == 407 || !is_of_registry(answer))
}

/// Whether an answer is from a registry (OCI distribution specification, "Error Codes"; the header is from
/// its first version) and not a page of a proxy.
fn is_of_registry(answer: &Answer) -> bool {
    answer.header("docker-distribution-api-version").is_some()
        || answer.header("www-authenticate").is_some()
        || serde_json::from_slice::<serde_json::Value>(&answer.body).is_ok()
        || (answer.body.is_empty() && answer.status == 404)
}

#[cfg(test)]
mod tests {
    use reqwest::Method;
    use reqwest::header::HeaderMap;

    use super::is_of_proxy;
    use crate::commands::registry::exchange::{Answer, Sent, Server};

    #[test]
    fn a_proxy_does_not_answer_inside_tls() {
        for (url, status, expected) in [
            ("https://r.example.com/v2/", 407, false),
            ("https://r.example.com/v2/", 403, false),
            ("http://r.example.com/v2/", 407, true),
            ("http://r.example.com/v2/", 403, true),
        ] {
            let answer = Answer {
                status,
                headers: HeaderMap::new(),
                body: b"<html>no</html>".to_vec(),
                method: Method::GET,
                url: url.parse().unwrap(),
                server: Server::Registry,
                sent: Sent::Nothing,
            };
            assert_eq!(is_of_proxy(&answer), expected, "{url} {status}");
        }
    }
}
