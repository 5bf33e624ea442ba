//! The flags of all commands that use a registry.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gateway::advice::Advice;
use oci_client::Reference;
use rustls::pki_types::CertificateDer;

use super::proxy::Proxies;
use super::{Credentials, trust};
use crate::commands::certificates;
use crate::console::Console;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Registry")]
pub(crate) struct ConnectionArgs {
    /// Use plain HTTP, the default for a registry on localhost
    #[arg(long, conflicts_with_all = ["ca_file", "insecure_skip_tls_verify"])]
    plain_http: bool,
    /// Trust the certificates in this PEM file, in addition to the system's; with it, a registry on
    /// localhost uses TLS
    #[arg(long, value_name = "PATH")]
    ca_file: Option<PathBuf>,
    /// Do not verify certificates
    #[arg(long)]
    insecure_skip_tls_verify: bool,
    /// The user name; by default the credentials of podman and docker are used
    #[arg(long, value_name = "NAME", requires = "password_stdin")]
    username: Option<String>,
    /// Read the password, or an access token, from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// The timeout of a registry's answer in seconds; large uploads and downloads may take longer
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    timeout: u64,
}

/// The settings of the flags.
#[derive(Clone)]
pub(crate) struct Connection {
    plain_http: bool,
    certificates: Vec<CertificateDer<'static>>,
    any_certificate: bool,
    user: Option<Credentials>,
    pub(super) timeout: Duration,
}

impl ConnectionArgs {
    /// Reads the files and the password that the flags name.
    pub(crate) fn read(&self, console: &mut Console<'_>) -> Result<Connection> {
        // clap requires --password-stdin with --username: a password on the command line would be
        // visible.
        let user = match &self.username {
            None => None,
            Some(name) => Some(Credentials::from_flags(name, &password(console)?)),
        };
        Ok(Connection {
            plain_http: self.plain_http,
            certificates: self
                .ca_file
                .as_deref()
                .map_or(Ok(Vec::new()), certificates::read)?,
            any_certificate: self.insecure_skip_tls_verify,
            user,
            timeout: Duration::from_secs(self.timeout),
        })
    }
}

fn password(console: &mut Console<'_>) -> Result<String> {
    let mut text = String::new();
    console
        .input
        .read_to_string(&mut text)
        .context("reading the password from standard input")?;
    // Files and `echo` end with a line break that is not part of the password.
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!(Advice::new(
            "reading the password from standard input: it is empty",
            "give a file or a pipe, such as --password-stdin < token"
        ));
    }
    Ok(password.to_owned())
}

impl Connection {
    /// The client for a registry. It follows no redirects, because it would not report them.
    pub(super) fn client(&self, proxies: &Proxies) -> Result<reqwest::Client> {
        // This fails if a provider is installed already, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let proxies = proxies.clone();
        let client = reqwest::Client::builder()
            .user_agent(super::USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .proxy(reqwest::Proxy::custom(move |url| {
                // The session refuses a variable that names no proxy before it sends a request.
                let proxy = proxies.find(url).ok().flatten()?;
                Some(proxy.url.clone())
            }))
            .connect_timeout(self.timeout);
        let client = if self.any_certificate {
            client.tls_danger_accept_invalid_certs(true)
        } else {
            client.tls_backend_preconfigured(trust::client_config(&self.certificates)?)
        };
        client.build().context("preparing the registry client")
    }

    /// The same connection for a client without credentials.
    pub(super) fn without_credentials(&self) -> Self {
        Self {
            user: Some(Credentials::anonymous()),
            ..self.clone()
        }
    }

    /// The same connection for a client that trusts only the system's authorities.
    pub(super) fn with_system_trust(&self) -> Self {
        Self {
            certificates: Vec::new(),
            any_certificate: false,
            ..self.clone()
        }
    }

    /// Whether certificates are accepted that the system's authorities did not issue.
    pub(super) fn has_own_trust(&self) -> bool {
        self.any_certificate || !self.certificates.is_empty()
    }

    /// The scheme of the registry's URL, `http` or `https`.
    pub(super) fn scheme(&self, reference: &Reference) -> &'static str {
        // A flag about certificates means that the local registry uses TLS.
        if self.plain_http || (is_local(reference) && !self.has_own_trust()) {
            "http"
        } else {
            "https"
        }
    }

    /// The credentials for the registry of a reference: of the flags, else of the files.
    pub(super) fn credentials(&self, reference: &Reference) -> Result<Credentials> {
        self.user
            .clone()
            .map_or_else(|| Credentials::find(reference), Ok)
    }
}

/// Whether the registry is on this machine. Such a registry rarely has a certificate.
fn is_local(reference: &Reference) -> bool {
    let registry = reference.resolve_registry();
    // The port does not matter for the check.
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let loopback = host
        .parse()
        .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    host == "localhost" || loopback
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_loopback_addresses_are_local() {
        for (reference, expected) in [
            ("localhost:5000/x:1", true),
            ("127.0.0.1:5000/x:1", true),
            ("127.8.9.1/x:1", true),
            ("127.evil.com/x:1", false),
            ("127.0.0.1.evil.com:5000/x:1", false),
            ("localhost.evil.com/x:1", false),
        ] {
            assert_eq!(
                is_local(&reference.parse().unwrap()),
                expected,
                "{reference}"
            );
        }
    }
}
