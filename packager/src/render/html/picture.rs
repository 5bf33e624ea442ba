//! A component as SVG, in three columns: the servers of connections, what a request gets, and the servers of
//! requests.

mod layout;

use std::io::{self, Write};

use self::layout::{EdgeBundle, LABEL, LABEL_LEFT, Layout, NODE, RIGHT, Size, WIDTH};
use super::super::count::count;
use super::graph::{Component, NodeIndex, Side};
use super::mark;
use super::text::{Escaped, FindingList, shortened};

/// How many characters fit into a line of a node or a label.
const MAX_HOSTS_LENGTH: usize = 28;
const MAX_NAME_LENGTH: usize = 36;
const MAX_LABEL_LENGTH: usize = 30;

pub(super) fn draw(component: &Component<'_>, sink: &mut dyn Write) -> io::Result<()> {
    let layout = Layout::new(component);
    write_head(layout.height, sink)?;
    // Lines come first, so that nodes and labels cover their ends.
    for (bundle, y) in &layout.bundles {
        write_lines(bundle, *y, &layout, sink)?;
    }
    // The Tab key follows the order of the document: from left to right.
    for (node, y) in &layout.connections {
        write_node(component, *node, Side::Connection, *y, sink)?;
    }
    for (bundle, y) in &layout.bundles {
        write_label(bundle, *y, sink)?;
    }
    for (node, y) in &layout.requests {
        write_node(component, *node, Side::Request, *y, sink)?;
    }
    writeln!(sink, "</svg>")
}

/// The start of the drawing, with the names of the columns.
fn write_head(height: usize, sink: &mut dyn Write) -> io::Result<()> {
    writeln!(
        sink,
        "<svg class=\"picture\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"group\" aria-label=\"Picture: the servers of connections on the \
         left, the servers of requests on the right; the table of findings has the same \
         information\"><g class=\"columns\" aria-hidden=\"true\"><text x=\"2\" y=\"14\">connection to</text>\
         <text x=\"{LABEL_LEFT}\" y=\"14\">SNI \u{2192} requested host</text>\
         <text x=\"{RIGHT}\" y=\"14\">server of that host</text></g>"
    )
}

/// The lines of a bundle: one from each server of a connection to its label, and one from the label to each server
/// of a request.
fn write_lines(
    bundle: &EdgeBundle<'_, '_>,
    y: usize,
    layout: &Layout<'_, '_>,
    sink: &mut dyn Write,
) -> io::Result<()> {
    let class = bundle.severity.name();
    // A Bézier curve that starts and ends horizontally.
    let (left, right) = (NODE.width, LABEL_LEFT);
    let middle = usize::midpoint(left, right);
    let findings = bundle.findings();
    for node in bundle.connections() {
        let start = layout.connections.get(&node).copied().unwrap_or_default();
        writeln!(
            sink,
            "<path class=\"wire {class}\" data-findings=\"{}\" \
             d=\"M{left} {start}C{middle} {start} {middle} {y} {right} {y}\"/>",
            FindingList(&findings)
        )?;
    }
    // The last two pixels are for the arrow head.
    let (left, right) = (LABEL_LEFT + LABEL.width, RIGHT - 2);
    let middle = usize::midpoint(left, right);
    for node in bundle.requests() {
        let end = layout.requests.get(&node).copied().unwrap_or_default();
        writeln!(
            sink,
            "<path class=\"wire {class}\" data-findings=\"{}\" \
             d=\"M{left} {y}C{middle} {y} {middle} {end} {right} {end}m-7-4l7 4-7 4\"/>",
            FindingList(&findings)
        )?;
    }
    Ok(())
}

fn write_node(
    component: &Component<'_>,
    index: NodeIndex,
    side: Side,
    y: usize,
    sink: &mut dyn Write,
) -> io::Result<()> {
    let Some(node) = component.node(index) else {
        return Ok(());
    };
    let (x, role) = match side {
        Side::Connection => (0, "connection to"),
        Side::Request => (RIGHT, "request for"),
    };
    // A server can be on both sides; each node has the findings of its side only.
    let findings = component.findings_at(index, side);
    let name = node.server.id.to_string();
    let hosts = node.server.hosts.join(", ");
    let Size { width, height } = NODE;
    writeln!(
        sink,
        "<a class=\"node\" href=\"#f{}\" data-findings=\"{}\" data-name=\"{}\" \
         aria-label=\"{role} {}, hosts {}: {}\">\
         <svg x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{height}\" \
         aria-hidden=\"true\"><title>{}\n{}</title>\
         <rect x=\"1\" y=\"1\" width=\"{}\" height=\"{}\" rx=\"6\"/>\
         <text class=\"host\" x=\"10\" y=\"20\">{}</text>\
         <text class=\"name\" x=\"10\" y=\"36\">{}</text></svg></a>",
        findings.first().copied().unwrap_or_default(),
        FindingList(&findings),
        Escaped(&name),
        Escaped(&name),
        Escaped(&hosts),
        count(findings.len(), "finding"),
        y - height / 2,
        Escaped(&name),
        Escaped(&hosts),
        width - 2,
        height - 2,
        Escaped(&shortened(&hosts, MAX_HOSTS_LENGTH)),
        Escaped(&shortened(&name, MAX_NAME_LENGTH)),
    )
}

fn write_label(bundle: &EdgeBundle<'_, '_>, y: usize, sink: &mut dyn Write) -> io::Result<()> {
    let Some(first) = bundle.edges.first() else {
        return Ok(());
    };
    // A label of many edges counts: its servers are beside it.
    let finding = first.finding;
    let is_of_many = bundle.connections().len() > 1 || bundle.requests().len() > 1;
    let (sni, requested) = if is_of_many {
        (
            count(finding.connections.len(), "server"),
            format!(
                "{}, {}",
                count(finding.owners.len(), "server"),
                count(finding.pair_count, "pair")
            ),
        )
    } else {
        (first.pair.sni.clone(), first.pair.authority.clone())
    };
    let (code, severity) = (bundle.code, bundle.severity);
    let answer = code.info().coalesced_answer.unwrap_or_default();
    let Size { width, height } = LABEL;
    writeln!(
        sink,
        "<a class=\"edge {}\" href=\"#f{}\" data-findings=\"{}\" data-name=\"requests for {} on a \
         connection for {}\" aria-label=\"{}: on a connection for {}, a request for {}: {code} {answer}\"><svg x=\"{LABEL_LEFT}\" y=\"{}\" width=\"{width}\" height=\"{height}\" \
         aria-hidden=\"true\"><rect x=\"1\" y=\"1\" width=\"{}\" height=\"{}\" rx=\"9\"/>\
         <text class=\"answer\" x=\"10\" y=\"18\">{} {code} {answer}</text>\
         <text class=\"host\" x=\"10\" y=\"33\">{}</text>\
         <text class=\"host\" x=\"10\" y=\"47\">\u{2192} {}</text></svg></a>",
        severity.name(),
        first.index,
        FindingList(&bundle.findings()),
        Escaped(&requested),
        Escaped(&sni),
        severity.name(),
        Escaped(&sni),
        Escaped(&requested),
        y - height / 2,
        width - 2,
        height - 2,
        mark(severity),
        Escaped(&shortened(&sni, MAX_LABEL_LENGTH)),
        Escaped(&shortened(&requested, MAX_LABEL_LENGTH - 2)),
    )
}
