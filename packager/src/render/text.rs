//! The report as text: a paragraph for each finding, and a last line with the counts.

use std::io::{self, Write};

use gateway::findings::{Finding, Group, Report, Summary};

use super::count::count;

/// How many servers of a group the text names, so that a wildcard certificate does not fill the screen.
const MAX_SERVERS: usize = 20;

pub(super) fn write(report: &Report, sink: &mut dyn Write) -> io::Result<()> {
    for finding in &report.findings {
        write_finding(finding, sink)?;
    }
    let Summary {
        errors,
        warnings,
        infos,
        gateways,
        servers,
        suppressed,
    } = report.summary;
    write!(
        sink,
        "{}, {}, {} in {} with {}",
        count(errors, "error"),
        count(warnings, "warning"),
        count(infos, "info"),
        count(gateways, "Gateway"),
        count(servers, "server"),
    )?;
    // A report that hides something must not look complete.
    if suppressed > 0 {
        write!(sink, "; {suppressed} suppressed")?;
    }
    writeln!(sink)
}

fn write_finding(finding: &Finding, sink: &mut dyn Write) -> io::Result<()> {
    let code = finding.code;
    writeln!(
        sink,
        "{} {code} {}: {}",
        code.severity().name(),
        code.name(),
        finding.advice.message
    )?;
    // Without a workload the message names the resource.
    if let Some(workload) = &finding.workload {
        write!(sink, "  at: workload {workload}")?;
        if let Some(listener) = &finding.listener {
            write!(sink, ", listener {listener}")?;
        }
        writeln!(sink)?;
    }
    if let Some(group) = &finding.group {
        writeln!(sink, "  servers: {}", server_names(group))?;
    }
    writeln!(sink, "  hint: {}\n", finding.advice.hint)
}

/// The names of the first servers of a group, and the number of the others.
fn server_names(group: &Group) -> String {
    let names: Vec<String> = group
        .servers
        .iter()
        .take(MAX_SERVERS)
        .map(ToString::to_string)
        .collect();
    let others = group.servers.len() - names.len();
    if others == 0 {
        names.join(", ")
    } else {
        format!("{} and {others} more", names.join(", "))
    }
}
