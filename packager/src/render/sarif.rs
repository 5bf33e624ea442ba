//! SARIF 2.1.0 (OASIS), which code hosts show beside the code. A result names the resources of a finding,
//! and the files and lines where they were read.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write};

use gateway::findings::{Code, Finding, Report, Severity};
use gateway::resources::Origin;
use serde_json::{Value, json};

use super::command_line::hint;
use super::presentation::{Presentation, SourceWords};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The page with the codes in the release of this program; the anchor of a code follows.
const HELP_PAGE: &str = concat!(
    env!("CARGO_PKG_REPOSITORY"),
    "/blob/v",
    env!("CARGO_PKG_VERSION"),
    "/docs/findings.md"
);

/// Code hosts refuse results with thousands of locations.
const MAX_LOCATIONS: usize = 100;

pub(super) fn write(
    report: &Report,
    presentation: &Presentation,
    sink: &mut dyn Write,
) -> io::Result<()> {
    // Only the rules with results: code hosts list every rule of a run.
    let codes: BTreeSet<Code> = report.findings.iter().map(|finding| finding.code).collect();
    let rules: Vec<Value> = codes.into_iter().map(rule).collect();
    let results: Vec<Value> = report
        .findings
        .iter()
        .enumerate()
        .map(|(index, finding)| {
            let mut result = result(finding, &presentation.source);
            // SARIF 2.1.0 §3.27.24.
            if let Some(fields) = result
                .as_object_mut()
                .filter(|_| presentation.known.is_some())
            {
                let is_known = presentation.is_known(index);
                let state = if is_known { "unchanged" } else { "new" };
                fields.insert("baselineState".into(), json!(state));
            }
            result
        })
        .collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "sni-guard",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "results": results,
            "invocations": [{
                "executionSuccessful": !presentation.is_incomplete,
                "toolExecutionNotifications": notifications(report),
            }],
        }],
    });
    writeln!(sink, "{}", serde_json::to_string(&log)?)
}

/// What was not checked (SARIF 2.1.0 §3.20.21).
fn notifications(report: &Report) -> Vec<Value> {
    report
        .summary
        .ignored
        .iter()
        .map(|text| json!({"level": "note", "message": {"text": format!("not checked: {text}")}}))
        .collect()
}

/// A reporting descriptor (SARIF 2.1.0 §3.49).
fn rule(code: Code) -> Value {
    let info = code.info();
    json!({
        "id": info.id,
        "name": info.name,
        "shortDescription": {"text": info.what},
        "fullDescription": {"text": info.why},
        "help": {"text": info.fix},
        "helpUri": format!("{HELP_PAGE}#{}", info.id.to_lowercase()),
        "defaultConfiguration": {"level": level(info.severity)},
    })
}

fn result(finding: &Finding, source: &SourceWords) -> Value {
    // A resource has no line where it comes from a cluster or from standard input.
    let mut locations: Vec<Value> = finding
        .sorted_origins()
        .into_iter()
        .filter_map(physical_location)
        .take(MAX_LOCATIONS)
        .collect();
    if locations.is_empty() {
        locations.push(json!({}));
    }
    // The names belong to the finding, not to one file: the first location has them all.
    if let Some(first) = locations.first_mut().and_then(Value::as_object_mut) {
        first.insert("logicalLocations".into(), logical_locations(finding));
    }
    json!({
        "ruleId": finding.code.id(),
        "level": level(finding.severity),
        "message": {"text": format!("{}\nhint: {}", finding.message(), hint(finding, source))},
        "locations": locations,
    })
}

/// The names of the servers and of the workload, each once.
fn logical_locations(finding: &Finding) -> Value {
    let names: BTreeSet<String> = finding
        .servers()
        .into_iter()
        .take(MAX_LOCATIONS)
        .map(ToString::to_string)
        .chain(finding.workload.as_ref().map(ToString::to_string))
        .collect();
    names
        .into_iter()
        .map(|name| json!({"fullyQualifiedName": name, "kind": "resource"}))
        .collect()
}

/// The file and line of a resource, if it was read from a file.
fn physical_location(origin: &Origin) -> Option<Value> {
    let (file, line) = origin.line_of_file()?;
    Some(json!({"physicalLocation": {
        "artifactLocation": {"uri": relative_reference(without_dot(file))},
        "region": {"startLine": line},
    }}))
}

/// A path without the dot of the present folder, which code hosts do not resolve.
pub(super) fn without_dot(path: &str) -> &str {
    path.strip_prefix("./").unwrap_or(path)
}

/// A path as a relative reference (RFC 3986 §4.2). A colon is escaped, since the first segment must not
/// look like a scheme.
fn relative_reference(path: &str) -> String {
    let mut reference = String::with_capacity(path.len());
    for octet in path.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                reference.push(char::from(octet));
            }
            other => {
                // Writing to a String does not fail.
                let _ = write!(reference, "%{other:02X}");
            }
        }
    }
    reference
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}
