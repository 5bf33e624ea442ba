//! The evidence of a broken pair.

use crate::coalescing::{BrokenPair, Defect};
use crate::{Certificates, FilterChain, Outcome, VirtualHost};

/// A broken pair with what its finding reports.
pub(super) struct Explanation<'p> {
    sni: &'p str,
    authority: &'p str,
    connection: &'p FilterChain,
    /// The filter chain of a new connection for the authority.
    owner: &'p FilterChain,
    /// The name in the certificate that covers the authority, if the certificate is known.
    certificate_name: Option<String>,
    reused_virtual_host: Option<&'p VirtualHost>,
    fresh_virtual_host: Option<&'p VirtualHost>,
    fresh_outcome: Outcome,
    defect: Defect,
    /// Whether policies deny the requests that bypass the client certificate.
    is_denied: bool,
}

impl<'p> Explanation<'p> {
    pub(super) fn new(
        pair: &'p BrokenPair<'p>,
        certificates: &Certificates,
        is_denied: bool,
    ) -> Self {
        let connection = pair.connection.chain.chain;
        let host = pair.host;
        Self {
            sni: pair.connection.sni,
            authority: &host.name,
            connection,
            owner: host.chain.chain,
            certificate_name: connection
                .credentials
                .iter()
                .filter_map(|credential| certificates.known(credential))
                .find_map(|certificate| certificate.name_for(&host.name))
                .map(ToString::to_string),
            reused_virtual_host: connection.answer(host.name.as_bytes()).virtual_host,
            fresh_virtual_host: host.fresh.virtual_host,
            fresh_outcome: host.fresh.outcome,
            defect: pair.defect,
            is_denied,
        }
    }

    pub(super) fn message(&self) -> String {
        let Self { sni, authority, .. } = self;
        format!(
            "a request for {authority} on a connection for {sni} {}: {}; {}; {}",
            self.symptom(),
            self.reused_connection(),
            self.certificate(),
            self.new_connection()
        )
    }

    fn symptom(&self) -> &'static str {
        match self.defect {
            Defect::NotFound => "gets 404",
            Defect::WrongRoute => "gets the routes of another server",
            Defect::TlsPolicy if self.is_denied => "is denied by an AuthorizationPolicy",
            Defect::TlsPolicy => "is served without a client certificate",
        }
    }

    fn reused_connection(&self) -> String {
        let server = &self.connection.server.id;
        let chain = &self.connection.name;
        let virtual_host = name_of(self.reused_virtual_host);
        match self.defect {
            Defect::NotFound => {
                format!("{server} (filter chain {chain}) has no virtual host for it")
            }
            Defect::WrongRoute => format!(
                "{server} (filter chain {chain}) has other routes for it in virtual host \
                 {virtual_host}"
            ),
            Defect::TlsPolicy => format!(
                "{server} (filter chain {chain}) has its routes in virtual host {virtual_host} and \
                 requires no client certificate"
            ),
        }
    }

    fn certificate(&self) -> String {
        let authority = self.authority;
        match &self.certificate_name {
            Some(name) => format!("the certificate of the connection covers {authority} ({name})"),
            None => format!(
                "the input does not show the certificate of the connection, which presumably covers {authority}"
            ),
        }
    }

    fn new_connection(&self) -> String {
        let server = &self.owner.server.id;
        let chain = &self.owner.name;
        let virtual_host = name_of(self.fresh_virtual_host);
        let owner = format!("on a new connection {server} (filter chain {chain})");
        match self.fresh_outcome {
            Outcome::Passthrough => format!("{owner} passes it through to a backend"),
            Outcome::Tcp => format!("{owner} forwards it to a backend as TCP"),
            Outcome::Served | Outcome::NotFound | Outcome::Reset => match self.defect {
                Defect::TlsPolicy => format!("{owner} requires a client certificate"),
                Defect::NotFound | Defect::WrongRoute => {
                    format!("{owner} serves it from virtual host {virtual_host}")
                }
            },
        }
    }
}

fn name_of(virtual_host: Option<&VirtualHost>) -> &str {
    virtual_host.map_or("none", |host| host.name.as_str())
}
