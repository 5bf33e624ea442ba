//! The report: all findings in order, with their counts.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::context::resources_of_findings;
use super::finding::Findings;
use super::{CheckedListener, Finding, Severity};
use crate::generated::Ignored;
use crate::resources::{Kind, LabelQuery, Metadata, Origin, ResourceName, Resources};

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The worst first, then by code and location.
    pub findings: Vec<Finding>,
    pub summary: Summary,
    /// The listeners with TLS, by workload.
    pub listeners: Vec<CheckedListener>,
}

/// How many resources were checked, and how many findings there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub errors: usize,
    pub warnings: usize,
    pub infos: usize,
    /// Istio Gateways and Gateways of the Gateway API.
    pub gateways: usize,
    /// The servers of Istio Gateways, the listeners of the Gateway API and the `tls` entries of Ingresses.
    pub servers: usize,
    /// Findings that annotations hide.
    pub suppressed: usize,
    /// What the check left out, and why: a report without findings must not mean that nothing was checked.
    pub ignored: Vec<String>,
}

impl Report {
    pub(super) fn new(
        findings: Findings<'_>,
        resources: &Resources,
        ignored: &[Ignored],
        listeners: Vec<CheckedListener>,
    ) -> Self {
        let suppressed = findings.suppressed;
        let mut findings = findings.found;

        // Files and lines are added here, so that no search has to look them up.
        let origins = origins(resources);
        for resource in findings
            .iter_mut()
            .flat_map(|finding| &mut finding.resources)
        {
            resource.origin = origins.get(&resource.name).copied().cloned();
        }

        // The input may contain a resource twice, and then it has the same findings twice.
        findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        findings.dedup();

        let summary = Summary {
            errors: count(&findings, Severity::Error),
            warnings: count(&findings, Severity::Warning),
            infos: count(&findings, Severity::Info),
            gateways: count_gateways(resources, None),
            servers: count_servers(resources, None),
            suppressed,
            ignored: ignored.iter().map(ToString::to_string).collect(),
        };
        Self {
            findings,
            summary,
            listeners,
        }
    }
}

impl Report {
    /// Keeps the findings about resources whose labels match, and counts the Gateways and servers of these. The
    /// check itself needs all resources: a Gateway without the labels can break one that has them.
    pub fn select(&mut self, query: &LabelQuery, resources: &Resources) {
        let selected: HashSet<ResourceName> = resources_of_findings(resources)
            .filter(|(_, metadata)| query.matches(&metadata.labels))
            .map(|(kind, metadata)| metadata.resource(kind))
            .collect();
        let before = self.findings.len();
        self.findings.retain(|finding| {
            finding
                .resources
                .iter()
                .map(|resource| &resource.name)
                .chain(&finding.counted)
                .any(|name| selected.contains(name))
        });
        self.listeners.retain(|listener| {
            listener
                .servers
                .iter()
                .any(|server| selected.contains(&server.id.resource))
        });

        let Summary {
            errors,
            warnings,
            infos,
            gateways,
            servers,
            suppressed: _,
            ignored,
        } = &mut self.summary;
        *errors = count(&self.findings, Severity::Error);
        *warnings = count(&self.findings, Severity::Warning);
        *infos = count(&self.findings, Severity::Info);
        *gateways = count_gateways(resources, Some(&selected));
        *servers = count_servers(resources, Some(&selected));
        // A report without findings must not mean that there are none.
        match before - self.findings.len() {
            0 => {}
            1 => ignored.push(format!(
                "1 finding about resources without the labels {query}"
            )),
            others => ignored.push(format!(
                "{others} findings about resources without the labels {query}"
            )),
        }
    }
}

/// Where the resources that findings are about were read.
fn origins(resources: &Resources) -> HashMap<ResourceName, &Origin> {
    resources_of_findings(resources)
        .map(|(kind, metadata)| (metadata.resource(kind), &metadata.origin))
        .collect()
}

fn count(findings: &[Finding], severity: Severity) -> usize {
    findings
        .iter()
        .filter(|finding| finding.severity == severity)
        .count()
}

/// The Gateways of both APIs; of the selected ones, if there is a selection.
fn count_gateways(resources: &Resources, selected: Option<&HashSet<ResourceName>>) -> usize {
    resources
        .with_servers()
        .filter(|(kind, metadata)| {
            matches!(kind, Kind::Gateway | Kind::ApiGateway)
                && is_selected(selected, *kind, metadata)
        })
        .count()
}

/// The servers of the resources; of the selected ones, if there is a selection.
fn count_servers(resources: &Resources, selected: Option<&HashSet<ResourceName>>) -> usize {
    let mut servers = 0;
    for gateway in &resources.gateways {
        if is_selected(selected, Kind::Gateway, &gateway.metadata) {
            servers += gateway.spec.servers.len();
        }
    }
    for gateway in &resources.api_gateways {
        if is_selected(selected, Kind::ApiGateway, &gateway.metadata) {
            servers += gateway.spec.listeners.len();
        }
    }
    for listener_set in &resources.listener_sets {
        if is_selected(selected, Kind::ListenerSet, &listener_set.metadata) {
            servers += listener_set.spec.listeners.len();
        }
    }
    for ingress in &resources.ingresses {
        if is_selected(selected, Kind::Ingress, &ingress.metadata) {
            servers += ingress.spec.tls.len();
        }
    }
    servers
}

fn is_selected(selected: Option<&HashSet<ResourceName>>, kind: Kind, metadata: &Metadata) -> bool {
    selected.is_none_or(|selected| selected.contains(&metadata.resource(kind)))
}
