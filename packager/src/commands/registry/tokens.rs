//! Tokens of a token service (distribution `docs/spec/auth/token.md` and `oauth.md`).

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::challenge::Challenge;
use super::credentials::Login;
use super::exchange::{Answer, Request, Sent, Server};
use super::failure::{Failure, FailureKind};
use super::session::Session;

/// The longest token in octets that is sent to a registry.
const LONGEST_TOKEN: usize = 32 << 10;

/// The name of this client for token services.
const CLIENT: &str = "sni-guard-packager";

/// The answer of a token service. Some fill both fields, some leave one empty.
#[derive(Deserialize)]
struct Tokens {
    token: Option<String>,
    access_token: Option<String>,
}

/// A user name and a password, as Basic authentication sends them (RFC 7617).
pub(super) fn basic(name: &str, password: &str) -> String {
    STANDARD.encode(format!("{name}:{password}"))
}

/// Gets the token that a challenge asks for.
pub(super) async fn fetch(session: &Session, challenge: &Challenge) -> Result<String, Failure> {
    let Challenge::Bearer {
        realm,
        service,
        scope,
    } = challenge
    else {
        return Ok(String::new());
    };
    // The realm may be any text, and a client that joins it to the registry's URL would be wrong.
    let Ok(url) = Url::parse(realm) else {
        let problem = format!("its challenge has the realm {realm:?}, which is not a URL");
        let request = Request::new(Method::GET, session.root.clone());
        let problem = session.secrets.borrow().clean(&problem);
        return Err(Failure::at(&request, Server::Registry, Sent::Nothing)
            .with(FailureKind::Protocol(problem)));
    };
    // A password that the registry would get encrypted must not leave in clear text.
    if url.scheme() != "https"
        && session.root.scheme() == "https"
        && !is_this_machine(&url)
        && !session.credentials.is_anonymous()
    {
        let request = Request::new(Method::GET, url);
        return Err(
            Failure::at(&request, Server::TokenService, Sent::Nothing).with(FailureKind::ClearText)
        );
    }

    // Some registries need more than the command does, such as a second repository.
    let mut parameters = vec![("scope", session.scope.as_str())];
    if let Some(scope) = scope.as_deref().filter(|scope| *scope != session.scope) {
        parameters.push(("scope", scope));
    }
    if let Some(service) = service {
        parameters.push(("service", service));
    }
    let answer = match &session.credentials.login {
        Login::IdentityToken(token) => exchange(session, url, parameters, token).await?,
        Login::Anonymous => {
            session
                .ask_token_service(&query(url, &parameters), None)
                .await?
        }
        Login::Password { name, password } => {
            let credentials = basic(name, password);
            session
                .ask_token_service(&query(url, &parameters), Some(&credentials))
                .await?
        }
    };
    if !answer.is_success() {
        return Err(session.refused(&answer));
    }
    token(&answer).ok_or_else(|| {
        // The body may have a secret, so the message must not quote it.
        session.unusable(&answer, "its answer has no usable token")
    })
}

/// Whether a URL has a loopback address or the name of one. A name such as `127.example.com` is another host.
fn is_this_machine(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        host == "localhost"
            || host
                .trim_matches(['[', ']'])
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    })
}

fn query(mut url: Url, parameters: &[(&str, &str)]) -> Request {
    url.query_pairs_mut().extend_pairs(parameters);
    Request::new(Method::GET, url)
}

/// Exchanges an identity token for a token of the registry, as docker does.
async fn exchange(
    session: &Session,
    url: Url,
    parameters: Vec<(&str, &str)>,
    identity: &str,
) -> Result<Answer, Failure> {
    let mut form = url.clone();
    form.set_query(None);
    form.query_pairs_mut()
        .append_pair("grant_type", "refresh_token")
        .append_pair("client_id", CLIENT)
        .append_pair("refresh_token", identity)
        .extend_pairs(parameters);
    let content_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    let request = Request::new(Method::POST, url)
        .header(CONTENT_TYPE, content_type)
        .body(form.query().unwrap_or_default().to_owned());
    // The identity token is in the body, so the answer may repeat it like a password.
    let mut answer = session.ask_token_service(&request, None).await?;
    answer.sent = Sent::Credentials;
    Ok(answer)
}

fn token(answer: &Answer) -> Option<String> {
    let tokens: Tokens = serde_json::from_slice(&answer.body).ok()?;
    [tokens.token, tokens.access_token]
        .into_iter()
        .flatten()
        .find(|token| !token.is_empty())
        // Servers accept no longer header, and a header has no other characters.
        .filter(|token| {
            token.len() <= LONGEST_TOKEN && token.bytes().all(|byte| byte.is_ascii_graphic())
        })
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::is_this_machine;

    #[test]
    fn only_loopback_addresses_are_this_machine() {
        for (url, expected) in [
            ("http://localhost:5000/token", true),
            ("http://127.0.0.2/token", true),
            ("http://[::1]:5000/token", true),
            ("http://127.example.com/token", false),
            ("http://localhost.example.com/token", false),
            ("http://192.0.2.1/token", false),
        ] {
            assert_eq!(
                is_this_machine(&Url::parse(url).unwrap()),
                expected,
                "{url}"
            );
        }
    }
}
