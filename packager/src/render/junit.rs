//! XML of test results (`junit.xml`), which CI systems show as tests: a case for each finding, and one
//! that passes where there is none. What is good to know passes as well.

use std::io::{self, Write};

use gateway::findings::{Finding, Report, Severity};

pub(super) fn write(report: &Report, sink: &mut dyn Write) -> io::Result<()> {
    let failures = report.summary.errors + report.summary.warnings;
    let cases = report.findings.len().max(1);
    writeln!(sink, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(
        sink,
        r#"<testsuites tests="{cases}" failures="{failures}">"#
    )?;
    writeln!(
        sink,
        r#"  <testsuite name="sni-guard" tests="{cases}" failures="{failures}">"#
    )?;
    if report.findings.is_empty() {
        writeln!(
            sink,
            r#"    <testcase classname="sni-guard" name="check"/>"#
        )?;
    }
    for finding in &report.findings {
        write_case(finding, sink)?;
    }
    writeln!(sink, "  </testsuite>\n</testsuites>")
}

fn write_case(finding: &Finding, sink: &mut dyn Write) -> io::Result<()> {
    let Finding {
        code,
        name,
        severity,
        message,
        hint,
        connection,
        owner,
        ..
    } = finding;
    let places: Vec<&str> = [connection, owner]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let title = escape(&format!("{name} {}", places.join(" -> ")));
    let title = title.trim_end();
    if *severity == Severity::Info {
        return writeln!(sink, r#"    <testcase classname="{code}" name="{title}"/>"#);
    }
    writeln!(sink, r#"    <testcase classname="{code}" name="{title}">"#)?;
    writeln!(
        sink,
        r#"      <failure type="{}" message="{}">{}</failure>"#,
        severity.name(),
        escape(message),
        escape(hint)
    )?;
    writeln!(sink, "    </testcase>")
}

/// The text as XML has it (XML 1.0 §2.4), without characters that it cannot have (§2.2).
fn escape(text: &str) -> String {
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
