//! The report as one JSON object. Its keys and their order are what users script against.

use std::io::{self, Write};

use gateway::findings::{
    Code, Finding, Known, LocatedResource, Pair, Protection, Report, Severity, Summary,
};
use serde::Serialize;

use super::command_line::CommandLine;
use super::presentation::SourceWords;

#[derive(Serialize)]
struct ReportJson<'r> {
    findings: Vec<FindingJson<'r>>,
    summary: &'r Summary,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FindingJson<'r> {
    code: Code,
    name: &'static str,
    severity: Severity,
    workload: Option<String>,
    listener: Option<String>,
    certificate: Known,
    /// The credentials, separated by commas.
    credential: Option<String>,
    guard: Protection,
    connections: Vec<String>,
    owners: Vec<String>,
    /// The first pairs.
    pairs: Vec<PairJson<'r>>,
    /// The number of all pairs.
    pair_count: usize,
    resources: Vec<ResourceJson<'r>>,
    message: String,
    hint: HintJson<'r>,
}

#[derive(Serialize)]
struct PairJson<'r> {
    connection: String,
    owner: String,
    sni: &'r str,
    authority: &'r str,
}

#[derive(Serialize)]
struct ResourceJson<'r> {
    kind: &'static str,
    group: &'static str,
    namespace: &'r str,
    name: &'r str,
    /// `null` for a resource that was not read from a file.
    file: Option<&'r str>,
    line: Option<u64>,
}

#[derive(Serialize)]
struct HintJson<'r> {
    text: &'r str,
    /// The command of the best remedy that has one.
    command: Option<String>,
}

pub(super) fn write(report: &Report, source: &SourceWords, sink: &mut dyn Write) -> io::Result<()> {
    // The checked listeners are not part of this format.
    let report = ReportJson {
        findings: report
            .findings
            .iter()
            .map(|finding| finding_json(finding, source))
            .collect(),
        summary: &report.summary,
    };
    writeln!(sink, "{}", serde_json::to_string(&report)?)
}

fn finding_json<'r>(finding: &'r Finding, source: &SourceWords) -> FindingJson<'r> {
    let credentials: Vec<String> = finding
        .credentials
        .iter()
        .map(|presented| presented.credential.to_string())
        .collect();
    FindingJson {
        code: finding.code,
        name: finding.code.name(),
        severity: finding.severity,
        workload: finding.workload.as_ref().map(ToString::to_string),
        listener: finding.listener.as_ref().map(ToString::to_string),
        certificate: finding.certificate,
        credential: (!credentials.is_empty()).then(|| credentials.join(", ")),
        guard: finding.guard,
        connections: finding
            .connections
            .iter()
            .map(ToString::to_string)
            .collect(),
        owners: finding.owners.iter().map(ToString::to_string).collect(),
        pairs: finding.pairs.iter().map(PairJson::from).collect(),
        pair_count: finding.pair_count,
        resources: finding.resources.iter().map(ResourceJson::from).collect(),
        message: finding.message(),
        hint: HintJson {
            text: &finding.advice.hint,
            command: finding
                .remedies
                .iter()
                .find_map(|remedy| remedy.command.as_ref())
                .map(|command| CommandLine::new(command, source).one_line()),
        },
    }
}

impl<'r> From<&'r Pair> for PairJson<'r> {
    fn from(pair: &'r Pair) -> Self {
        Self {
            connection: pair.connection.to_string(),
            owner: pair.owner.to_string(),
            sni: &pair.sni,
            authority: &pair.authority,
        }
    }
}

impl<'r> From<&'r LocatedResource> for ResourceJson<'r> {
    fn from(resource: &'r LocatedResource) -> Self {
        let LocatedResource { name, origin } = resource;
        let origin = origin.as_ref().filter(|origin| !origin.file.is_empty());
        Self {
            kind: name.kind.name(),
            group: name.kind.group(),
            namespace: &name.namespace,
            name: &name.name,
            file: origin.map(|origin| &*origin.file),
            line: origin.map(|origin| origin.line).filter(|line| *line > 0),
        }
    }
}
