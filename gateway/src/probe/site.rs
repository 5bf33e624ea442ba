//! The listener that the resources have for a probed gateway.

use rule::Host;

use crate::{Certificates, Listener, Model, Outcome, ServerId, Workload};

/// A listener of the model, with its workload.
#[derive(Clone, Copy, Debug)]
pub struct Site<'m> {
    pub workload: &'m Workload,
    pub listener: &'m Listener,
}

/// What the prober knows about the gateway before it reads resources.
#[derive(Clone, Copy, Debug)]
pub struct ProbeTarget<'p> {
    /// The port that the prober connects to.
    pub port: u16,
    pub sni: &'p str,
    /// The SHA-256 of the certificate that the gateway presented, in hexadecimal; `None` without one.
    pub fingerprint: Option<&'p str>,
}

/// The probed listener, and other listeners that it could be.
#[derive(Clone, Debug, Default)]
pub struct Choice<'m> {
    /// The listener that matches best; `None` if no listener has the SNI.
    pub site: Option<Site<'m>>,
    /// The other listeners that match equally well.
    pub others: Vec<Site<'m>>,
}

impl<'m> Site<'m> {
    /// The names of the workload and the listener, for output.
    #[must_use]
    pub fn name(&self) -> String {
        format!(
            "workload {}, listener {}",
            self.workload.full_name(),
            self.listener.name()
        )
    }

    /// The server that Envoy selects for an SNI.
    #[must_use]
    pub fn server(&self, host: &str) -> Option<&'m ServerId> {
        self.listener
            .chain(host.as_bytes())
            .map(|chain| &chain.server.id)
    }

    /// Whether connections for an SNI and for the host of an authority reach one server, which serves the
    /// authority.
    #[must_use]
    pub fn has_one_server(&self, sni: &str, authority: &str) -> bool {
        // Clients send the host without the port and the trailing dot as the SNI.
        let host = Host::from_authority(authority.as_bytes());
        let host = host.without_trailing_dot().to_string();
        self.serves(sni, authority)
            && self.serves(&host, authority)
            && self.server(sni) == self.server(&host)
    }

    fn serves(&self, sni: &str, authority: &str) -> bool {
        let answer = self.listener.answer(sni.as_bytes(), authority.as_bytes());
        answer.outcome == Outcome::Served
    }

    /// Whether Envoy listens on a port, or a Service maps it to the port that Envoy listens on.
    fn has_port(&self, port: u16) -> bool {
        self.listener.port == port
            || self
                .listener
                .chains
                .iter()
                .any(|chain| chain.server.port == port)
    }

    /// Whether the server for the SNI has the certificate that the gateway presented.
    fn has_certificate(&self, target: ProbeTarget<'_>, certificates: &Certificates) -> bool {
        let Some(chain) = self.listener.chain(target.sni.as_bytes()) else {
            return false;
        };
        chain
            .credentials
            .iter()
            .filter_map(|credential| certificates.known(credential))
            .any(|certificate| Some(certificate.fingerprint.as_str()) == target.fingerprint)
    }

    /// Whether Envoy accepts the listener and has a TLS server for an SNI.
    fn has_server(&self, sni: &str) -> bool {
        let chain = self.listener.chain(sni.as_bytes());
        !self.listener.is_rejected() && chain.is_some_and(|chain| chain.tls.is_some())
    }
}

/// Finds the probed listener: one with the SNI; among several those with the presented certificate, and among
/// these those with the port. A condition that no listener meets is ignored. The port is the weakest condition,
/// because the prober can connect to a load balancer or a forwarded port.
#[must_use]
pub fn choose<'m>(
    model: &'m Model,
    certificates: &Certificates,
    target: ProbeTarget<'_>,
) -> Choice<'m> {
    let mut sites = Vec::new();
    for workload in &model.workloads {
        for listener in &workload.listeners {
            sites.push(Site { workload, listener });
        }
    }
    // The SNI is required, because a listener without it resets the connection.
    sites.retain(|site| site.has_server(target.sni));

    // The certificate is strong evidence, but the input may lack the Secret.
    let sites = narrowed(sites, |site| site.has_certificate(target, certificates));
    let mut sites = narrowed(sites, |site| site.has_port(target.port)).into_iter();
    Choice {
        site: sites.next(),
        others: sites.collect(),
    }
}

/// The sites that meet a condition, or all sites if none does.
fn narrowed<'m>(sites: Vec<Site<'m>>, condition: impl Fn(&Site<'m>) -> bool) -> Vec<Site<'m>> {
    let fitting: Vec<Site<'m>> = sites
        .iter()
        .copied()
        .filter(|site| condition(site))
        .collect();
    if fitting.is_empty() { sites } else { fitting }
}
