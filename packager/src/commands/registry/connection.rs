//! The flags of all commands that use a registry.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gateway::advice::Advice;
use oci_client::Reference;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use rustls::pki_types::CertificateDer;

use super::Credentials;
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
    /// The timeout of a registry's answer in seconds
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    timeout: u64,
}

/// The settings of the flags.
pub(crate) struct Connection {
    plain_http: bool,
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) any_certificate: bool,
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
    /// The client's settings for the registry of a reference.
    pub(super) fn client_config(&self, reference: &Reference) -> ClientConfig {
        ClientConfig {
            protocol: match self.scheme(reference) {
                "http" => ClientProtocol::Http,
                _ => ClientProtocol::Https,
            },
            accept_invalid_certificates: self.any_certificate,
            extra_root_certificates: self
                .certificates
                .iter()
                .map(|der| Certificate {
                    encoding: CertificateEncoding::Der,
                    data: der.to_vec(),
                })
                .collect(),
            connect_timeout: Some(self.timeout),
            read_timeout: Some(self.timeout),
            user_agent: super::USER_AGENT,
            ..ClientConfig::default()
        }
    }

    /// The scheme of the registry's URL, `http` or `https`.
    pub(super) fn scheme(&self, reference: &Reference) -> &'static str {
        // A flag about certificates means that the local registry uses TLS.
        let wants_tls = self.any_certificate || !self.certificates.is_empty();
        if self.plain_http || (is_local(reference) && !wants_tls) {
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
