//! A component as SVG, in three columns: the servers that connections are to, what happens, and the
//! servers that requests are for. Places are sums of whole numbers, so the same input gives the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use gateway::findings::{Code, Severity};

use super::graph::{Component, Edge, Node, Side};
use super::text::{Escaped, Places, count, shortened};

/// Up to so many edges have a label each; above, those of one server and code share one.
const FEW: usize = 12;

/// Sizes in pixels.
const WIDTH: usize = 820;
const NODE: Size = Size {
    width: 228,
    height: 46,
};
const LABEL: Size = Size {
    width: 212,
    height: 56,
};
const LABEL_LEFT: usize = (WIDTH - LABEL.width) / 2;
const RIGHT: usize = WIDTH - NODE.width;
const GAP: usize = 10;
/// What the names of the columns take.
const HEAD: usize = 22;
/// Up to this height the rows of each column are spread over it; in a higher one the only row of a column
/// would be out of sight.
const SCREEN: usize = 800;

/// How many letters fit into a node and into a label.
const HOST_LETTERS: usize = 28;
const NAME_LETTERS: usize = 36;
const LABEL_LETTERS: usize = 30;

#[derive(Clone, Copy)]
struct Size {
    width: usize,
    height: usize,
}

/// Edges with one label.
struct Bundle<'c, 'r> {
    from: usize,
    code: Code,
    edges: Vec<&'c Edge<'r>>,
}

/// The rows of a column, from the top down.
struct Column {
    rows: usize,
    height: usize,
}

pub(super) fn draw(component: &Component<'_>, sink: &mut dyn Write) -> io::Result<()> {
    let bundles = bundles(component);
    let from: BTreeSet<usize> = component.edges.iter().map(|edge| edge.from).collect();
    let to: BTreeSet<usize> = component.edges.iter().map(|edge| edge.to).collect();
    let height = [(from.len(), NODE), (bundles.len(), LABEL), (to.len(), NODE)]
        .map(|(rows, size)| rows * (size.height + GAP));
    let height = height.into_iter().max().unwrap_or_default();
    let rows = |set: &BTreeSet<usize>| -> BTreeMap<usize, usize> {
        let column = Column::new(set.len(), NODE, height);
        set.iter()
            .enumerate()
            .map(|(row, node)| (*node, column.middle(row)))
            .collect()
    };
    let (from, to, labels) = (
        rows(&from),
        rows(&to),
        Column::new(bundles.len(), LABEL, height),
    );
    write_head(height + HEAD, sink)?;
    for (row, bundle) in bundles.iter().enumerate() {
        wires(bundle, labels.middle(row), &from, &to, sink)?;
    }
    for (at, y) in &from {
        write_node(component, *at, Side::Connection, *y, sink)?;
    }
    for (row, bundle) in bundles.iter().enumerate() {
        write_label(bundle, labels.middle(row), sink)?;
    }
    for (at, y) in &to {
        write_node(component, *at, Side::Request, *y, sink)?;
    }
    writeln!(sink, "</svg>")
}

/// The start of the drawing, with the columns' names.
fn write_head(height: usize, sink: &mut dyn Write) -> io::Result<()> {
    writeln!(
        sink,
        "<svg class=\"picture\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"group\" aria-label=\"Picture: from the servers of connections, \
         on the left, to the servers of requests, on the right; the table of findings has the \
         same\"><g class=\"columns\" aria-hidden=\"true\"><text x=\"2\" y=\"14\">connection to</text>\
         <text x=\"{LABEL_LEFT}\" y=\"14\">SNI \u{2192} host asked for</text>\
         <text x=\"{RIGHT}\" y=\"14\">server of that host</text></g>"
    )
}

fn bundles<'c, 'r>(component: &'c Component<'r>) -> Vec<Bundle<'c, 'r>> {
    let mut edges: Vec<&Edge<'_>> = component.edges.iter().collect();
    edges.sort_by_key(|edge| (edge.from, edge.to, edge.place));
    let mut bundles: BTreeMap<(usize, usize, Code), Vec<&Edge<'_>>> = BTreeMap::new();
    for edge in edges {
        let to = if component.edges.len() <= FEW {
            edge.to
        } else {
            0
        };
        bundles
            .entry((edge.from, to, edge.finding.code))
            .or_default()
            .push(edge);
    }
    let bundle = |((from, _, code), edges)| Bundle { from, code, edges };
    bundles.into_iter().map(bundle).collect()
}

impl Column {
    fn new(rows: usize, size: Size, height: usize) -> Self {
        let own = rows * (size.height + GAP);
        Self {
            rows: rows.max(1),
            height: if height <= SCREEN { height } else { own },
        }
    }

    /// Where the middle of a row is.
    fn middle(&self, row: usize) -> usize {
        HEAD + self.height * (2 * row + 1) / (2 * self.rows)
    }
}

/// The lines of a bundle: one to its label, and one from there to each server.
fn wires(
    bundle: &Bundle<'_, '_>,
    y: usize,
    from: &BTreeMap<usize, usize>,
    to: &BTreeMap<usize, usize>,
    sink: &mut dyn Write,
) -> io::Result<()> {
    let class = bundle.code.severity().name();
    let start = from.get(&bundle.from).copied().unwrap_or_default();
    let places = bundle.places();
    let (out, into) = (NODE.width, LABEL_LEFT);
    let half = usize::midpoint(out, into);
    writeln!(
        sink,
        "<path class=\"wire {class}\" data-findings=\"{places}\" \
         d=\"M{out} {start}C{half} {start} {half} {y} {into} {y}\"/>"
    )?;
    let (out, into) = (LABEL_LEFT + LABEL.width, RIGHT - 2);
    let half = usize::midpoint(out, into);
    for edge in &bundle.edges {
        let end = to.get(&edge.to).copied().unwrap_or_default();
        writeln!(
            sink,
            "<path class=\"wire {class}\" data-findings=\"{}\" \
             d=\"M{out} {y}C{half} {y} {half} {end} {into} {end}m-7-4l7 4-7 4\"/>",
            edge.place
        )?;
    }
    Ok(())
}

fn write_node(
    component: &Component<'_>,
    at: usize,
    side: Side,
    y: usize,
    sink: &mut dyn Write,
) -> io::Result<()> {
    let Some(Node { server, findings }) = component.nodes.get(at) else {
        return Ok(());
    };
    let (x, role) = match side {
        Side::Connection => (0, "connection to"),
        Side::Request => (RIGHT, "request for"),
    };
    let is_shown = |place: &usize| component.is_on(*place, at, side);
    let findings: Vec<usize> = findings.iter().copied().filter(is_shown).collect();
    let hosts = server.hosts.join(", ");
    let Size { width, height } = NODE;
    let found = count(findings.len(), "finding");
    writeln!(
        sink,
        "<a class=\"node\" href=\"#f{}\" data-findings=\"{}\" data-name=\"{}\" \
         aria-label=\"{role} {}, hosts {}: {found}\">\
         <svg x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{height}\" \
         aria-hidden=\"true\"><title>{}\n{}</title>\
         <rect x=\"1\" y=\"1\" width=\"{}\" height=\"{}\" rx=\"6\"/>\
         <text class=\"host\" x=\"10\" y=\"20\">{}</text>\
         <text class=\"name\" x=\"10\" y=\"36\">{}</text></svg></a>",
        findings.first().copied().unwrap_or_default(),
        Places(&findings),
        Escaped(&server.name),
        Escaped(&server.name),
        Escaped(&hosts),
        y - height / 2,
        Escaped(&server.name),
        Escaped(&hosts),
        width - 2,
        height - 2,
        Escaped(&shortened(&hosts, HOST_LETTERS)),
        Escaped(&shortened(&server.name, NAME_LETTERS)),
    )
}

fn write_label(bundle: &Bundle<'_, '_>, y: usize, sink: &mut dyn Write) -> io::Result<()> {
    let Some(first) = bundle.edges.first() else {
        return Ok(());
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (sni, authority) = (text(&first.finding.sni), text(&first.finding.authority));
    let more = match bundle.edges.len() {
        0 | 1 => String::new(),
        many => format!(" and {} more", many - 1),
    };
    let shown = shortened(&authority, (LABEL_LETTERS - 2).saturating_sub(more.len())) + &more;
    let asked = authority + &more;
    let (code, severity) = (bundle.code, bundle.code.severity());
    let answer = format!("{code} {}", answer(code));
    let Size { width, height } = LABEL;
    writeln!(
        sink,
        "<a class=\"edge {}\" href=\"#f{}\" data-findings=\"{}\" data-name=\"requests for {} on a \
         connection for {}\" aria-label=\"{}: on a connection for {}, a request for {}: {answer}\"><svg x=\"{LABEL_LEFT}\" y=\"{}\" width=\"{width}\" height=\"{height}\" \
         aria-hidden=\"true\"><rect x=\"1\" y=\"1\" width=\"{}\" height=\"{}\" rx=\"9\"/>\
         <text class=\"answer\" x=\"10\" y=\"18\">{} {answer}</text>\
         <text class=\"host\" x=\"10\" y=\"33\">{}</text>\
         <text class=\"host\" x=\"10\" y=\"47\">\u{2192} {}</text></svg></a>",
        severity.name(),
        first.place,
        bundle.places(),
        Escaped(&asked),
        Escaped(&sni),
        severity.name(),
        Escaped(&sni),
        Escaped(&asked),
        y - height / 2,
        width - 2,
        height - 2,
        mark(severity),
        Escaped(&shortened(&sni, LABEL_LETTERS)),
        Escaped(&shown),
    )
}

/// What is answered, in a few words.
fn answer(code: Code) -> &'static str {
    match code {
        Code::CoalesceNotFound => "404 not found",
        Code::CoalesceWrongRoute => "wrong routes",
        Code::CoalesceTlsPolicy => "no client certificate",
        _ => "presumably broken",
    }
}

/// A sign for a severity, since colour alone is to mean nothing.
pub(super) fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "\u{2716}",
        Severity::Warning => "\u{25b2}",
        Severity::Info => "\u{25cf}",
    }
}

impl Bundle<'_, '_> {
    fn places(&self) -> String {
        let mut places: Vec<usize> = self.edges.iter().map(|edge| edge.place).collect();
        places.sort_unstable();
        Places(&places).to_string()
    }
}
