//! A page for browsers: a picture of who breaks whom, and all findings in a table. It loads nothing, and
//! without its script it is less handy and as complete.

mod graph;
mod picture;
mod text;

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway::findings::{Finding, Group, Report, Severity, Summary};
use sha2::{Digest as _, Sha256};

use self::graph::{Component, Node, Site};
use self::picture::mark;
use self::text::{Escaped, Places, count};

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// How many components are open when the page is.
const OPEN: usize = 12;
/// How many hosts tell components apart.
const TOLD: usize = 3;

pub(super) fn write(report: &Report, sink: &mut dyn Write) -> io::Result<()> {
    write_head(sink)?;
    write_summary(report, sink)?;
    writeln!(
        sink,
        "<main>\n<section class=\"pictures\" aria-labelledby=\"servers\">"
    )?;
    writeln!(sink, "<h2 id=\"servers\">Servers</h2>")?;
    let sites = graph::sites(report);
    if sites.is_empty() {
        writeln!(sink, "<p>There is no listener with TLS.</p>")?;
    }
    if sites.iter().any(|site| !site.components.is_empty()) {
        writeln!(sink, "{LEGEND}")?;
    }
    let mut open = OPEN;
    for site in sites {
        write_site(&site, &mut open, sink)?;
    }
    writeln!(sink, "</section>")?;
    write_findings(report, sink)?;
    writeln!(sink, "</main>\n<script>{SCRIPT}</script>\n</body>\n</html>")
}

/// What the signs mean; the switches are for the script alone.
const LEGEND: &str = "\
<p class=\"legend\"><span class=\"error\">\u{2716} error</span> <span class=\"warning\">\u{25b2} \
warning</span> A connection that was opened for one server, on the left, is used for a host of another, \
on the right.</p>
<p class=\"tools\" hidden><label>Size <input id=\"zoom\" type=\"range\" min=\"50\" max=\"200\" \
step=\"10\" value=\"100\"></label> <span class=\"keys\">Arrow keys go from one to the next, Enter \
shows its findings, Escape shows all.</span></p>";

fn write_head(sink: &mut dyn Write) -> io::Result<()> {
    let (style, script) = (digest(STYLE), digest(SCRIPT));
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

/// What a Content-Security-Policy knows a style or a script by (CSP Level 3 §2.3.1).
fn digest(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text))
}

fn write_summary(report: &Report, sink: &mut dyn Write) -> io::Result<()> {
    let Summary {
        errors,
        warnings,
        infos,
        gateways,
        servers,
        suppressed,
    } = report.summary;
    writeln!(
        sink,
        "<header>\n<h1>{}</h1>\n<p>{} with {}, checked by sni-guard {}{}.</p>\n<ul class=\"totals\">",
        title(report),
        count(gateways, "Gateway"),
        count(servers, "server"),
        env!("CARGO_PKG_VERSION"),
        if suppressed == 0 {
            String::new()
        } else {
            format!("; {suppressed} suppressed")
        }
    )?;
    for (severity, number) in [
        (Severity::Error, errors),
        (Severity::Warning, warnings),
        (Severity::Info, infos),
    ] {
        let (name, mark) = (severity.name(), mark(severity));
        let total = count(number, name);
        writeln!(
            sink,
            "<li class=\"{name}\"><span aria-hidden=\"true\">{mark}</span> {total}</li>"
        )?;
    }
    writeln!(sink, "</ul>\n</header>")
}

fn title(report: &Report) -> &'static str {
    let mut findings = report.findings.iter();
    if report.findings.is_empty() {
        "Nothing found"
    } else if findings.any(|finding| finding.code.is_between_servers()) {
        "Hosts that break each other"
    } else {
        "What is wrong with the servers"
    }
}

fn write_site(site: &Site<'_>, open: &mut usize, sink: &mut dyn Write) -> io::Result<()> {
    let Site {
        listener,
        components,
        apart,
    } = site;
    writeln!(
        sink,
        "<section class=\"listener\">\n<h3>Listener <code>{}</code> of <code>{}</code></h3>",
        Escaped(&listener.name),
        Escaped(&listener.workload)
    )?;
    for component in components {
        let state = if *open > 0 { " open" } else { "" };
        *open = open.saturating_sub(1);
        write_component(component, state, sink)?;
    }
    if !apart.is_empty() {
        writeln!(
            sink,
            "<details>\n<summary>{} without a broken pair</summary>",
            count(apart.len(), "server")
        )?;
        write_list(apart, sink)?;
        writeln!(sink, "</details>")?;
    }
    writeln!(sink, "</section>")
}

fn write_component(component: &Component<'_>, state: &str, sink: &mut dyn Write) -> io::Result<()> {
    let Component {
        nodes,
        edges,
        grouped_pairs,
    } = component;
    let singles = edges
        .iter()
        .filter(|edge| edge.finding.group.is_none())
        .count();
    let pairs = singles + grouped_pairs;
    let hosts = nodes
        .iter()
        .flat_map(|node| &node.server.hosts)
        .map(String::as_str);
    let hosts: Vec<&str> = hosts.take(TOLD).collect();
    writeln!(
        sink,
        "<details{state}>\n<summary>{}, {}: <code>{}</code></summary>\n<div class=\"frame\">",
        count(nodes.len(), "server"),
        count(pairs, "broken pair"),
        Escaped(&(hosts.join(", ") + if nodes.len() > TOLD { ", \u{2026}" } else { "" })),
    )?;
    picture::draw(component, sink)?;
    writeln!(sink, "</div>")?;
    if *grouped_pairs > 0 {
        writeln!(
            sink,
            "<p>{} are too many to draw: the picture has an example. The servers:</p>",
            count(*grouped_pairs, "pair")
        )?;
        write_list(nodes, sink)?;
    }
    writeln!(sink, "</details>")
}

/// Servers by name, each with the way to its findings.
fn write_list(nodes: &[Node<'_>], sink: &mut dyn Write) -> io::Result<()> {
    writeln!(
        sink,
        "<div class=\"roll\" tabindex=\"0\"><ul class=\"servers\">"
    )?;
    for Node { server, findings } in nodes {
        let name = Escaped(&server.name);
        write!(
            sink,
            "<li><code>{}</code> ",
            Escaped(&server.hosts.join(", "))
        )?;
        match findings.first() {
            None => writeln!(sink, "<span>{name}</span></li>")?,
            Some(first) => writeln!(
                sink,
                "<a class=\"node\" href=\"#f{first}\" data-findings=\"{}\" data-name=\"{name}\">\
                 {name}</a> {}</li>",
                Places(findings),
                count(findings.len(), "finding")
            )?,
        }
    }
    writeln!(sink, "</ul></div>")
}

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

/// With the roles that its parts have already: browsers forget these where the style stacks the parts.
const TABLE: &str = "\
<table role=\"table\">
<thead role=\"rowgroup\"><tr role=\"row\"><th scope=\"col\" role=\"columnheader\">Finding</th>\
<th scope=\"col\" role=\"columnheader\">What is wrong, and what to do</th>\
<th scope=\"col\" role=\"columnheader\">Where</th></tr></thead>
<tbody role=\"rowgroup\">";

fn write_findings(report: &Report, sink: &mut dyn Write) -> io::Result<()> {
    writeln!(
        sink,
        "<section class=\"findings\" aria-labelledby=\"findings\" tabindex=\"0\">"
    )?;
    writeln!(sink, "<h2 id=\"findings\">Findings</h2>")?;
    if report.findings.is_empty() {
        return writeln!(sink, "<p>None.</p>\n</section>");
    }
    writeln!(sink, "{FILTERS}\n{TABLE}")?;
    for (place, finding) in report.findings.iter().enumerate() {
        write_finding(place, finding, sink)?;
    }
    writeln!(sink, "</tbody>\n</table>\n</section>")
}

fn write_finding(place: usize, finding: &Finding, sink: &mut dyn Write) -> io::Result<()> {
    let Finding {
        code,
        name,
        severity,
        message,
        hint,
        ..
    } = finding;
    let (class, mark) = (severity.name(), mark(*severity));
    writeln!(
        sink,
        "<tr id=\"f{place}\" role=\"row\" data-severity=\"{class}\" tabindex=\"-1\"><th scope=\"row\" role=\"rowheader\">\
         <span class=\"{class}\"><span aria-hidden=\"true\">{mark}</span> {class}</span> {code} \
         <span class=\"soft\">{name}</span></th>\n<td role=\"cell\"><p>{}</p><p class=\"hint\">hint: {}</p></td>",
        Escaped(message),
        Escaped(hint)
    )?;
    writeln!(sink, "<td role=\"cell\"><dl>")?;
    let Finding {
        workload,
        listener,
        sni,
        authority,
        connection,
        owner,
        ..
    } = finding;
    for (term, value) in [
        ("connection to", connection),
        ("its SNI", sni),
        ("request for", authority),
        ("server", owner),
        ("listener", listener),
        ("workload", workload),
    ] {
        if let Some(value) = value {
            write!(
                sink,
                "<dt>{term}</dt><dd><code>{}</code></dd>",
                Escaped(value)
            )?;
        }
    }
    if let Some(Group { servers, pairs }) = &finding.group {
        let servers = count(servers.len(), "server");
        write!(
            sink,
            "<dt>stands for</dt><dd>{servers}, {}</dd>",
            count(*pairs, "broken pair")
        )?;
    }
    for origin in finding.sorted_origins() {
        // What came from a cluster has no line.
        if origin.line == 0 {
            continue;
        }
        let file = Escaped(&origin.file);
        write!(
            sink,
            "<dt>in</dt><dd><code>{file}:{}</code></dd>",
            origin.line
        )?;
    }
    writeln!(sink, "</dl></td></tr>")
}
