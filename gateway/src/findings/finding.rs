//! A finding as data, and the collection of findings while the searches run.

use std::collections::BTreeSet;

use super::{Code, Ignores, Known, ListenerAddress, WorkloadName};
use crate::advice::Advice;
use crate::generated::Unprogrammed;
use crate::resources::{Origin, ResourceName};
use crate::{Listener, ServerId, Workload};

/// The servers of a finding that stands for many pairs of servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// In ascending order, without duplicates.
    pub servers: Vec<ServerId>,
    /// How many pairs of a connection and a server the finding stands for.
    pub pairs: usize,
}

/// One defect. A field that does not apply is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub code: Code,
    pub workload: Option<WorkloadName>,
    pub listener: Option<ListenerAddress>,
    /// The SNI of the connection in the example.
    pub sni: Option<String>,
    /// The authority of the request in the example.
    pub authority: Option<String>,
    /// The server that the connection is to.
    pub connection: Option<ServerId>,
    /// The server that the request is for.
    pub owner: Option<ServerId>,
    /// How much is known of the certificates that the finding depends on.
    pub certificate: Known,
    pub group: Option<Group>,
    /// What is wrong, with the evidence, and what to do about it.
    pub advice: Advice,
    /// The resources that the finding is about, the most important first.
    pub resources: Vec<ResourceName>,
    /// Where these resources were read, in the same order.
    pub origins: Vec<Origin>,
}

impl Finding {
    pub(super) fn new(code: Code, message: String, hint: impl Into<String>) -> Self {
        Self {
            code,
            workload: None,
            listener: None,
            sni: None,
            authority: None,
            connection: None,
            owner: None,
            certificate: Known::Unknown,
            group: None,
            advice: Advice::new(message, hint),
            resources: Vec::new(),
            origins: Vec::new(),
        }
    }

    /// A finding about a listener of the Gateway API that istiod does not program into Envoy.
    pub(super) fn of_unprogrammed(code: Code, listener: &Unprogrammed, hint: &str) -> Self {
        Self::new(code, format!("istiod drops {listener}"), hint).with_owner(&listener.server)
    }

    /// Sets the listener and its workload.
    pub(super) fn at(mut self, workload: &Workload, listener: &Listener) -> Self {
        self.listener = Some(listener.into());
        self.on(workload)
    }

    /// Sets the workload, for a finding that is not about one listener.
    pub(super) fn on(mut self, workload: &Workload) -> Self {
        self.workload = Some(workload.into());
        self
    }

    /// Sets the server that the connection is to.
    pub(super) fn with_connection(mut self, server: &ServerId) -> Self {
        self.connection = Some(server.clone());
        self.about(server.resource.clone())
    }

    /// Sets the server that the request is for.
    pub(super) fn with_owner(mut self, server: &ServerId) -> Self {
        self.owner = Some(server.clone());
        self.about(server.resource.clone())
    }

    /// Adds a resource that the finding is about.
    pub(super) fn about(mut self, resource: ResourceName) -> Self {
        if !self.resources.contains(&resource) {
            self.resources.push(resource);
        }
        self
    }

    /// Where the resources of the finding were read, sorted.
    #[must_use]
    pub fn sorted_origins(&self) -> BTreeSet<&Origin> {
        self.origins.iter().collect()
    }

    /// The servers that the finding names, in an order in which neighbours are pairs.
    pub fn servers(&self) -> impl Iterator<Item = &ServerId> {
        self.group
            .iter()
            .flat_map(|group| &group.servers)
            .chain(&self.connection)
            .chain(&self.owner)
    }

    /// The order of a report: the worst first, then by code and location.
    pub(super) fn sort_key(&self) -> impl Ord + '_ {
        (
            self.code.severity(),
            self.code,
            (&self.workload, &self.listener),
            (&self.connection, &self.owner),
            &self.advice.message,
        )
    }
}

/// The findings so far, without those that annotations hide.
pub(super) struct Findings<'i> {
    ignores: &'i Ignores,
    pub(super) found: Vec<Finding>,
    pub(super) suppressed: usize,
}

impl<'i> Findings<'i> {
    pub(super) fn new(ignores: &'i Ignores) -> Self {
        Self {
            ignores,
            found: Vec::new(),
            suppressed: 0,
        }
    }

    /// Adds a finding, or counts it as suppressed if an annotation of one of its resources hides it.
    pub(super) fn add(&mut self, finding: Finding) {
        // One resource is enough: its owner accepts the finding, whichever side the resource is on.
        let is_ignored = finding
            .resources
            .iter()
            .any(|resource| self.ignores.has(resource, finding.code));
        if is_ignored {
            self.suppressed += 1;
        } else {
            self.found.push(finding);
        }
    }

    /// Whether the resource of a server hides findings with a code.
    pub(super) fn ignores(&self, server: &ServerId, code: Code) -> bool {
        self.ignores.has(&server.resource, code)
    }

    /// Whether a resource hides findings with a code.
    pub(super) fn ignores_resource(&self, resource: &ResourceName, code: Code) -> bool {
        self.ignores.has(resource, code)
    }

    /// Counts what a search left out before it made findings.
    pub(super) fn suppress(&mut self, count: usize) {
        self.suppressed += count;
    }
}

#[cfg(test)]
mod tests {
    use super::{Finding, Findings};
    use crate::Resources;
    use crate::documents::read;
    use crate::findings::{Code, Ignores};
    use crate::resources::{Kind, ResourceName};
    use crate::server::{Entry, ServerId};

    const ANNOTATED: &str = "\
        {apiVersion: networking.istio.io/v1, kind: Gateway, \
        metadata: {name: quiet, namespace: shop, annotations: {sni-guard/ignore: SG201}}, \
        spec: {selector: {}, servers: []}}";

    fn server(name: &str) -> ServerId {
        ServerId {
            resource: ResourceName {
                kind: Kind::Gateway,
                namespace: "shop".into(),
                name: name.into(),
            },
            entry: Entry::Listener("https".into()),
        }
    }

    #[track_caller]
    fn check(finding: Finding, suppressed: usize) {
        let mut resources = Resources::default();
        assert!(read("input.yaml", ANNOTATED, &mut resources).is_empty());
        let ignores = Ignores::new(&resources);
        let mut findings = Findings::new(&ignores);
        findings.add(finding);
        assert_eq!(
            (findings.suppressed, findings.found.len()),
            (suppressed, 1 - suppressed)
        );
    }

    #[test]
    fn an_annotation_hides_findings_about_its_resource() {
        let finding = |code| Finding::new(code, String::new(), "");
        let dropped = || finding(Code::ServerDropped);
        let (quiet, other) = (server("quiet"), server("other"));
        check(dropped().with_connection(&quiet).with_owner(&other), 1);
        check(dropped().with_connection(&other).with_owner(&quiet), 1);
        check(dropped().about(quiet.resource.clone()), 1);
        // Another resource, another code, and no resource at all.
        check(dropped().with_connection(&other), 0);
        check(finding(Code::HostUnattached).with_owner(&quiet), 0);
        check(dropped(), 0);
    }
}
