//! The requests of the probe, and the server that gets them.

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

/// Everything that a round needs.
pub(super) struct Target {
    pub(super) endpoint: Endpoint,
    pub(super) sni: HostName,
    pub(super) asks: Vec<Ask>,
    pub(super) method: Method,
    /// The limit for opening a connection, and for an answer.
    pub(super) timeout: Duration,
    pub(super) tls: Arc<ClientConfig>,
}

/// An address, or a name that DNS resolves, and a port.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // The last colon separates the port, since an IPv6 address has colons too.
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
            "write an IPv6 address in brackets, such as [::1]:443"
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

/// A host as a TLS server name: in lower case, without a trailing dot, not an address (RFC 6066 §3).
#[derive(Clone, Debug)]
pub(super) struct HostName {
    pub(super) text: String,
    pub(super) server_name: ServerName<'static>,
}

impl FromStr for HostName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // The rule's own parser decides what a host is, so that the probe asks for what the filter
        // sees.
        let HostPattern::Exact(_) = HostPattern::try_from(text).map_err(Error::msg)? else {
            bail!("expected one host, not a wildcard");
        };
        let host = Host::from_authority(text.as_bytes())
            .without_trailing_dot()
            .to_string();
        // rustls checks the length of the name and of its labels.
        let server_name =
            ServerName::try_from(host.clone()).context("this is not a valid server name in TLS")?;
        ensure!(
            matches!(server_name, ServerName::DnsName(_)),
            "expected a name such as a.example.com: a server name in TLS cannot be an address"
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

/// The authority of a request as the user wrote it, and its host.
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

/// A path, with a query if it has one.
#[derive(Clone, Debug)]
pub(super) struct Path(PathAndQuery);

impl FromStr for Path {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        ensure!(text.starts_with('/'), "expected a path that begins with /");
        Ok(Self(
            text.parse()
                .context("expected a path such as /status?full=1")?,
        ))
    }
}

/// Reads a method. CONNECT has no path, and Envoy handles it differently.
pub(super) fn method(text: &str) -> Result<Method> {
    let method: Method = text.parse().context("expected a method such as GET")?;
    ensure!(
        // Envoy treats CONNECT as a tunnel, and the filter passes it.
        method != Method::CONNECT,
        "expected a method other than CONNECT"
    );
    Ok(method)
}

/// One request, in the forms of HTTP/2 and HTTP/1.1.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// The authority as the user wrote it.
    pub(super) authority: String,
    pub(super) host: HostName,
    /// The URI of an HTTP/2 request, with scheme and authority.
    pub(super) uri: Uri,
    /// The URI of an HTTP/1.1 request, without scheme and authority.
    pub(super) path: Uri,
    /// The header `Host` of an HTTP/1.1 request.
    pub(super) header: HeaderValue,
}

impl Ask {
    /// A request for a path of an authority.
    pub(super) fn new(authority: &Authority, path: &Path) -> Result<Self> {
        let uri = Uri::builder()
            .scheme("https")
            .authority(authority.authority.clone())
            .path_and_query(path.0.clone())
            .build()?;
        Ok(Self {
            authority: authority.authority.to_string(),
            host: authority.host.clone(),
            uri,
            path: path.0.clone().into(),
            header: HeaderValue::from_str(authority.authority.as_str())?,
        })
    }
}
