//! Commands of GitHub Actions, which become annotations of a run.

use std::io::{self, Write};

use gateway::findings::{Report, Severity};
use gateway::resources::Origin;

pub(super) fn write(report: &Report, sink: &mut dyn Write) -> io::Result<()> {
    for finding in &report.findings {
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "notice",
        };
        let title = format!("{} {}", finding.code, finding.name);
        let text = format!("{}\nhint: {}", finding.message, finding.hint);
        let place = finding
            .origins
            .iter()
            .find_map(Origin::line_of_file)
            .map(|(file, line)| format!("file={},line={line},", property(file)))
            .unwrap_or_default();
        writeln!(
            sink,
            "::{command} {place}title={}::{}",
            property(&title),
            escape(&text)
        )?;
    }
    Ok(())
}

/// What a command's text may not have as it is (GitHub `actions/toolkit`, `escapeData`).
fn escape(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// The same for a property (`escapeProperty`).
fn property(text: &str) -> String {
    escape(text).replace(':', "%3A").replace(',', "%2C")
}
