//! Workflow commands of GitHub Actions, which GitHub shows as annotations of a run.

use std::io::{self, Write};

use gateway::findings::{Report, Severity};
use gateway::resources::Origin;

use super::command_line::hint;
use super::presentation::SourceWords;

pub(super) fn write(report: &Report, source: &SourceWords, sink: &mut dyn Write) -> io::Result<()> {
    for finding in &report.findings {
        let command = match finding.severity {
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
            .map(|(file, line)| format!("file={},line={line},", escaped_property(file)))
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
