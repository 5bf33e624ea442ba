//! A pair in words: what happens, how one can tell, what to do.

use crate::coalescing::{Defect, Pair, Site};
use crate::listener::ChainKind;
use crate::server::Entry;
use crate::{Certificates, FilterChain, Outcome, VirtualHost, Workload};

/// A request that breaks.
pub(super) struct Scene<'s> {
    pub(super) sni: &'s str,
    pub(super) authority: &'s str,
    pub(super) connection: &'s FilterChain,
    pub(super) owner: &'s FilterChain,
    workload: &'s Workload,
    /// The name of a certificate, where one is known.
    name: Option<String>,
    reused: Option<&'s VirtualHost>,
    fresh: Option<&'s VirtualHost>,
    fresh_outcome: Outcome,
    defect: Defect,
}

impl<'s> Scene<'s> {
    pub(super) fn of(site: &'s Site<'_>, pair: Pair, certificates: &Certificates) -> Option<Self> {
        let host = site.candidate(pair.host)?;
        let connection = site.chain(pair.connection)?;
        let mut known = connection
            .credentials
            .iter()
            .filter_map(|found| certificates.known(found));
        let name = known
            .find_map(|found| found.name_for(&host.name))
            .map(ToString::to_string);
        Some(Self {
            sni: site.sni(pair.connection)?,
            authority: &host.name,
            connection,
            owner: site.chain(host.chain)?,
            workload: site.workload,
            name,
            reused: connection.answer(host.name.as_bytes()).virtual_host,
            fresh: host.fresh.virtual_host,
            fresh_outcome: host.fresh.outcome,
            defect: pair.defect,
        })
    }

    pub(super) fn message(&self) -> String {
        let Self {
            sni,
            authority,
            connection,
            owner,
            ..
        } = self;
        let why = match &self.name {
            Some(name) => format!("its certificate is good for {authority} ({name})"),
            None => "its certificate is presumably good for both hosts (the same credential, \
                     contents unknown)"
                .into(),
        };
        format!(
            "on a connection for {sni} to {}, {authority} {}: {why}; a connection of its own goes \
             to {}, {} (chain {})",
            connection.server.id,
            self.outcome(),
            owner.server.id,
            self.fresh(),
            owner.name
        )
    }

    fn outcome(&self) -> String {
        let chain = &self.connection.name;
        let virtual_host = self.reused.map_or("none", |host| host.name.as_str());
        match self.defect {
            Defect::NotFound => format!("is answered 404 (chain {chain}, no virtual host)"),
            Defect::WrongRoute => {
                format!("meets other routes (chain {chain}, virtual host {virtual_host})")
            }
            Defect::TlsPolicy => format!(
                "is served without a client certificate (chain {chain}, virtual host {virtual_host})"
            ),
        }
    }

    fn fresh(&self) -> String {
        match (self.fresh_outcome, self.defect) {
            (Outcome::Passthrough, _) => "which passes it through to a backend".into(),
            (Outcome::Tcp, _) => "which forwards it".into(),
            (_, Defect::TlsPolicy) => "which demands a client certificate".into(),
            _ => {
                let virtual_host = self.fresh.map_or("none", |host| host.name.as_str());
                format!("which serves it by virtual host {virtual_host}")
            }
        }
    }

    pub(super) fn hint(&self) -> String {
        let guard = "have the filter answer 421: packager manifest --image IMAGE --from PATH";
        if self.defect == Defect::TlsPolicy {
            return format!(
                "have the gateway deny such requests: packager manifest --kind AuthorizationPolicy \
                 --namespace {} {} --from PATH; then, for browsers, {guard}",
                self.workload.namespace,
                attachment(self.workload)
            );
        }
        match self.obstacle() {
            None => {
                format!("serve both hosts from one server: packager merge PATH; or {guard}")
            }
            Some(obstacle) => format!("they cannot be one server, since {obstacle}; {guard}"),
        }
    }

    /// Why the two servers cannot become one.
    fn obstacle(&self) -> Option<&'static str> {
        let Self {
            connection, owner, ..
        } = self;
        let is_classic =
            |chain: &FilterChain| matches!(chain.server.id.entry, Entry::Server { .. });
        if !matches!(owner.kind, ChainKind::Https(_)) {
            return Some("one of them does not terminate HTTPS");
        }
        if connection.tls != owner.tls {
            return Some("their TLS modes differ");
        }
        if connection.server.port != owner.server.port {
            return Some("their Gateways name different ports");
        }
        if !is_classic(connection) || !is_classic(owner) {
            return Some(
                "a listener of the Gateway API has one hostname, and Ingresses are generated",
            );
        }
        None
    }
}

/// The flags that attach a resource to the pods of a workload.
fn attachment(workload: &Workload) -> String {
    if let Some(name) = workload
        .labels
        .get("gateway.networking.k8s.io/gateway-name")
    {
        return format!("--target-ref Gateway/{name}");
    }
    // The label that gateways are selected by as a rule; all of them where there is none.
    let istio = workload.labels.get_key_value("istio");
    let labels: Vec<String> = match istio {
        Some(istio) => vec![istio],
        None => workload.labels.iter().collect(),
    }
    .into_iter()
    .map(|(key, value)| format!("--selector {key}={value}"))
    .collect();
    labels.join(" ")
}
