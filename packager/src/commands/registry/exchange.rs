//! Requests and answers, with what was sent and to whom.

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Url};

use crate::text::foreign;

/// A request, apart from its authorization.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The largest body of an answer that is read, in octets.
    pub(super) limit: usize,
}

/// The authorization of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sent {
    #[default]
    Nothing,
    /// The user name and the password, or the identity token.
    Credentials,
    /// A token of the token service for the credentials.
    Token,
    /// A token of the token service without credentials.
    AnonymousToken,
}

/// The server that a request went to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Server {
    #[default]
    Registry,
    /// The server that a challenge of the registry names.
    TokenService,
    /// Another server, to which the registry redirects.
    Elsewhere,
    Proxy,
}

/// An answer of any status.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) method: Method,
    /// The URL that answered, after redirects.
    pub(super) url: Url,
    pub(super) server: Server,
    pub(super) sent: Sent,
}

/// The largest answer that is neither a manifest nor a blob.
const SMALL: usize = 1 << 20;

impl Request {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            limit: SMALL,
        }
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    pub(super) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(super) fn limit(mut self, octets: usize) -> Self {
        self.limit = octets;
        self
    }
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The value of a header; `None` if it is not text.
    pub(super) fn header(&self, name: impl AsRef<str>) -> Option<&str> {
        self.headers.get(name.as_ref())?.to_str().ok()
    }

    /// The values of `WWW-Authenticate`.
    pub(super) fn challenges(&self) -> Vec<String> {
        self.headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect()
    }
}

/// The host of a URL, with its port if it has one.
pub(super) fn address(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    // The host may be from a header, and of any length.
    let host = foreign(host);
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}
