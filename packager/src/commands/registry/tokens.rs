//! Tokens of a token service (distribution `docs/spec/auth/token.md` and `oauth.md`).

use std::collections::BTreeSet;
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

    let scopes = scopes(scope.as_deref().unwrap_or_default(), &session.scope);
    // A query has a parameter for each scope (`token.md`), a form has one with all of them (`oauth.md`).
    let mut parameters: Vec<(&str, &str)> = scopes.iter().map(|scope| ("scope", *scope)).collect();
    let service = service.as_deref().map(|service| ("service", service));
    parameters.extend(service);
    let answer = match &session.credentials.login {
        Login::IdentityToken(token) => {
            let scope = scopes.join(" ");
            let mut parameters = vec![("scope", scope.as_str())];
            parameters.extend(service);
            exchange(session, url, parameters, token).await?
        }
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

/// The scopes to ask for, each one once. Some registries need more than the command does, such as a second
/// repository, and some give a token for the first scope only: the scopes of the challenge are first.
fn scopes<'s>(challenge: &'s str, own: &'s str) -> Vec<&'s str> {
    let mut scopes: Vec<&str> = Vec::new();
    for scope in challenge.split_whitespace().chain([own]) {
        if !scopes.iter().any(|other| is_same_scope(other, scope)) {
            scopes.push(scope);
        }
    }
    scopes
}

/// Whether two scopes differ at most in the order of their actions, `pull,push` and `push,pull`.
fn is_same_scope(first: &str, second: &str) -> bool {
    match (first.rsplit_once(':'), second.rsplit_once(':')) {
        (Some((first, actions)), Some((second, others))) => {
            let actions: BTreeSet<&str> = actions.split(',').collect();
            first == second && actions == others.split(',').collect()
        }
        _ => first == second,
    }
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
            ("http://127.evil.com/token", false),
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
