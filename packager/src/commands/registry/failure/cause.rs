//! The cause of a request without an answer.

use std::error::Error;

use rustls::{AlertDescription, CertificateError};

use super::{Failure, FailureKind};
use crate::commands::registry::exchange::Server;
use crate::commands::registry::proxy::Proxy;
use crate::commands::registry::trust::is_authority_as_server;

/// The texts of hyper-util's `TunnelError`, whose type is private
/// (`client/legacy/connect/proxy/tunnel.rs`), and whether the proxy asks for a login. The other texts have this
/// prefix too.
const TUNNEL: &str = "tunnel error: ";
/// The text of reqwest's error for SOCKS proxies, whose type is private too (`connect.rs`, `SocksProxyError`).
const SOCKS: &str = "error connecting to socks proxy";
const REFUSED_TUNNELS: [(&str, bool); 2] = [
    ("tunnel error: unsuccessful", false),
    ("tunnel error: proxy authorization required", true),
];

impl Failure {
    /// The failure of a request without an answer. `clean` makes a text harmless.
    pub(in crate::commands::registry) fn with_error(
        mut self,
        error: &reqwest::Error,
        proxy: Option<&Proxy>,
        clean: impl Fn(&str) -> String,
    ) -> Self {
        self = self.through(proxy);
        self.kind = cause(error, clean);
        // An error before the tunnel is there, or without a tunnel, is the proxy's.
        let is_plain = error.url().is_some_and(|url| url.scheme() == "http");
        let is_of_proxy =
            proxy.is_some() && (has_tunnel_error(error) || (is_plain && error.is_connect()));
        if is_of_proxy {
            self.server = Server::Proxy;
        }
        self
    }
}

/// Whether the connection to a proxy, or through it to a server with TLS, failed.
fn has_tunnel_error(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        let text = inner.to_string();
        if text.starts_with(TUNNEL) || text == SOCKS {
            return true;
        }
        cause = inner.source();
    }
    false
}

fn cause(error: &reqwest::Error, clean: impl Fn(&str) -> String) -> FailureKind {
    if error.is_timeout() {
        return FailureKind::Timeout;
    }
    // The innermost error has the reason; a TLS error may be anywhere on the way.
    let mut message = String::new();
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        message = inner.to_string();
        if let Some(tls) = tls_error(inner)
            && let Some(kind) = FailureKind::from_tls(tls, &clean)
        {
            return kind;
        }
        if let Some((_, asks_for_login)) = REFUSED_TUNNELS.iter().find(|(text, _)| *text == message)
        {
            return FailureKind::Tunnel {
                asks_for_login: *asks_for_login,
            };
        }
        cause = inner.source();
    }
    FailureKind::Connection(clean(&message))
}

/// The error of the TLS library, which may be inside an I/O error.
fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    error.downcast_ref().or_else(|| {
        let io: &std::io::Error = error.downcast_ref()?;
        tls_error(io.get_ref()?)
    })
}

impl FailureKind {
    /// `None` for an error of TLS that may not happen again, such as a broken connection.
    fn from_tls(error: &rustls::Error, clean: impl Fn(&str) -> String) -> Option<Self> {
        match error {
            // The signature is bad if another authority has the same name.
            rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )
            | rustls::Error::AlertReceived(AlertDescription::UnknownCA) => {
                Some(Self::UnknownAuthority)
            }
            rustls::Error::InvalidCertificate(error) if is_authority_as_server(error) => {
                Some(Self::AuthorityAsServer)
            }
            // The text has names of the certificate.
            rustls::Error::InvalidCertificate(error) => {
                Some(Self::Certificate(clean(&error.to_string())))
            }
            rustls::Error::InvalidMessage(_) => Some(Self::NotTls),
            _ => None,
        }
    }
}
