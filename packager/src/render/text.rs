//! The report as text for people: a paragraph for each finding, and a last line with the counts.

mod remedies;
mod servers;

use std::collections::HashSet;
use std::io::{self, Write};

use gateway::findings::{
    Code, Finding, LocatedResource, PresentedCredential, Protection, Report, Severity, Summary,
};
use gateway::resources::Kind;

use self::remedies::write_explanations;
use self::servers::ServerTable;
use super::count::count;
use super::hidden::printable;
use super::presentation::{Presentation, Style};
use super::wrap::wrapped;

/// How many names of a certificate, and how many certificates, are listed.
const MAX_NAMES: usize = 5;
/// How many of the things that were not checked are listed.
const MAX_IGNORED: usize = 10;

/// The indentation of a command below its remedy.
const COMMAND_INDENT: usize = 7;

/// SGR parameters (ECMA-48 §8.3.117).
const BOLD: &str = "1";
const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const BLUE: &str = "1;34";
const CYAN: &str = "36";

pub(super) fn write(
    report: &Report,
    presentation: &Presentation,
    sink: &mut dyn Write,
) -> io::Result<()> {
    let mut table = ServerTable::new(report, presentation.style);
    let mut before: Option<&Finding> = None;
    let first_of_pairs = report
        .findings
        .iter()
        .position(|finding| !finding.pairs.is_empty());
    let mut commands = HashSet::new();
    for (index, finding) in report.findings.iter().enumerate() {
        Paragraph {
            finding,
            before,
            has_reason: Some(index) == first_of_pairs,
            presentation,
            style: presentation.style,
        }
        .write(&mut table, &mut commands, sink)?;
        before = Some(finding);
    }
    write_explanations(report, presentation, sink)?;
    write_summary(report, presentation.style, sink)
}

fn write_summary(report: &Report, style: Style, sink: &mut dyn Write) -> io::Result<()> {
    let Summary {
        errors,
        warnings,
        infos,
        gateways,
        servers,
        suppressed,
        ignored,
    } = &report.summary;
    write!(
        sink,
        "{}, {}, {} in {} with {}",
        count(*errors, "error"),
        count(*warnings, "warning"),
        count(*infos, "info"),
        count(*gateways, "Gateway"),
        count(*servers, "server"),
    )?;
    // A report that hides something must not look complete.
    if *suppressed > 0 {
        write!(sink, "; {suppressed} suppressed")?;
    }
    writeln!(sink)?;
    for text in ignored.iter().take(MAX_IGNORED) {
        write_lines(&format!("not checked: {}", printable(text)), 2, style, sink)?;
    }
    if ignored.len() > MAX_IGNORED {
        writeln!(sink, "not checked: {} more", ignored.len() - MAX_IGNORED)?;
    }
    Ok(())
}

/// A finding with what its text depends on.
struct Paragraph<'r> {
    finding: &'r Finding,
    /// The finding above.
    before: Option<&'r Finding>,
    /// Whether the text says why requests get the wrong routes: once is enough.
    has_reason: bool,
    presentation: &'r Presentation,
    style: Style,
}

impl<'r> Paragraph<'r> {
    /// Writes the finding. `commands` has the command lines that the text has so far.
    fn write(
        &self,
        table: &mut ServerTable<'r>,
        commands: &mut HashSet<String>,
        sink: &mut dyn Write,
    ) -> io::Result<()> {
        self.write_heading(sink)?;
        if self.has_reason {
            let text = "why: browsers reuse a connection for all hosts that its certificate covers, and the gateway \
                        uses the routes of the server that the connection was opened for";
            self.write_item(text, sink)?;
        }
        self.write_location(sink)?;
        if self.finding.pairs.is_empty() {
            self.write_resources(sink)?;
        } else {
            self.write_credentials(sink)?;
            table.write(self.finding, sink)?;
            self.write_policies(sink)?;
        }
        self.write_guard(sink)?;
        if self.style.verbose {
            self.write_pairs(sink)?;
        }
        self.write_remedies(commands, sink)?;
        writeln!(sink)
    }

    /// The severity, the code and the cause.
    fn write_heading(&self, sink: &mut dyn Write) -> io::Result<()> {
        let Finding { code, severity, .. } = self.finding;
        let label = format!("{} {code}", severity.name());
        let cause = printable(&self.finding.advice.message);
        let text = format!("{}: {cause}", code.name());
        let color = match severity {
            Severity::Error => RED,
            Severity::Warning => YELLOW,
            Severity::Info => BLUE,
        };
        write!(sink, "{} ", painted(&label, color, self.style))?;
        for line in wrapped(&text, label.len() + 1, 4, self.style.width) {
            writeln!(sink, "{line}")?;
        }
        Ok(())
    }

    fn write_location(&self, sink: &mut dyn Write) -> io::Result<()> {
        // Without a workload the message names the resource.
        let Some(workload) = &self.finding.workload else {
            return Ok(());
        };
        let text = match &self.finding.listener {
            Some(listener) => format!("at: workload {workload}, listener {listener}"),
            None => format!("at: workload {workload}"),
        };
        self.write_item(&printable(&text), sink)
    }

    fn write_credentials(&self, sink: &mut dyn Write) -> io::Result<()> {
        let credentials = &self.finding.credentials;
        for credential in credentials.iter().take(MAX_NAMES) {
            self.write_credential(credential, sink)?;
        }
        let others = credentials.len().saturating_sub(MAX_NAMES);
        if others > 0 {
            let text = format!("certificate: {}", count(others, "more credential"));
            self.write_item(&text, sink)?;
        }
        Ok(())
    }

    fn write_credential(
        &self,
        presented: &PresentedCredential,
        sink: &mut dyn Write,
    ) -> io::Result<()> {
        let mut parts = vec![format!("certificate: {}", presented.credential)];
        if !presented.names.is_empty() {
            parts.push(format!("({})", some(&presented.names, MAX_NAMES, "name")));
        }
        // The Secret is among the resources, where its file is known.
        let place = presented.secret().and_then(|secret| {
            let resources = &self.finding.resources;
            place(resources.iter().find(|resource| resource.name == secret)?)
        });
        let mut text = parts.join(" ");
        if let Some(place) = place {
            text.push_str(", ");
            text.push_str(&place);
        }
        self.write_item(&printable(&text), sink)
    }

    /// The files and lines of the resources, for a finding without a list of servers.
    fn write_resources(&self, sink: &mut dyn Write) -> io::Result<()> {
        for resource in &self.finding.resources {
            if let Some(place) = place(resource) {
                self.write_item(&printable(&format!("in: {}, {place}", resource.name)), sink)?;
            }
        }
        Ok(())
    }

    /// The policies that deny the requests, with their files.
    fn write_policies(&self, sink: &mut dyn Write) -> io::Result<()> {
        for resource in &self.finding.resources {
            if resource.name.kind != Kind::AuthorizationPolicy {
                continue;
            }
            let mut text = format!("policy: {}", resource.name);
            if let Some(place) = place(resource) {
                text.push_str(", ");
                text.push_str(&place);
            }
            self.write_item(&printable(&text), sink)?;
        }
        Ok(())
    }

    fn write_guard(&self, sink: &mut dyn Write) -> io::Result<()> {
        // A client that bypasses mutual TLS on purpose does not send what the filter answers.
        let is_avoidable = self.finding.code == Code::CoalesceTlsPolicy
            && self.finding.severity == Severity::Error;
        let text = match self.finding.guard {
            Protection::None => return Ok(()),
            Protection::Enforced if is_avoidable => {
                "filter: installed, answers 421 to the HTTP/2 requests of browsers, not to HTTP/1.1 and gRPC"
            }
            Protection::Enforced => "filter: installed, answers these requests with 421",
            Protection::Reported => "filter: installed, reports these requests and passes them",
            Protection::Off => "filter: installed, off for these hosts",
        };
        self.write_item(text, sink)
    }

    /// Every pair with the evidence, for `--verbose`.
    fn write_pairs(&self, sink: &mut dyn Write) -> io::Result<()> {
        for pair in &self.finding.pairs {
            let evidence = format!("- {}", printable(&pair.evidence));
            write!(sink, "  ")?;
            write_lines_after(&evidence, 2, 4, self.style, sink)?;
        }
        let others = self.finding.pair_count - self.finding.pairs.len();
        if others > 0 {
            writeln!(sink, "  - and {}", count(others, "more pair"))?;
        }
        Ok(())
    }

    fn write_item(&self, text: &str, sink: &mut dyn Write) -> io::Result<()> {
        write!(sink, "  ")?;
        write_lines_after(text, 2, 4, self.style, sink)
    }
}

/// A text in a colour, if there are colours.
fn painted(text: &str, color: &str, style: Style) -> String {
    if style.color {
        format!("\x1b[{color}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

fn write_lines(text: &str, indent: usize, style: Style, sink: &mut dyn Write) -> io::Result<()> {
    write_lines_after(text, 0, indent, style, sink)
}

fn write_lines_after(
    text: &str,
    first: usize,
    indent: usize,
    style: Style,
    sink: &mut dyn Write,
) -> io::Result<()> {
    for line in wrapped(text, first, indent, style.width) {
        writeln!(sink, "{line}")?;
    }
    Ok(())
}

/// The file and the line of a resource; `None` for a resource from a cluster.
fn place(resource: &LocatedResource) -> Option<String> {
    let origin = resource.origin.as_ref()?;
    (!origin.file.is_empty()).then(|| origin.to_string())
}

/// The first of some names, and the number of the others.
fn some(names: &[String], max: usize, noun: &str) -> String {
    let shown = names
        .iter()
        .take(max)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(max) {
        0 => shown,
        others => format!("{shown} and {}", count(others, &format!("more {noun}"))),
    }
}
