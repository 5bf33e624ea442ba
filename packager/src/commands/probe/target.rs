//! What is asked, of whom.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail, ensure};
use http::uri::{self, PathAndQuery};
use http::{HeaderValue, Method, Uri};
use rule::{Host, HostPattern};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

/// All that a round needs.
pub(super) struct Target {
    pub(super) endpoint: Endpoint,
    pub(super) sni: HostName,
    pub(super) asks: Vec<Ask>,
    pub(super) method: Method,
    /// How long a connection, or an answer, may take.
    pub(super) timeout: Duration,
    pub(super) tls: Arc<ClientConfig>,
}

/// An address, or a name that has one, and a port.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (host, port) = text.rsplit_once(':').context("expected ADDRESS:PORT")?;
        let port = port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .context("expected ADDRESS:PORT")?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        ensure!(!host.is_empty(), "expected ADDRESS:PORT");
        ensure!(
            bracketed.is_some() || !host.contains(':'),
            "write an IPv6 address in brackets, [::1]:443"
        );
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

/// A host as TLS names it: in lower case, without a trailing dot, and no address (RFC 6066 §3).
#[derive(Clone, Debug)]
pub(super) struct HostName {
    pub(super) text: String,
    pub(super) server_name: ServerName<'static>,
}

impl FromStr for HostName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let HostPattern::Exact(_) = HostPattern::try_from(text).map_err(Error::msg)? else {
            bail!("give one host of the wildcard");
        };
        let host = Host::from_authority(text.as_bytes())
            .without_trailing_dot()
            .to_string();
        let server_name =
            ServerName::try_from(host.clone()).context("TLS does not take it as a server name")?;
        ensure!(
            matches!(server_name, ServerName::DnsName(_)),
            "expected a name such as a.example.com: TLS names no addresses"
        );
        Ok(Self {
            text: host,
            server_name,
        })
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a request is for, as it is written, and its host.
#[derive(Clone, Debug)]
pub(super) struct Authority {
    authority: uri::Authority,
    host: HostName,
}

impl FromStr for Authority {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let host = Host::from_authority(text.as_bytes()).without_trailing_dot();
        let authority = text
            .parse()
            .context("expected a host such as a.example.com:443")?;
        Ok(Self {
            authority,
            host: host.to_string().parse()?,
        })
    }
}

/// A path, and what may follow it.
#[derive(Clone, Debug)]
pub(super) struct Path(PathAndQuery);

impl FromStr for Path {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        ensure!(text.starts_with('/'), "a path begins with /");
        Ok(Self(
            text.parse()
                .context("expected a path such as /status?full=1")?,
        ))
    }
}

/// Reads a method.
pub(super) fn method(text: &str) -> Result<Method> {
    let method: Method = text.parse().context("expected a method such as GET")?;
    ensure!(
        method != Method::CONNECT,
        "CONNECT asks for no path, take another"
    );
    Ok(method)
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// The authority, as it is written.
    pub(super) authority: String,
    /// Its host.
    pub(super) host: HostName,
    /// What an HTTP/2 request names.
    pub(super) uri: Uri,
    /// What an HTTP/1.1 request names beside its `Host`.
    pub(super) path: Uri,
    /// Its `Host`.
    pub(super) header: HeaderValue,
}

impl Ask {
    /// What is asked for with an authority and a path.
    pub(super) fn new(authority: &Authority, path: &Path) -> Result<Self> {
        let uri = Uri::builder()
            .scheme("https")
            .authority(authority.authority.clone());
        Ok(Self {
            authority: authority.authority.to_string(),
            host: authority.host.clone(),
            uri: uri.path_and_query(path.0.clone()).build()?,
            path: path.0.clone().into(),
            header: HeaderValue::from_str(authority.authority.as_str())?,
        })
    }
}
