//! The message and the hint of a broken pair.

use super::merge_advice::MergeAdvice;
use crate::coalescing::{BrokenPair, Defect};
use crate::istio::GATEWAY_NAME_LABEL;
use crate::{Certificates, FilterChain, Outcome, VirtualHost, Workload};

/// The command that installs the filter.
const GUARD: &str =
    "install the filter, which responds 421: packager manifest --image IMAGE --from PATH";

/// A broken pair with what its finding reports.
pub(super) struct Explanation<'p> {
    sni: &'p str,
    authority: &'p str,
    connection: &'p FilterChain,
    /// The filter chain of a new connection for the authority.
    owner: &'p FilterChain,
    workload: &'p Workload,
    /// The name in the certificate that covers the authority, if the certificate is known.
    certificate_name: Option<String>,
    reused_virtual_host: Option<&'p VirtualHost>,
    fresh_virtual_host: Option<&'p VirtualHost>,
    fresh_outcome: Outcome,
    defect: Defect,
    /// Whether a merge makes one server of both.
    advice: Option<&'p MergeAdvice>,
}

impl<'p> Explanation<'p> {
    pub(super) fn new(
        workload: &'p Workload,
        pair: &'p BrokenPair<'p>,
        certificates: &Certificates,
        advice: Option<&'p MergeAdvice>,
    ) -> Self {
        let connection = pair.connection.chain.chain;
        let host = pair.host;
        Self {
            sni: pair.connection.sni,
            authority: &host.name,
            connection,
            owner: host.chain.chain,
            workload,
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
            advice,
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
            None => {
                "both servers use the same credential, which is not in the input and is presumed \
                     to cover both hosts"
                    .into()
            }
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

    pub(super) fn hint(&self) -> String {
        match self.defect {
            Defect::TlsPolicy => self.policy_hint(),
            Defect::NotFound | Defect::WrongRoute => match self.advice {
                Some(MergeAdvice::Merge) => {
                    format!("serve both hosts from one server: packager merge PATH; or {GUARD}")
                }
                Some(MergeAdvice::MergeIfCertificateCovers) => format!(
                    "if the certificate covers both hosts, serve them from one server: packager \
                     merge --assume-same-certificate PATH; or {GUARD}"
                ),
                Some(MergeAdvice::Refused(refusal)) => format!(
                    "packager merge refuses these servers, because {}; {}",
                    refusal.message, refusal.hint
                ),
                Some(MergeAdvice::Unproved) | None => format!(
                    "packager merge PATH prints a plan that serves both hosts from one server, or \
                     why there is none; or {GUARD}"
                ),
            },
        }
    }

    /// A client can bypass mutual TLS on purpose, so the boundary goes first; the filter only lets
    /// browsers retry.
    fn policy_hint(&self) -> String {
        format!(
            "deny such requests on the gateway: packager manifest --kind AuthorizationPolicy \
             --namespace {} {} --from PATH; then, for browsers, {GUARD}",
            self.workload.namespace,
            attachment_flags(self.workload)
        )
    }
}

fn name_of(virtual_host: Option<&VirtualHost>) -> &str {
    virtual_host.map_or("none", |host| host.name.as_str())
}

/// The flags that attach a resource to the pods of a workload.
fn attachment_flags(workload: &Workload) -> String {
    // istiod labels the pods of a Gateway of the Gateway API with its name.
    if let Some(name) = workload.labels.get(GATEWAY_NAME_LABEL) {
        return format!("--target-ref Gateway/{name}");
    }
    // Gateways usually select pods by the label `istio`. Without it, all labels select these pods.
    if let Some(value) = workload.labels.get("istio") {
        return format!("--selector istio={value}");
    }
    workload
        .labels
        .iter()
        .map(|(key, value)| format!("--selector {key}={value}"))
        .collect::<Vec<_>>()
        .join(" ")
}
