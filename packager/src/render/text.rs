//! A paragraph for each finding, and how many there are.

use std::io::{self, Write};

use gateway::findings::{Finding, Report, Summary};

/// How many servers of a group are named.
const MOST: usize = 20;

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
    let count = |number, name| plural(number, name);
    writeln!(
        sink,
        "{}, {}, {} in {} with {}{}",
        count(errors, "error"),
        count(warnings, "warning"),
        count(infos, "info"),
        count(gateways, "Gateway"),
        count(servers, "server"),
        if suppressed == 0 {
            String::new()
        } else {
            format!("; {suppressed} suppressed")
        }
    )
}

fn write_finding(finding: &Finding, sink: &mut dyn Write) -> io::Result<()> {
    let Finding {
        code,
        name,
        severity,
        message,
        hint,
        ..
    } = finding;
    writeln!(sink, "{} {code} {name}: {message}", severity.name())?;
    if let Some(workload) = &finding.workload {
        let listener = finding
            .listener
            .as_ref()
            .map(|name| format!(", listener {name}"));
        writeln!(
            sink,
            "  at: workload {workload}{}",
            listener.unwrap_or_default()
        )?;
    }
    if let Some(group) = &finding.group {
        let told: Vec<&str> = group
            .servers
            .iter()
            .take(MOST)
            .map(String::as_str)
            .collect();
        let others = group.servers.len() - told.len();
        let others = if others == 0 {
            String::new()
        } else {
            format!(" and {others} more")
        };
        writeln!(sink, "  servers: {}{others}", told.join(", "))?;
    }
    writeln!(sink, "  hint: {hint}\n")
}

fn plural(number: usize, name: &str) -> String {
    format!("{number} {name}{}", if number == 1 { "" } else { "s" })
}
