//! The second part of the page: a table with a row for each finding.

use std::io::{self, Write};

use gateway::ServerId;
use gateway::findings::{Finding, Report};

use super::super::command_line::hint;
use super::super::count::count;
use super::super::presentation::SourceWords;
use super::graph::FindingIndex;
use super::mark;
use super::text::Escaped;

/// The controls are hidden until the script runs.
const FILTERS: &str = "\
<form class=\"tools\" role=\"search\" hidden>
<label>Search <input id=\"search\" type=\"search\" autocomplete=\"off\"></label>
<fieldset><legend>Severity</legend>
<label><input type=\"checkbox\" name=\"severity\" value=\"error\" checked> error</label>
<label><input type=\"checkbox\" name=\"severity\" value=\"warning\" checked> warning</label>
<label><input type=\"checkbox\" name=\"severity\" value=\"info\" checked> info</label>
</fieldset>
<p id=\"shown\" role=\"status\"></p>
<button id=\"all\" type=\"button\" hidden>Show all</button>
</form>";

/// The roles are explicit: browsers drop the implicit roles of rows and cells that the style displays as
/// blocks.
const TABLE: &str = "\
<table role=\"table\">
<thead role=\"rowgroup\"><tr role=\"row\"><th scope=\"col\" role=\"columnheader\">Finding</th>\
<th scope=\"col\" role=\"columnheader\">What is wrong, and what to do</th>\
<th scope=\"col\" role=\"columnheader\">Where</th></tr></thead>
<tbody role=\"rowgroup\">";

pub(super) fn write(report: &Report, source: &SourceWords, sink: &mut dyn Write) -> io::Result<()> {
    writeln!(
        sink,
        "<section class=\"findings\" aria-labelledby=\"findings\" tabindex=\"0\">"
    )?;
    writeln!(sink, "<h2 id=\"findings\">Findings</h2>")?;
    if report.findings.is_empty() {
        return writeln!(sink, "<p>None.</p>\n</section>");
    }
    writeln!(sink, "{FILTERS}\n{TABLE}")?;
    for (index, finding) in report.findings.iter().enumerate() {
        write_row(FindingIndex(index), finding, source, sink)?;
    }
    writeln!(sink, "</tbody>\n</table>\n</section>")
}

fn write_row(
    index: FindingIndex,
    finding: &Finding,
    source: &SourceWords,
    sink: &mut dyn Write,
) -> io::Result<()> {
    let (code, severity) = (finding.code, finding.severity);
    let (class, mark) = (severity.name(), mark(severity));
    writeln!(
        sink,
        "<tr id=\"f{index}\" role=\"row\" data-severity=\"{class}\" tabindex=\"-1\"><th scope=\"row\" role=\"rowheader\">\
         <span class=\"{class}\"><span aria-hidden=\"true\">{mark}</span> {class}</span> {code} \
         <span class=\"soft\">{}</span></th>\n<td role=\"cell\"><p>{}</p><p class=\"hint\">hint: {}</p></td>",
        code.name(),
        Escaped(&finding.message()),
        Escaped(&hint(finding, source))
    )?;
    write_location(finding, sink)?;
    writeln!(sink, "</tr>")
}

/// The last cell of a row: the names of the finding, and the files and lines of its resources.
fn write_location(finding: &Finding, sink: &mut dyn Write) -> io::Result<()> {
    writeln!(sink, "<td role=\"cell\"><dl>")?;
    for (term, value) in [
        ("connection to", name_of(&finding.connections)),
        ("its SNI", finding.sni.clone()),
        ("request for", finding.authority.clone()),
        ("server", name_of(&finding.owners)),
        (
            "listener",
            finding.listener.as_ref().map(ToString::to_string),
        ),
        (
            "workload",
            finding.workload.as_ref().map(ToString::to_string),
        ),
    ] {
        if let Some(value) = value {
            write!(
                sink,
                "<dt>{term}</dt><dd><code>{}</code></dd>",
                Escaped(&value)
            )?;
        }
    }
    // If the finding stands for several pairs, the hosts above belong to one example.
    if finding.pair_count > 1 {
        write!(
            sink,
            "<dt>stands for</dt><dd>{}, {}</dd>",
            count(finding.servers().len(), "server"),
            count(finding.pair_count, "broken pair")
        )?;
    }
    for origin in finding.sorted_origins() {
        // A resource from a cluster has no line.
        if origin.line > 0 {
            write!(
                sink,
                "<dt>in</dt><dd><code>{}:{}</code></dd>",
                Escaped(&origin.file),
                origin.line
            )?;
        }
    }
    write!(sink, "</dl></td>")
}

/// The only server of a list, or the number of its servers.
fn name_of(servers: &[ServerId]) -> Option<String> {
    match servers {
        [] => None,
        [server] => Some(server.to_string()),
        servers => Some(count(servers.len(), "server")),
    }
}
