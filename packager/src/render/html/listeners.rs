//! The first part of the page: the servers of each listener, with a picture for each group of servers that
//! break each other.

use std::io::{self, Write};

use gateway::findings::Report;

use super::super::count::count;
use super::graph::{Component, ListenerGraph, MAX_DRAWN_SERVERS, Node, is_group, listener_graphs};
use super::picture;
use super::text::{Escaped, FindingList};

/// How many pictures are visible when the page opens.
const MAX_OPEN: usize = 12;
/// How many hosts the summary of a picture names.
const MAX_HOSTS: usize = 3;

/// The style shows it only where the picture is wider than the screen.
const CUE: &str = "<p class=\"cue\" aria-hidden=\"true\">\u{2194} The picture is wider than the screen: \
                   scroll it sideways.</p>";

/// The controls in it are hidden until the script runs.
const LEGEND: &str = "\
<p class=\"legend\"><span class=\"error\">\u{2716} error</span> <span class=\"warning\">\u{25b2} \
warning</span> A client opens a connection for a server on the left, and uses it for a host of a server \
on the right.</p>
<p class=\"tools\" hidden><label>Size <input id=\"zoom\" type=\"range\" min=\"50\" max=\"200\" \
step=\"10\" value=\"100\"></label> <span class=\"keys\">Arrow keys move within a picture, Enter shows \
the findings of an item, Escape shows all findings.</span></p>";

pub(super) fn write(report: &Report, sink: &mut dyn Write) -> io::Result<()> {
    writeln!(
        sink,
        "<section class=\"pictures\" aria-labelledby=\"servers\">"
    )?;
    writeln!(sink, "<h2 id=\"servers\">Servers</h2>")?;
    let graphs = listener_graphs(report);
    if graphs.is_empty() {
        writeln!(sink, "<p>There is no listener with TLS.</p>")?;
    }
    if graphs.iter().any(|graph| !graph.components.is_empty()) {
        writeln!(sink, "{LEGEND}")?;
    }
    let mut pictures = 0;
    for graph in &graphs {
        write_listener(graph, &mut pictures, sink)?;
    }
    writeln!(sink, "</section>")
}

fn write_listener(
    graph: &ListenerGraph<'_>,
    pictures: &mut usize,
    sink: &mut dyn Write,
) -> io::Result<()> {
    writeln!(
        sink,
        "<section class=\"listener\">\n<h3>Listener <code>{}</code> of <code>{}</code></h3>",
        Escaped(&graph.listener.address.to_string()),
        Escaped(&graph.listener.workload.to_string())
    )?;
    for component in &graph.components {
        // A page with hundreds of open pictures is slow and hard to read.
        let open = if *pictures < MAX_OPEN { " open" } else { "" };
        *pictures += 1;
        write_component(component, open, sink)?;
    }
    // Servers without a broken pair are listed, so that a reader finds every server of the input.
    if !graph.unaffected.is_empty() {
        writeln!(
            sink,
            "<details>\n<summary>{} without a broken pair</summary>",
            count(graph.unaffected.len(), "server")
        )?;
        write_list(&graph.unaffected, sink)?;
        writeln!(sink, "</details>")?;
    }
    writeln!(sink, "</section>")
}

fn write_component(component: &Component<'_>, open: &str, sink: &mut dyn Write) -> io::Result<()> {
    let Component {
        nodes,
        edges,
        grouped_pairs,
    } = component;
    // The edges of a group are not its pairs.
    let single_pairs = edges.iter().filter(|edge| !is_group(edge.finding)).count();
    writeln!(
        sink,
        "<details{open}>\n<summary>{}, {}: <code>{}</code></summary>\n{CUE}\n<div class=\"frame\" tabindex=\"0\" \
         role=\"region\" aria-label=\"Picture, which scrolls\">",
        count(nodes.len(), "server"),
        count(single_pairs + grouped_pairs, "broken pair"),
        Escaped(&first_hosts(nodes)),
    )?;
    picture::draw(component, sink)?;
    writeln!(sink, "</div>")?;
    // The picture of a group has some of its servers, so the list has all.
    if *grouped_pairs > 0 {
        writeln!(
            sink,
            "<p>{} are too many to draw: the picture shows {} of each side. All servers:</p>",
            count(*grouped_pairs, "pair"),
            count(MAX_DRAWN_SERVERS, "server")
        )?;
        write_list(nodes, sink)?;
    }
    writeln!(sink, "</details>")
}

/// Some hosts of a component, which distinguish it from others.
fn first_hosts(nodes: &[Node<'_>]) -> String {
    let hosts: Vec<&str> = nodes
        .iter()
        .flat_map(|node| &node.server.hosts)
        .map(String::as_str)
        .take(MAX_HOSTS)
        .collect();
    let ellipsis = if nodes.len() > MAX_HOSTS {
        ", \u{2026}"
    } else {
        ""
    };
    hosts.join(", ") + ellipsis
}

/// Servers by name, each with a link to its first finding.
fn write_list(nodes: &[Node<'_>], sink: &mut dyn Write) -> io::Result<()> {
    writeln!(
        sink,
        "<div class=\"roll\" tabindex=\"0\"><ul class=\"servers\">"
    )?;
    for Node { server, findings } in nodes {
        let name = server.id.to_string();
        let name = Escaped(&name);
        write!(
            sink,
            "<li><code>{}</code> ",
            Escaped(&server.hosts.join(", "))
        )?;
        // Without the script the link goes to the first finding; the script selects all of them.
        match findings.first() {
            None => writeln!(sink, "<span>{name}</span></li>")?,
            Some(first) => writeln!(
                sink,
                "<a class=\"node\" href=\"#f{first}\" data-findings=\"{}\" data-name=\"{name}\">\
                 {name}</a> {}</li>",
                FindingList(findings),
                count(findings.len(), "finding")
            )?,
        }
    }
    writeln!(sink, "</ul></div>")
}
