//! Findings as data: what every form of a report is made from.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use super::{CheckedListener, Code, Ignores, Known, Severity};
use crate::resources::{Origin, ResourceName, Resources};
use crate::{Listener, ServerId, Workload};

/// Many servers in one finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The servers.
    pub servers: Vec<String>,
    /// How many pairs of a connection and a server it stands for.
    pub pairs: usize,
}

/// One thing that is wrong. What does not apply is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub code: Code,
    /// The code in words.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The pods, `namespace/name`.
    pub workload: Option<String>,
    /// The listener's name in Envoy.
    pub listener: Option<String>,
    /// The server name of the connection in the example.
    pub sni: Option<String>,
    /// The authority of the request in the example.
    pub authority: Option<String>,
    /// The server that the connection is to.
    pub connection: Option<String>,
    /// The server that the request is for.
    pub owner: Option<String>,
    /// What is known of the certificates.
    pub certificate: Known,
    /// The servers, where it stands for many.
    pub group: Option<Group>,
    /// What is wrong and how one can tell.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// The resources that it is about, the one to look at first before the others.
    #[serde(skip)]
    pub resources: Vec<ResourceName>,
    /// Where those were read, in the same order.
    #[serde(skip)]
    pub origins: Vec<Origin>,
}

impl Finding {
    pub(super) fn new(code: Code, message: String, hint: impl Into<String>) -> Self {
        Self {
            code,
            name: code.name(),
            severity: code.severity(),
            workload: None,
            listener: None,
            sni: None,
            authority: None,
            connection: None,
            owner: None,
            certificate: Known::Unknown,
            group: None,
            message,
            hint: hint.into(),
            resources: Vec::new(),
            origins: Vec::new(),
        }
    }

    pub(super) fn at(mut self, workload: &Workload, listener: &Listener) -> Self {
        self.listener = Some(listener.name());
        self.on(workload)
    }

    pub(super) fn on(mut self, workload: &Workload) -> Self {
        self.workload = Some(workload.full_name());
        self
    }

    /// Names the server that the connection is to.
    pub(super) fn with_connection(mut self, server: &ServerId) -> Self {
        self.connection = Some(server.to_string());
        self.about(server.resource.clone())
    }

    /// Names the server that the request is for.
    pub(super) fn with_owner(mut self, server: &ServerId) -> Self {
        self.owner = Some(server.to_string());
        self.about(server.resource.clone())
    }

    /// Adds a resource that it is about.
    pub(super) fn about(mut self, resource: ResourceName) -> Self {
        if !self.resources.contains(&resource) {
            self.resources.push(resource);
        }
        self
    }

    /// Where its resources were read, sorted.
    #[must_use]
    pub fn sorted_origins(&self) -> BTreeSet<&Origin> {
        self.origins.iter().collect()
    }

    /// In the order of a report: the worst first, then by code and place.
    fn order(&self) -> impl Ord + '_ {
        let Self {
            workload,
            listener,
            connection,
            owner,
            ..
        } = self;
        (
            self.severity,
            self.code,
            workload,
            listener,
            connection,
            owner,
            &self.message,
        )
    }
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// How much there is of it.
    pub summary: Summary,
    /// What was checked: the listeners with TLS, by workload.
    #[serde(skip)]
    pub listeners: Vec<CheckedListener>,
}

/// How much was checked and found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Findings that are errors.
    pub errors: usize,
    /// Findings that are warnings.
    pub warnings: usize,
    /// Findings that are good to know.
    pub infos: usize,
    /// The Gateways of both kinds.
    pub gateways: usize,
    /// Their servers and listeners, and those of Ingresses.
    pub servers: usize,
    /// What annotations leave out.
    pub suppressed: usize,
}

/// Findings as they are made.
pub(super) struct Findings<'i> {
    ignores: &'i Ignores,
    found: Vec<Finding>,
    suppressed: usize,
}

impl<'i> Findings<'i> {
    pub(super) fn new(ignores: &'i Ignores) -> Self {
        Self {
            ignores,
            found: Vec::new(),
            suppressed: 0,
        }
    }

    /// Adds a finding about servers, unless the Gateway of one of them says not to.
    pub(super) fn add<'s>(
        &mut self,
        servers: impl IntoIterator<Item = &'s ServerId>,
        finding: Finding,
    ) {
        if servers
            .into_iter()
            .any(|server| self.ignores(server, finding.code))
        {
            self.suppressed += 1;
        } else {
            self.found.push(finding);
        }
    }

    /// Whether the Gateway of a server says not to tell such a thing.
    pub(super) fn ignores(&self, server: &ServerId, code: Code) -> bool {
        self.ignores.has(&server.resource, code)
    }

    /// Counts what was left out before it became findings.
    pub(super) fn suppress(&mut self, count: usize) {
        self.suppressed += count;
    }

    pub(super) fn into_report(
        mut self,
        resources: &Resources,
        listeners: Vec<CheckedListener>,
    ) -> Report {
        let known = origins(resources);
        for finding in &mut self.found {
            finding.origins = finding
                .resources
                .iter()
                .filter_map(|resource| known.get(resource).copied().cloned())
                .collect();
        }
        self.found.sort_by(|a, b| a.order().cmp(&b.order()));
        self.found.dedup();
        let count = |severity| self.found.iter().filter(|f| f.severity == severity).count();
        let summary = Summary {
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            infos: count(Severity::Info),
            suppressed: self.suppressed,
            ..sizes(resources)
        };
        Report {
            findings: self.found,
            summary,
            listeners,
        }
    }
}

/// Where the resources that findings are about were read.
fn origins(resources: &Resources) -> HashMap<ResourceName, &Origin> {
    let extensions = resources
        .extensions
        .iter()
        .map(|extension| (extension.kind, &extension.metadata));
    resources
        .with_servers()
        .chain(extensions)
        .map(|(kind, metadata)| (metadata.resource(kind), &metadata.origin))
        .collect()
}

fn sizes(resources: &Resources) -> Summary {
    let Resources {
        gateways,
        api_gateways,
        listener_sets,
        ingresses,
        ..
    } = resources;
    let servers = gateways.iter().map(|gateway| gateway.spec.servers.len());
    let listeners = api_gateways
        .iter()
        .map(|gateway| gateway.spec.listeners.len());
    let added = listener_sets.iter().map(|set| set.spec.listeners.len());
    let ingress = ingresses.iter().map(|ingress| ingress.spec.tls.len());
    Summary {
        gateways: gateways.len() + api_gateways.len(),
        servers: servers.chain(listeners).chain(added).chain(ingress).sum(),
        ..Summary::default()
    }
}
