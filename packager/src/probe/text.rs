//! A report, for people.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::answer::Seen;
use super::{Report, Row, Verdict};

/// Writes a report: the connection, a table, and what the verdicts in it mean.
///
/// # Errors
/// Those of the sink.
pub fn write(report: &Report, sink: &mut dyn Write) -> io::Result<()> {
    write_connection(report, sink)?;
    writeln!(sink)?;
    write_table(&report.results, sink)?;
    writeln!(sink)?;
    for row in &report.results {
        write_differences(row, sink)?;
    }
    let verdicts: BTreeSet<Verdict> = report
        .results
        .iter()
        .filter_map(|row| row.verdict)
        .collect();
    for verdict in verdicts {
        writeln!(sink, "{}: {}", verdict.name(), verdict.meaning())?;
    }
    Ok(())
}

/// Writes what is new in a report, each line with when it was seen.
///
/// # Errors
/// Those of the sink.
pub fn write_changes(
    before: &Report,
    after: &Report,
    when: &str,
    sink: &mut dyn Write,
) -> io::Result<()> {
    if !before.has_same_connection(after) {
        write!(sink, "{when} ")?;
        write_connection(after, sink)?;
    }
    for (old, new) in before.changed(after) {
        let [old_verdict, new_verdict] = [old, new].map(|row| verdict(row.verdict));
        writeln!(
            sink,
            "{when} {}: {new_verdict}, was {old_verdict} (reused {}, was {}; fresh {}, was {})",
            new.authority,
            seen(&new.reused),
            seen(&old.reused),
            seen(&new.fresh),
            seen(&old.fresh)
        )?;
    }
    Ok(())
}

fn write_connection(report: &Report, sink: &mut dyn Write) -> io::Result<()> {
    write!(sink, "{} with SNI {}: ", report.connect, report.sni)?;
    if report.connected {
        let alpn = report.alpn.as_deref().unwrap_or("no protocol agreed on");
        let names = if report.sans.is_empty() {
            "no host".into()
        } else {
            report.sans.join(", ")
        };
        write!(sink, "{alpn}, certificate for {names}")?;
    } else {
        write!(sink, "the server ends the connection")?;
    }
    let server = report
        .connection
        .as_ref()
        .map(|server| format!(", {server}"));
    writeln!(sink, "{}", server.unwrap_or_default())
}

fn write_table(rows: &[Row], sink: &mut dyn Write) -> io::Result<()> {
    let has_owners = rows.iter().any(|row| row.owner.is_some());
    let head = ["AUTHORITY", "COVERED", "REUSED", "FRESH", "VERDICT"]
        .map(str::to_owned)
        .to_vec();
    let mut lines = vec![head];
    lines.extend(rows.iter().map(cells));
    if has_owners {
        let owners = rows.iter().map(|row| row.owner.clone().unwrap_or_default());
        for (line, owner) in lines
            .iter_mut()
            .zip(["SERVER".to_owned()].into_iter().chain(owners))
        {
            line.push(owner);
        }
    }
    let width = |column| {
        let cells = lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(String::len);
        cells.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    for line in &lines {
        let cells = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        writeln!(sink, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn cells(row: &Row) -> Vec<String> {
    vec![
        row.authority.clone(),
        if row.covered { "yes" } else { "no" }.into(),
        seen(&row.reused),
        seen(&row.fresh),
        verdict(row.verdict).into(),
    ]
}

fn write_differences(row: &Row, sink: &mut dyn Write) -> io::Result<()> {
    if row.verdict == Some(Verdict::WrongRoute) && !row.differences.is_empty() {
        writeln!(
            sink,
            "{}: the answers differ in {}",
            row.authority,
            row.differences.join(", ")
        )?;
    }
    if !row.changing.is_empty() {
        let changing = row.changing.join(", ");
        writeln!(
            sink,
            "{}: not compared, it changes each time: {changing}",
            row.authority
        )?;
    }
    Ok(())
}

fn verdict(verdict: Option<Verdict>) -> &'static str {
    verdict.map_or("unknown", Verdict::name)
}

/// What became of a request, in a word or two.
fn seen(seen: &Seen) -> String {
    match seen {
        Seen::Answer(answer) => answer.status.to_string(),
        Seen::Reset => "reset".into(),
        Seen::ClientCertificate => "client certificate".into(),
        Seen::Unknown(_) => "unknown".into(),
    }
}
