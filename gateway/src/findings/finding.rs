//! A finding as data, and the collection of findings while the searches run.

use std::collections::BTreeSet;

use super::{Code, Ignores, Known, ListenerAddress, Protection, Remedy, Severity, WorkloadName};
use crate::advice::Advice;
use crate::generated::Unprogrammed;
use crate::resources::{Origin, ResourceName};
use crate::{Credential, Listener, ServerId, Workload};

/// A connection to one server and a request for another, as an example with the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The server that the connection is to.
    pub connection: ServerId,
    /// The server that the request is for.
    pub owner: ServerId,
    /// The SNI of the connection.
    pub sni: String,
    /// The authority of the request.
    pub authority: String,
    /// What happens and why: filter chains, virtual hosts and the name in the certificate.
    pub evidence: String,
}

/// A credential that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentedCredential {
    pub credential: Credential,
    /// The names in its certificate; empty if the input does not have it.
    pub names: Vec<String>,
}

impl PresentedCredential {
    /// The Secret; `None` for another source of certificates.
    #[must_use]
    pub fn secret(&self) -> Option<ResourceName> {
        self.credential.secret()
    }
}

/// A resource that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocatedResource {
    pub name: ResourceName,
    /// Where the resource was read; `None` if the input does not have it.
    pub origin: Option<Origin>,
}

/// One defect with one cause. A field that does not apply is `None` or empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub code: Code,
    /// The severity of this finding: an installed filter may reduce the severity of the code.
    pub severity: Severity,
    pub workload: Option<WorkloadName>,
    pub listener: Option<ListenerAddress>,
    /// The SNI of the connection, or of the first pair.
    pub sni: Option<String>,
    /// The authority of the request, or of the first pair.
    pub authority: Option<String>,
    /// The servers that connections are to, in ascending order if there are pairs.
    pub connections: Vec<ServerId>,
    /// The servers that requests are for, in ascending order if there are pairs.
    pub owners: Vec<ServerId>,
    /// The first [`MAX_PAIRS`] of the pairs that the finding stands for.
    pub pairs: Vec<Pair>,
    /// How many pairs of a connection and a server the finding stands for.
    pub pair_count: usize,
    /// How much is known of the certificates that the finding depends on.
    pub certificate: Known,
    pub credentials: Vec<PresentedCredential>,
    /// What an installed filter does with the requests.
    pub guard: Protection,
    /// What is wrong in one sentence, and what to do about it in another.
    pub advice: Advice,
    /// What to do about it, the best first. Empty if the hint of the advice is all there is.
    pub remedies: Vec<Remedy>,
    /// The resources that the finding is about, the most important first.
    pub resources: Vec<LocatedResource>,
    /// Further resources with the same fault, which the message only counts.
    pub counted: BTreeSet<ResourceName>,
}

/// How many pairs of a finding are listed.
pub const MAX_PAIRS: usize = 500;

impl Finding {
    pub(super) fn new(code: Code, message: String, hint: impl Into<Remedy>) -> Self {
        let remedy = hint.into();
        Self {
            code,
            severity: code.severity(),
            workload: None,
            listener: None,
            sni: None,
            authority: None,
            connections: Vec::new(),
            owners: Vec::new(),
            pairs: Vec::new(),
            pair_count: 0,
            certificate: Known::Unknown,
            credentials: Vec::new(),
            guard: Protection::None,
            advice: Advice::new(message, remedy.text.clone()),
            // A text without a command is only the hint of the advice.
            remedies: remedy
                .command
                .is_some()
                .then_some(remedy)
                .into_iter()
                .collect(),
            resources: Vec::new(),
            counted: BTreeSet::new(),
        }
    }

    /// A finding about a listener of the Gateway API that istiod does not program into Envoy.
    pub(super) fn of_unprogrammed(
        code: Code,
        listener: &Unprogrammed,
        hint: impl Into<Remedy>,
    ) -> Self {
        Self::new(code, format!("istiod drops {listener}"), hint).with_owner(&listener.server)
    }

    /// Replaces the hint by several remedies.
    pub(super) fn with_remedies(self, remedies: Vec<Remedy>) -> Self {
        Self { remedies, ..self }
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

    /// Adds a server that connections are to.
    pub(super) fn with_connection(mut self, server: &ServerId) -> Self {
        self.connections.push(server.clone());
        self.about(server.resource.clone())
    }

    /// Adds a server that requests are for.
    pub(super) fn with_owner(mut self, server: &ServerId) -> Self {
        self.owners.push(server.clone());
        self.about(server.resource.clone())
    }

    /// Adds a resource that the finding is about.
    pub(super) fn about(mut self, resource: ResourceName) -> Self {
        if !self.resources.iter().any(|known| known.name == resource) {
            self.resources.push(LocatedResource {
                name: resource,
                origin: None,
            });
        }
        self
    }

    /// Where the resources of the finding were read, sorted.
    #[must_use]
    pub fn sorted_origins(&self) -> BTreeSet<&Origin> {
        self.resources
            .iter()
            .filter_map(|resource| resource.origin.as_ref())
            .collect()
    }

    /// The servers that the finding names, each once.
    #[must_use]
    pub fn servers(&self) -> BTreeSet<&ServerId> {
        self.connections.iter().chain(&self.owners).collect()
    }

    /// What is wrong, with the evidence of one pair if there are pairs. For output in which a finding is
    /// one text.
    #[must_use]
    pub fn message(&self) -> String {
        let cause = &self.advice.message;
        match self.pairs.as_slice() {
            [] => cause.clone(),
            [pair] if self.pair_count == 1 => pair.evidence.clone(),
            [pair, ..] => format!("{cause}; for example, {}", pair.evidence),
        }
    }

    /// The order of a report: errors first, then by the effect on clients and by location.
    pub(super) fn sort_key(&self) -> impl Ord + '_ {
        (
            self.severity,
            (self.code.effect_rank(), self.code),
            (&self.workload, &self.listener),
            (&self.connections, &self.owners),
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
            .any(|resource| self.ignores.has(&resource.name, finding.code));
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
