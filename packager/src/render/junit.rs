//! Test results as XML (`junit.xml`), which CI systems show: a failed test case for each finding, or one
//! test case that passes if there are no findings. A finding with severity `info` passes as well, and one that is in the
//! baseline is skipped.

use std::collections::BTreeSet;
use std::io::{self, Write};

use gateway::findings::{Finding, Report, Severity};

use super::command_line::hint;
use super::presentation::{Presentation, SourceWords};

pub(super) fn write(
    report: &Report,
    presentation: &Presentation,
    sink: &mut dyn Write,
) -> io::Result<()> {
    let ignored = &report.summary.ignored;
    let cases = report.findings.len().max(1) + ignored.len();
    let known = presentation.known.as_ref().map_or(0, BTreeSet::len);
    let skipped = known + ignored.len();
    let failures = report
        .findings
        .iter()
        .enumerate()
        .filter(|(index, finding)| {
            finding.severity != Severity::Info && !presentation.is_known(*index)
        })
        .count();
    writeln!(sink, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(
        sink,
        r#"<testsuites tests="{cases}" failures="{failures}" skipped="{skipped}">"#
    )?;
    writeln!(
        sink,
        r#"  <testsuite name="sni-guard" tests="{cases}" failures="{failures}" skipped="{skipped}">"#
    )?;
    // Many CI systems report a file without any test case as an error.
    if report.findings.is_empty() {
        writeln!(
            sink,
            r#"    <testcase classname="sni-guard" name="check"/>"#
        )?;
    }
    for (index, finding) in report.findings.iter().enumerate() {
        if presentation.is_known(index) {
            let (code, title) = (finding.code, escaped(&title(finding)));
            writeln!(
                sink,
                r#"    <testcase classname="{code}" name="{title}"><skipped message="in the baseline"/></testcase>"#
            )?;
        } else {
            write_case(finding, &presentation.source, sink)?;
        }
    }
    // CI systems count skipped cases, so that a green run never means that nothing was checked.
    for text in ignored {
        writeln!(
            sink,
            r#"    <testcase classname="sni-guard" name="not checked: {0}"><skipped message="{0}"/></testcase>"#,
            escaped(text)
        )?;
    }
    writeln!(sink, "  </testsuite>\n</testsuites>")
}

fn write_case(finding: &Finding, source: &SourceWords, sink: &mut dyn Write) -> io::Result<()> {
    let (code, severity) = (finding.code, finding.severity);
    let title = escaped(&title(finding));
    // Most CI systems fail a run with a failed case, and an info must not fail it.
    if severity == Severity::Info {
        return writeln!(sink, r#"    <testcase classname="{code}" name="{title}"/>"#);
    }
    writeln!(sink, r#"    <testcase classname="{code}" name="{title}">"#)?;
    writeln!(
        sink,
        r#"      <failure type="{}" message="{}">{}</failure>"#,
        severity.name(),
        escaped(&finding.message()),
        escaped(&hint(finding, source))
    )?;
    writeln!(sink, "    </testcase>")
}

/// The name of a test case: the kind of finding, with its servers so that CI systems can compare runs.
fn title(finding: &Finding) -> String {
    let name = finding.code.name();
    match (finding.connections.as_slice(), finding.owners.as_slice()) {
        // Some CI systems ignore the second case of one name.
        ([], []) => match finding.resources.first() {
            Some(resource) => format!("{name} {}", resource.name),
            None => name.to_owned(),
        },
        ([server], []) | ([], [server]) => format!("{name} {server}"),
        ([server], [owner]) if server == owner => format!("{name} {server}"),
        ([connection], [owner]) => format!("{name} {connection} -> {owner}"),
        // A listener has one finding for each certificate, so that its names identify the finding.
        (_, _) => {
            let place: Vec<String> = finding
                .credentials
                .iter()
                .map(|presented| presented.credential.to_string())
                .chain(finding.listener.as_ref().map(ToString::to_string))
                .chain(finding.workload.as_ref().map(ToString::to_string))
                .collect();
            format!("{name} {}", place.join(" on "))
        }
    }
}

/// Escapes a text for XML (XML 1.0 §2.4), and replaces characters that XML does not allow (§2.2).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}
