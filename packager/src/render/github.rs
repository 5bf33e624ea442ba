//! Workflow commands of GitHub Actions, which GitHub shows as annotations of a run.

use std::io::{self, Write};

use gateway::findings::{Report, Severity};
use gateway::resources::Origin;

use super::command_line::hint;
use super::presentation::Presentation;
use super::sarif::without_dot;

pub(super) fn write(
    report: &Report,
    presentation: &Presentation,
    sink: &mut dyn Write,
) -> io::Result<()> {
    let source = &presentation.source;
    for (index, finding) in report.findings.iter().enumerate() {
        let command = match finding.severity {
            // What is in the baseline fails no check.
            _ if presentation.is_known(index) => "notice",
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "notice",
        };
        // GitHub shows the title in bold, and the text below it with its line breaks.
        let title = format!("{} {}", finding.code, finding.code.name());
        let text = format!("{}\nhint: {}", finding.message(), hint(finding, source));
        // GitHub shows an annotation at one location: the first resource is the most important one.
        let location = finding
            .resources
            .iter()
            .filter_map(|resource| resource.origin.as_ref())
            .find_map(Origin::line_of_file)
            .map(|(file, line)| {
                let file = escaped_property(without_dot(file));
                format!("file={file},line={line},")
            })
            .unwrap_or_default();
        writeln!(
            sink,
            "::{command} {location}title={}::{}",
            escaped_property(&title),
            escaped(&text)
        )?;
    }
    for text in &report.summary.ignored {
        writeln!(sink, "::notice title=not checked::{}", escaped(text))?;
    }
    Ok(())
}

/// Escapes the text of a command (GitHub `actions/toolkit`, `escapeData`).
fn escaped(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Escapes the value of a property of a command (GitHub `actions/toolkit`, `escapeProperty`).
fn escaped_property(text: &str) -> String {
    escaped(text).replace(':', "%3A").replace(',', "%2C")
}
