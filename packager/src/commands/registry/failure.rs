//! Why a request failed: who answered what, whether to repeat the request, and a hint.

mod cause;
mod hint;

use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;

pub(super) use self::hint::Context;
use super::challenge::scheme_names;
use super::exchange::{Answer, Request, Sent, Server, address};
use super::proxy::{Proxy, Unusable};

/// The parts of a failure. Its texts are harmless: they have no secrets and no control characters.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    server: Server,
    /// The host that the request went to. Messages must not have the whole URL: it may hold the state of an
    /// upload.
    address: String,
    method: Method,
    sent: Sent,
    kind: FailureKind,
    /// The proxy between, and the variable that names it.
    proxy: Option<(String, &'static str)>,
    /// The kinds of login that the answer asks for, as its challenges name them.
    asks_for: Vec<String>,
    /// The pause that the server asks for.
    pub(super) retry_after: Option<Duration>,
    /// Whether the request would have moved a tag from another image.
    pub(super) moves_tag: bool,
}

/// The cause of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// An answer with a status of an error.
    Status {
        status: u16,
        /// The registry's own codes, such as `NAME_UNKNOWN`.
        codes: Vec<String>,
        message: String,
    },
    /// An answer that the specification does not allow.
    Protocol(String),
    /// There is no connection, or no answer.
    Connection(String),
    /// There is no answer within the timeout.
    Timeout,
    /// The proxy does not connect to the registry.
    Tunnel { asks_for_login: bool },
    /// This variable does not name a proxy.
    ProxySetting(&'static str),
    /// No trusted certificate authority issued the certificate.
    UnknownAuthority,
    /// The certificate is one of an authority, and not trusted itself.
    AuthorityAsServer,
    /// The certificate has another defect, such as a wrong name.
    Certificate(String),
    /// The server does not use TLS.
    NotTls,
    /// The password would be sent without encryption.
    ClearText,
    /// The registry does not have what was pushed yet.
    NotSettled(String),
}

/// An answer with errors (OCI distribution specification, "Error Codes").
#[derive(Deserialize)]
struct Errors {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: Option<String>,
}

impl Failure {
    /// A failure of a request, without its cause yet.
    pub(super) fn at(request: &Request, server: Server, sent: Sent) -> Self {
        Self {
            server,
            address: address(&request.url),
            method: request.method.clone(),
            sent,
            kind: FailureKind::Timeout,
            proxy: None,
            asks_for: Vec::new(),
            retry_after: None,
            moves_tag: false,
        }
    }

    pub(super) fn of_answer(answer: &Answer) -> Self {
        Self {
            address: address(&answer.url),
            ..Self::at(
                &Request::new(answer.method.clone(), answer.url.clone()),
                answer.server,
                answer.sent,
            )
        }
    }

    pub(super) fn with(mut self, kind: FailureKind) -> Self {
        self.kind = kind;
        self
    }

    /// The failure of an answer with the status of an error. `clean` makes a text of the server harmless.
    pub(super) fn from_answer(answer: &Answer, clean: impl Fn(&str) -> String) -> Self {
        let body = String::from_utf8_lossy(&answer.body);
        let (codes, message) = match serde_json::from_str::<Errors>(&body) {
            Ok(Errors { errors }) => {
                let messages: Vec<&str> = errors
                    .iter()
                    .filter_map(|error| error.message.as_deref())
                    .filter(|message| !message.is_empty())
                    .collect();
                let codes = errors.iter().map(|error| clean(&error.code)).collect();
                (codes, messages.join("; "))
            }
            // Pages and other texts are shown as they are.
            Err(_) => (Vec::new(), body.into_owned()),
        };
        let mut failure = Self::of_answer(answer).with(FailureKind::Status {
            status: answer.status,
            codes,
            message: clean(&message),
        });
        failure.asks_for = scheme_names(&answer.challenges())
            .iter()
            .map(|name| clean(name))
            .collect();
        failure
    }

    /// The failure of a proxy.
    pub(super) fn by_proxy(mut self, proxy: &Proxy) -> Self {
        self.server = Server::Proxy;
        self.through(Some(proxy))
    }

    /// The failure of a server that is reached through a proxy.
    pub(super) fn through(mut self, proxy: Option<&Proxy>) -> Self {
        self.proxy = proxy.map(|proxy| (proxy.name(), proxy.variable));
        self
    }

    /// The failure of a request that was not sent, because a variable does not name a proxy.
    pub(super) fn without_proxy(mut self, unusable: Unusable) -> Self {
        self.server = Server::Proxy;
        self.kind = FailureKind::ProxySetting(unusable.variable);
        self
    }

    pub(super) fn status(&self) -> Option<u16> {
        match &self.kind {
            FailureKind::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    fn codes(&self) -> &[String] {
        match &self.kind {
            FailureKind::Status { codes, .. } => codes,
            _ => &[],
        }
    }

    fn has_code(&self, codes: &[&str]) -> bool {
        self.codes()
            .iter()
            .any(|code| codes.contains(&code.as_str()))
    }

    /// Whether the certificate of the registry is the problem.
    pub(super) fn is_of_trust(&self) -> bool {
        match &self.kind {
            FailureKind::UnknownAuthority
            | FailureKind::AuthorityAsServer
            | FailureKind::Certificate(_) => true,
            FailureKind::Status { .. }
            | FailureKind::Protocol(_)
            | FailureKind::NotSettled(_)
            | FailureKind::Connection(_)
            | FailureKind::Timeout
            | FailureKind::Tunnel { .. }
            | FailureKind::ProxySetting(_)
            | FailureKind::NotTls
            | FailureKind::ClearText => false,
        }
    }

    pub(super) fn server(&self) -> Server {
        self.server
    }

    /// Whether the registry reports that the manifest, the blob or the repository does not exist. A denied
    /// request does not count.
    pub(super) fn is_unknown(&self) -> bool {
        let unknown = [
            "MANIFEST_UNKNOWN",
            "NAME_UNKNOWN",
            "BLOB_UNKNOWN",
            "NOT_FOUND",
        ];
        self.server == Server::Registry
            && self.status() == Some(404)
            && self
                .codes()
                .iter()
                .all(|code| unknown.contains(&code.as_str()))
    }

    /// Whether a login, or another one, may help.
    pub(super) fn is_denied(&self) -> bool {
        self.server != Server::Proxy
            && (matches!(self.status(), Some(401 | 403))
                || self.has_code(&["UNAUTHORIZED", "DENIED"]))
    }

    /// Whether the same request may succeed later.
    pub(super) fn is_temporary(&self) -> bool {
        match &self.kind {
            // With 501, the server does not implement the method, now or later.
            FailureKind::Status { status, .. } => {
                matches!(status, 408 | 429)
                    || (*status >= 500 && *status != 501)
                    || self.has_code(&["TOOMANYREQUESTS"])
            }
            FailureKind::Connection(_) | FailureKind::Timeout | FailureKind::NotSettled(_) => true,
            FailureKind::Protocol(_)
            | FailureKind::Tunnel { .. }
            | FailureKind::ProxySetting(_)
            | FailureKind::UnknownAuthority
            | FailureKind::AuthorityAsServer
            | FailureKind::Certificate(_)
            | FailureKind::NotTls
            | FailureKind::ClearText => false,
        }
    }

    /// The pause that the server asks for; `None` if the same request cannot succeed later.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.retry_after.filter(|_| self.is_temporary())
    }

    /// The server with its address, for messages.
    fn who(&self) -> String {
        let address = &self.address;
        match (self.server, &self.proxy) {
            (Server::Registry, _) => format!("the registry {address}"),
            (Server::TokenService, _) => format!("the token service {address}"),
            (Server::Elsewhere, _) => format!("{address}, to which the registry redirects,"),
            (Server::Proxy, Some((proxy, _))) => format!("the proxy {proxy}"),
            (Server::Proxy, None) => "the proxy".into(),
        }
    }

    /// The message: who did what.
    pub(super) fn sentence(&self) -> String {
        let (who, address) = (self.who(), &self.address);
        let via = match &self.proxy {
            Some((proxy, _)) if self.server != Server::Proxy => {
                format!(" through the proxy {proxy}")
            }
            Some(_) | None => String::new(),
        };
        match &self.kind {
            FailureKind::Status {
                status,
                codes,
                message,
            } => {
                // Codes without a message are better than nothing.
                let text = if message.is_empty() {
                    codes.join(", ")
                } else {
                    message.clone()
                };
                let colon = if text.is_empty() { "" } else { ": " };
                format!("{who} answers {status} to {}{colon}{text}", self.method)
            }
            FailureKind::Protocol(problem) | FailureKind::NotSettled(problem) => {
                format!("{who}: {problem}")
            }
            FailureKind::Connection(problem) => format!("{who} cannot be reached{via}: {problem}"),
            FailureKind::Timeout => format!("{who} sends no answer in time{via}"),
            FailureKind::Tunnel {
                asks_for_login: true,
            } => {
                format!("{who} answers 407 to CONNECT {address}: it asks for a login")
            }
            FailureKind::Tunnel {
                asks_for_login: false,
            } => {
                format!("{who} refuses the connection to {address}")
            }
            FailureKind::ProxySetting(variable) => {
                format!("the value of {variable} is not the URL of a proxy")
            }
            FailureKind::UnknownAuthority => {
                format!("no trusted authority issued the certificate of {who}{via}")
            }
            FailureKind::AuthorityAsServer => format!(
                "the certificate of {who} is the certificate of an authority (CA:TRUE), which is trusted \
                 only if it is listed itself"
            ),
            FailureKind::Certificate(problem) => {
                format!("the certificate of {who} is not valid{via}: {problem}")
            }
            FailureKind::NotTls => format!("{who} does not use TLS{via}"),
            FailureKind::ClearText => format!(
                "{who} uses plain HTTP, and the registry uses TLS: the credentials were not sent"
            ),
        }
    }
}
