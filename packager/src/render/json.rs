//! The report as one JSON object. Its keys and their order are what users script against.

use std::io::{self, Write};

use gateway::findings::{Code, Finding, Known, Report, Severity, Summary};
use serde::Serialize;

#[derive(Serialize)]
struct ReportJson<'r> {
    findings: Vec<FindingJson<'r>>,
    summary: Summary,
}

#[derive(Serialize)]
struct FindingJson<'r> {
    code: Code,
    name: &'static str,
    severity: Severity,
    workload: Option<String>,
    listener: Option<String>,
    sni: Option<&'r str>,
    authority: Option<&'r str>,
    connection: Option<String>,
    owner: Option<String>,
    certificate: Known,
    group: Option<GroupJson>,
    message: &'r str,
    hint: &'r str,
}

#[derive(Serialize)]
struct GroupJson {
    servers: Vec<String>,
    pairs: usize,
}

pub(super) fn write(report: &Report, sink: &mut dyn Write) -> io::Result<()> {
    // The checked listeners are not part of this format.
    let report = ReportJson {
        findings: report.findings.iter().map(FindingJson::from).collect(),
        summary: report.summary,
    };
    writeln!(sink, "{}", serde_json::to_string(&report)?)
}

impl<'r> From<&'r Finding> for FindingJson<'r> {
    fn from(finding: &'r Finding) -> Self {
        Self {
            code: finding.code,
            name: finding.code.name(),
            severity: finding.code.severity(),
            workload: finding.workload.as_ref().map(ToString::to_string),
            listener: finding.listener.as_ref().map(ToString::to_string),
            sni: finding.sni.as_deref(),
            authority: finding.authority.as_deref(),
            connection: finding.connection.as_ref().map(ToString::to_string),
            owner: finding.owner.as_ref().map(ToString::to_string),
            certificate: finding.certificate,
            group: finding.group.as_ref().map(|group| GroupJson {
                servers: group.servers.iter().map(ToString::to_string).collect(),
                pairs: group.pairs,
            }),
            message: &finding.advice.message,
            hint: &finding.advice.hint,
        }
    }
}
