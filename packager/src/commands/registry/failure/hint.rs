//! The hint of a failure: what to do about it.

use gateway::advice::Advice;
use gateway::shell;
use oci_client::Reference;

use super::{Failure, FailureKind};
use crate::commands::registry::exchange::{Sent, Server};
use crate::commands::registry::{Credentials, Operation};

/// The request of the user, which a hint is about.
pub(in crate::commands::registry) struct Context<'c> {
    pub(in crate::commands::registry) reference: &'c Reference,
    pub(in crate::commands::registry) operation: Operation,
    pub(in crate::commands::registry) credentials: &'c Credentials,
    /// The scope that the token service was asked for.
    pub(in crate::commands::registry) scope: &'c str,
}

impl Failure {
    /// The error for the user.
    pub(in crate::commands::registry) fn explain(&self, context: &Context<'_>) -> anyhow::Error {
        match self.hint(context) {
            None => anyhow::anyhow!(self.sentence()),
            Some(hint) => Advice::new(self.sentence(), hint).into(),
        }
    }

    pub(in crate::commands::registry) fn hint(&self, context: &Context<'_>) -> Option<String> {
        if self.server == Server::Proxy {
            return Some(self.hint_for_proxy());
        }
        let hint = match &self.kind {
            FailureKind::Status {
                status, message, ..
            } => {
                return self.hint_for_status(*status, message, context);
            }
            FailureKind::UnknownAuthority => {
                "give the certificate of the authority that issued the certificate with --ca-file"
            }
            FailureKind::AuthorityAsServer => "give this certificate itself with --ca-file",
            FailureKind::Certificate(_) => {
                "correct the certificate, or use an address that the certificate has"
            }
            FailureKind::NotTls if self.server == Server::Registry => {
                "the registry uses plain HTTP: add --plain-http"
            }
            FailureKind::Connection(_) => "check the address",
            FailureKind::Timeout => "increase --timeout",
            FailureKind::ClearText => {
                "configure the registry to name its token service with https://"
            }
            FailureKind::NotTls
            | FailureKind::Protocol(_)
            | FailureKind::Tunnel { .. }
            | FailureKind::ProxySetting(_)
            | FailureKind::NotSettled(_) => return None,
        };
        Some(hint.into())
    }

    fn hint_for_proxy(&self) -> String {
        // A registry names the hosts of its token service and of redirects.
        let address = shell::word(&self.address);
        let (url, variable) = match &self.proxy {
            Some((url, variable)) => (url.as_str(), *variable),
            None => ("", "HTTP_PROXY"),
        };
        if let FailureKind::ProxySetting(variable) = self.kind {
            return format!(
                "write {variable} as http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT, or connect \
                 without the proxy: NO_PROXY={address}"
            );
        }
        let asks_for_login = self.status() == Some(407)
            || self.kind
                == FailureKind::Tunnel {
                    asks_for_login: true,
                };
        if asks_for_login {
            return format!("add the user and the password for the proxy to {variable}");
        }
        // Most proxies use plain HTTP also for registries with TLS.
        let is_without_answer = self.status().is_none();
        if url.starts_with("https://") && is_without_answer {
            return format!(
                "if the proxy uses plain HTTP, write http:// in {variable}; NO_PROXY={address} connects \
                 without the proxy"
            );
        }
        if self.is_of_trust() {
            return format!(
                "give the certificate of the authority that issued the proxy's certificate with --ca-file, or \
                 connect without the proxy: NO_PROXY={address}"
            );
        }
        if let FailureKind::Connection(_) | FailureKind::Timeout = self.kind {
            return format!(
                "check the proxy in {variable}, or connect without it: NO_PROXY={address}"
            );
        }
        format!(
            "allow {address} in the proxy, or connect without it: NO_PROXY={address}; {variable} names the \
             proxy"
        )
    }

    fn hint_for_status(&self, status: u16, message: &str, context: &Context<'_>) -> Option<String> {
        // Go's HTTP server answers a plain request on a TLS port with this text.
        if status == 400 && message.contains("HTTP request to an HTTPS server") {
            return Some(
                "the registry uses TLS: remove --plain-http; for localhost, give --ca-file".into(),
            );
        }
        // ECR answers 400, Artifactory 403, Harbor 412.
        let is_immutable = message.to_lowercase().contains("immutable");
        if (400..500).contains(&status) && status != 401 && (self.moves_tag || is_immutable) {
            return Some(
                "if the registry does not allow to move tags, push under another tag".into(),
            );
        }
        // Registries differ in whether they send a status or a code.
        if self.is_denied() {
            return Some(self.hint_for_login(context));
        }
        let repository = context.reference.repository();
        let is_push = context.operation == Operation::Push;
        if self.is_unknown() && is_push {
            return Some(format!(
                "create the repository {repository} in the registry first"
            ));
        }
        if status == 413 {
            return Some(
                "the registry, or a proxy in front of it, limits the size of uploads".into(),
            );
        }
        if is_push && (status == 415 || self.has_code(&["MANIFEST_INVALID"])) {
            return Some(
                "the registry does not accept this image format: try --format docker".into(),
            );
        }
        None
    }

    /// Why the credentials were not sent, although there are some.
    fn hint_for_unsent(&self, credentials: &Credentials) -> String {
        if self.status() != Some(401) {
            return format!(
                "{credentials} were not sent, because the registry did not ask for a login; something in \
                 front of it may deny the request"
            );
        }
        let kinds = self.asks_for.join(", ");
        if kinds.is_empty() {
            return format!(
                "{credentials} were not sent, because the answer has no header WWW-Authenticate, which names \
                 the kind of login; something in front of the registry may deny the request"
            );
        }
        if credentials.is_identity_token() && kinds.contains("basic") {
            return format!(
                "{credentials} were not sent: they are an identity token, and the registry asks for a user \
                 name and a password; give them with --username and --password-stdin"
            );
        }
        format!(
            "{credentials} were not sent: the registry asks for a login of the kind {kinds}, and this command \
             has the kinds basic and bearer"
        )
    }

    /// What was sent, and which credentials to give.
    fn hint_for_login(&self, context: &Context<'_>) -> String {
        let (credentials, scope) = (context.credentials, context.scope);
        let registry = context.reference.registry();
        let others = format!(
            "give other credentials with --username and --password-stdin, or run `podman login {registry}`"
        );
        match (self.server, self.sent) {
            (Server::Elsewhere, _) => format!(
                "the request was sent without credentials, because {} is not the registry; if it should be, \
                 correct the external URL in the settings of the registry",
                self.address
            ),
            (_, Sent::Nothing) if credentials.is_anonymous() => format!(
                "no credentials were sent for {scope}, because there are none for {registry}; run `podman \
                 login {registry}`, or give --username and --password-stdin"
            ),
            (_, Sent::Nothing) => self.hint_for_unsent(credentials),
            (Server::TokenService, Sent::Credentials | Sent::Token | Sent::AnonymousToken) => {
                format!("{credentials} were sent to the token service for {scope}; {others}")
            }
            (_, Sent::Credentials) => format!("{credentials} were sent for {scope}; {others}"),
            (_, Sent::Token) => format!(
                "a token for {credentials} was sent, which the token service gave for {scope}; the user may \
                 lack this right: {others}"
            ),
            (_, Sent::AnonymousToken) => format!(
                "a token for everybody was sent, because there are no credentials for {registry}; run \
                 `podman login {registry}`, or give --username and --password-stdin"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::Method;

    use super::Context;
    use crate::commands::registry::exchange::{Request, Sent, Server};
    use crate::commands::registry::failure::{Failure, FailureKind};
    use crate::commands::registry::proxy::Proxy;
    use crate::commands::registry::{Credentials, Operation};

    /// The message and the hint of a failure at a URL, behind a proxy.
    fn explained(url: &str, kind: FailureKind) -> (String, String) {
        let request = Request::new(Method::GET, url.parse().unwrap());
        let proxy = Proxy {
            url: "http://user:hunter2@proxy:3128".parse().unwrap(),
            variable: "HTTPS_PROXY",
        };
        let failure = Failure::at(&request, Server::Registry, Sent::Nothing)
            .with(kind)
            .by_proxy(&proxy);
        let context = Context {
            reference: &"r.io/x:1".parse().unwrap(),
            operation: Operation::Pull,
            credentials: &Credentials::anonymous(),
            scope: "repository:x:pull",
        };
        (failure.sentence(), failure.hint(&context).unwrap())
    }

    #[test]
    fn hosts_of_headers_are_quoted_for_a_shell() {
        let kind = || FailureKind::Tunnel {
            asks_for_login: false,
        };
        let (message, hint) = explained("https://t$(id).io/token", kind());
        assert!(hint.contains("NO_PROXY='t$(id).io'"), "{hint}");
        assert!(
            message.starts_with("the proxy http://proxy:3128 refuses"),
            "{message}"
        );
        let long = format!("https://{}.io/", "a".repeat(5_000));
        let (message, _) = explained(&long, kind());
        assert!(message.len() < 500, "{message}");
    }

    #[test]
    fn each_failure_of_a_proxy_has_its_hint() {
        for (kind, words) in [
            (
                FailureKind::Connection("refused".into()),
                "check the proxy in HTTPS_PROXY",
            ),
            (
                FailureKind::Tunnel {
                    asks_for_login: true,
                },
                "user and the password",
            ),
            (
                FailureKind::Tunnel {
                    asks_for_login: false,
                },
                "allow r.io:5000 in the proxy",
            ),
        ] {
            let (message, hint) = explained("https://r.io:5000/v2/", kind);
            assert!(hint.contains(words), "{hint}");
            assert!(
                !format!("{message}{hint}").contains("hunter2"),
                "{message} {hint}"
            );
        }
    }
}
