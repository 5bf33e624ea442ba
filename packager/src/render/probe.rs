//! What a probe found, for people.

use std::collections::BTreeSet;
use std::io::{self, Write};

use gateway::probe::{Report, Row, Seen, Verdict};

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

#[cfg(test)]
mod tests {
    use gateway::probe::{Answer, Body, Evidence, Report, Row, Seen};

    use super::write_changes;

    fn seen(status: u16) -> Seen {
        Seen::Answer(Answer {
            status,
            headers: [].into(),
            body: Body::Whole(String::new()),
            client_certificate: false,
        })
    }

    fn report(sans: &[&str], reused: u16) -> Report {
        let evidence = Evidence {
            is_coalescible: true,
            has_one_server: false,
            reused: seen(reused),
            fresh: seen(200),
            reused_again: Vec::new(),
            fresh_again: Vec::new(),
        };
        Report {
            connect: "127.0.0.1:443".into(),
            sni: "a.example.com".into(),
            connected: true,
            alpn: Some("h2".into()),
            sans: sans.iter().map(|name| (*name).to_owned()).collect(),
            connection: None,
            results: vec![Row::new("b.example.com", true, None, evidence)],
        }
    }

    #[track_caller]
    fn check(before: &Report, after: &Report, expected: &str) {
        let mut text = Vec::new();
        write_changes(before, after, "1.0 s", &mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn changes() {
        let before = report(&["*.example.com"], 404);
        check(
            &before,
            &report(&["*.example.com"], 200),
            "1.0 s b.example.com: fixed-by-merge, was not-fixed (reused 200, was 404; fresh 200, was 200)\n",
        );
        check(
            &before,
            &report(&["a.example.com"], 404),
            "1.0 s 127.0.0.1:443 with SNI a.example.com: h2, certificate for a.example.com\n",
        );
    }
}
