//! SARIF 2.1.0 (OASIS), which code hosts show beside the code. Findings name resources,
//! and where these were read.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write};

use gateway::findings::{Code, Finding, Report, Severity};
use gateway::resources::Origin;
use serde_json::{Value, json};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

pub(super) fn write(report: &Report, sink: &mut dyn Write) -> io::Result<()> {
    let codes: BTreeSet<Code> = report.findings.iter().map(|finding| finding.code).collect();
    let rules: Vec<Value> = codes.iter().map(|code| rule(*code)).collect();
    let results: Vec<Value> = report.findings.iter().map(result).collect();
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
        }],
    });
    writeln!(sink, "{}", serde_json::to_string(&log)?)
}

fn rule(code: Code) -> Value {
    let documentation = code.documentation();
    json!({
        "id": code.id(),
        "name": code.name(),
        "shortDescription": {"text": documentation.what},
        "fullDescription": {"text": documentation.why},
        "help": {"text": documentation.fix},
        "defaultConfiguration": {"level": level(code.severity())},
    })
}

fn result(finding: &Finding) -> Value {
    let places = [&finding.connection, &finding.owner, &finding.workload];
    let named: BTreeSet<&String> = places.into_iter().flatten().collect();
    let locations: Vec<Value> = named
        .iter()
        .map(|name| json!({"fullyQualifiedName": name, "kind": "resource"}))
        .collect();
    let mut places: Vec<Value> = finding
        .sorted_origins()
        .into_iter()
        .filter_map(physical)
        .collect();
    if places.is_empty() {
        places.push(json!({}));
    }
    if let Some(first) = places.first_mut().and_then(Value::as_object_mut) {
        first.insert("logicalLocations".into(), locations.into());
    }
    json!({
        "ruleId": finding.code.id(),
        "level": level(finding.severity),
        "message": {"text": format!("{}\nhint: {}", finding.message, finding.hint)},
        "locations": places,
    })
}

/// The file and line of a resource, where it is from one.
fn physical(origin: &Origin) -> Option<Value> {
    let (file, line) = origin.line_of_file()?;
    Some(json!({"physicalLocation": {
        "artifactLocation": {"uri": uri(file)},
        "region": {"startLine": line},
    }}))
}

/// A path as a reference (RFC 3986 §4.2), whose first part is not to look like a scheme.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for octet in path.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(octet));
            }
            other => {
                // Writing to a String does not fail.
                let _ = write!(uri, "%{other:02X}");
            }
        }
    }
    uri
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}
