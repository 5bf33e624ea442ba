//! SARIF 2.1.0 (OASIS), which code hosts show beside the code. Findings name resources, not lines.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde_json::{Value, json};

use crate::checks::{Code, Finding, Report, Severity};

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
    let locations: Vec<Value> =
        named.iter().map(|name| json!({"fullyQualifiedName": name, "kind": "resource"})).collect();
    json!({
        "ruleId": finding.code.id(),
        "level": level(finding.severity),
        "message": {"text": format!("{}\nhint: {}", finding.message, finding.hint)},
        "locations": [{"logicalLocations": locations}],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}
