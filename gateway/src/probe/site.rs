//! What resources say of the gateway that is probed.

use rule::Host;

use crate::{Certificates, Listener, Model, Outcome, ServerId, Workload};

/// The listener that is probed, as resources describe it.
#[derive(Clone, Copy, Debug)]
pub struct Site<'m> {
    pub workload: &'m Workload,
    pub listener: &'m Listener,
}

/// What is known of the place that is probed.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// The port that is connected to.
    pub port: u16,
    pub sni: &'p str,
    /// The SHA-256 of the certificate that it showed, in hexadecimal; `None` where there was none.
    pub fingerprint: Option<&'p str>,
}

/// The listener that is probed, and which else it could be.
#[derive(Clone, Debug, Default)]
pub struct Choice<'m> {
    /// The one that fits best; `None` where no listener has the server name.
    pub site: Option<Site<'m>>,
    /// Those that fit as well, beside it.
    pub others: Vec<Site<'m>>,
}

impl<'m> Site<'m> {
    /// Its workload and listener.
    #[must_use]
    pub fn name(&self) -> String {
        format!(
            "workload {}, listener {}",
            self.workload.full_name(),
            self.listener.name()
        )
    }

    /// The server that has a name.
    #[must_use]
    pub fn server(&self, host: &str) -> Option<&'m ServerId> {
        self.listener
            .chain(host.as_bytes())
            .map(|chain| &chain.server.id)
    }

    /// Whether a connection for a name and one for an authority's own host end at one server, which
    /// serves the authority.
    #[must_use]
    pub fn has_one_server(&self, sni: &str, authority: &str) -> bool {
        let host = Host::from_authority(authority.as_bytes());
        let host = host.without_trailing_dot().to_string();
        let answers =
            [sni, &host].map(|name| self.listener.answer(name.as_bytes(), authority.as_bytes()));
        let are_served = answers
            .iter()
            .all(|answer| answer.outcome == Outcome::Served);
        are_served && self.server(sni) == self.server(&host)
    }

    fn has_port(&self, port: u16) -> bool {
        let servers = self.listener.chains.iter().map(|chain| chain.server.port);
        servers
            .chain([self.listener.port])
            .any(|found| found == port)
    }

    /// Whether the server of a name has a certificate.
    fn shows(&self, place: Place<'_>, certificates: &Certificates) -> bool {
        let chain = self.listener.chain(place.sni.as_bytes());
        let credentials = chain
            .map(|chain| chain.credentials.as_slice())
            .unwrap_or_default();
        let known = credentials
            .iter()
            .filter_map(|credential| certificates.known(credential));
        let mut fingerprints = known.map(|found| found.fingerprint.as_str());
        place
            .fingerprint
            .is_some_and(|own| fingerprints.any(|found| found == own))
    }
}

/// Finds the listener that is probed: one with the server name; of several those that show the
/// certificate which was seen, and of those the ones with the port, each where there are any. What is
/// connected to may be a load balancer, or forwarded, so that the port alone proves nothing.
#[must_use]
pub fn choose<'m>(model: &'m Model, certificates: &Certificates, place: Place<'_>) -> Choice<'m> {
    let all = model.workloads.iter().flat_map(|workload| {
        workload
            .listeners
            .iter()
            .map(move |listener| Site { workload, listener })
    });
    let has_name = |site: &Site<'_>| {
        let chain = site.listener.chain(place.sni.as_bytes());
        !site.listener.is_rejected() && chain.is_some_and(|chain| chain.tls.is_some())
    };
    let found: Vec<Site<'m>> = all.filter(has_name).collect();
    let found = narrowed(found, |site| site.shows(place, certificates));
    let mut found = narrowed(found, |site| site.has_port(place.port)).into_iter();
    Choice {
        site: found.next(),
        others: found.collect(),
    }
}

/// Those of which something holds; all, where it holds of none.
fn narrowed<'m>(found: Vec<Site<'m>>, holds: impl Fn(&Site<'m>) -> bool) -> Vec<Site<'m>> {
    let fitting: Vec<Site<'m>> = found.iter().filter(|site| holds(site)).copied().collect();
    if fitting.is_empty() { found } else { fitting }
}
