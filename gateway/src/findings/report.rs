//! The report: all findings in order, with their counts.

use std::collections::HashMap;

use serde::Serialize;

use super::context::resources_of_findings;
use super::finding::Findings;
use super::{CheckedListener, Finding, Severity};
use crate::generated::Ignored;
use crate::resources::{Origin, ResourceName, Resources};

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
            gateways: resources.gateways.len() + resources.api_gateways.len(),
            servers: count_servers(resources),
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

fn count_servers(resources: &Resources) -> usize {
    let mut servers = 0;
    for gateway in &resources.gateways {
        servers += gateway.spec.servers.len();
    }
    for gateway in &resources.api_gateways {
        servers += gateway.spec.listeners.len();
    }
    for listener_set in &resources.listener_sets {
        servers += listener_set.spec.listeners.len();
    }
    for ingress in &resources.ingresses {
        servers += ingress.spec.tls.len();
    }
    servers
}
