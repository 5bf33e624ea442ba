//! One HTML page: a picture of the servers that break each other, and all findings in a table. It loads
//! nothing. Without its script it lacks search and filters, but no information.

mod graph;
mod listeners;
mod picture;
mod table;
mod text;

use std::fmt::Write as _;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::SecondsFormat;
use gateway::findings::{Report, Severity, Summary};
use sha2::{Digest as _, Sha256};

use self::text::Escaped;
use super::count::count;
use super::presentation::{Presentation, SourceWords};

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

pub(super) fn write(
    report: &Report,
    presentation: &Presentation,
    sink: &mut dyn Write,
) -> io::Result<()> {
    let source = &presentation.source;
    write_head(sink)?;
    write_summary(report, presentation, sink)?;
    writeln!(sink, "<main>")?;
    listeners::write(report, sink)?;
    table::write(report, source, sink)?;
    writeln!(sink, "</main>\n<script>{SCRIPT}</script>\n</body>\n</html>")
}

fn write_head(sink: &mut dyn Write) -> io::Result<()> {
    // The policy permits only this style and this script: a name that became markup could not run.
    let (style, script) = (csp_digest(STYLE), csp_digest(SCRIPT));
    writeln!(
        sink,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'sha256-{style}'; script-src 'sha256-{script}'; base-uri 'none'; \
         form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>sni-guard: hosts that break each other</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>"
    )
}

/// The digest by which a Content-Security-Policy permits a style or a script (CSP Level 3 §2.3.1).
fn csp_digest(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text))
}

fn write_summary(
    report: &Report,
    presentation: &Presentation,
    sink: &mut dyn Write,
) -> io::Result<()> {
    let Summary {
        errors,
        warnings,
        infos,
        gateways,
        servers,
        suppressed,
        ref ignored,
    } = report.summary;
    // A page that hides something must not look complete.
    let suppressed = if suppressed == 0 {
        String::new()
    } else {
        format!("; {suppressed} suppressed")
    };
    writeln!(
        sink,
        "<header>\n<h1>{}</h1>\n<p>{} with {}, checked by sni-guard {}{}{suppressed}.</p>\n\
         {}<ul class=\"totals\">",
        title(report),
        count(gateways, "Gateway"),
        count(servers, "server"),
        env!("CARGO_PKG_VERSION"),
        written_time(presentation),
        input_lines(&presentation.source),
    )?;
    for (severity, number) in [
        (Severity::Error, errors),
        (Severity::Warning, warnings),
        (Severity::Info, infos),
    ] {
        // A screen reader skips the mark, since the text already has the severity.
        let (name, mark) = (severity.name(), mark(severity));
        let total = count(number, name);
        writeln!(
            sink,
            "<li class=\"{name}\"><span aria-hidden=\"true\">{mark}</span> {total}</li>"
        )?;
    }
    writeln!(sink, "</ul>")?;
    for text in ignored {
        writeln!(sink, "<p>Not checked: {}</p>", Escaped(text))?;
    }
    writeln!(sink, "</header>")
}

/// The time of the run: a page is kept, and gateways change.
fn written_time(presentation: &Presentation) -> String {
    presentation.time.map_or_else(String::new, |time| {
        format!(
            " on <time datetime=\"{}\">{}</time>",
            time.to_rfc3339_opts(SecondsFormat::Secs, true),
            time.format("%Y-%m-%d %H:%M UTC")
        )
    })
}

/// Where the resources were read.
fn input_lines(source: &SourceWords) -> String {
    let mut lines = String::new();
    if let Some(cluster) = &source.cluster {
        let context = cluster.context.as_deref().unwrap_or("the current one");
        add_line(&mut lines, "cluster, by its context", &[context.to_owned()]);
        let kubeconfig: Vec<String> = cluster.kubeconfig.iter().cloned().collect();
        add_line(&mut lines, "kubeconfig", &kubeconfig);
        add_line(&mut lines, "namespaces", &cluster.namespaces);
    }
    let over = if source.cluster.is_some() {
        "files over the cluster"
    } else {
        "files"
    };
    let shown: Vec<String> = source.paths.iter().map(|path| file_name(path)).collect();
    add_line(&mut lines, over, &shown);
    let mesh_config: Vec<String> = source.mesh_config.iter().cloned().collect();
    add_line(&mut lines, "mesh configuration", &mesh_config);
    if lines.is_empty() {
        return lines;
    }
    format!("<dl class=\"input\">\n{lines}</dl>\n")
}

/// Adds a term with its values, if there are any.
fn add_line(lines: &mut String, term: &str, values: &[String]) {
    if values.is_empty() {
        return;
    }
    let values: Vec<String> = values
        .iter()
        .map(|value| format!("<code>{}</code>", Escaped(value)))
        .collect();
    // Writing to a String does not fail.
    let _ = writeln!(lines, "<dt>{term}</dt><dd>{}</dd>", values.join(", "));
}

fn file_name(path: &str) -> String {
    if path == "-" {
        "standard input".to_owned()
    } else {
        path.to_owned()
    }
}

fn title(report: &Report) -> &'static str {
    if report.findings.is_empty() {
        "No findings"
    } else if report
        .findings
        .iter()
        .any(|finding| finding.code.is_between_servers())
    {
        "Hosts that break each other"
    } else {
        "Errors of servers"
    }
}

/// A sign for a severity, so that the meaning does not depend on colour.
fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "\u{2716}",
        Severity::Warning => "\u{25b2}",
        Severity::Info => "\u{25cf}",
    }
}
