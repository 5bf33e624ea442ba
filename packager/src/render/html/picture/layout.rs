//! Where the parts of a picture are, in pixels. All numbers are whole, so the same input always gives the
//! same bytes.

use std::collections::{BTreeMap, BTreeSet};

use gateway::findings::{Code, Severity};

use super::super::graph::{Component, Edge, FindingIndex, NodeIndex, is_group};

#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) width: usize,
    pub(super) height: usize,
}

pub(super) const WIDTH: usize = 820;
pub(super) const NODE: Size = Size {
    width: 228,
    height: 46,
};
pub(super) const LABEL: Size = Size {
    width: 212,
    height: 56,
};
/// The left edge of the middle column.
pub(super) const LABEL_LEFT: usize = (WIDTH - LABEL.width) / 2;
/// The left edge of the right column.
pub(super) const RIGHT: usize = WIDTH - NODE.width;
/// The space between two rows.
const GAP: usize = 10;
/// The height of the names of the columns.
const HEAD: usize = 22;
/// Up to this height the rows of each column are spread over the height of the picture. In a higher picture
/// the only row of a column would be far below the visible part.
const MAX_SPREAD_HEIGHT: usize = 800;
/// Up to this number each edge has its own label. Above it, all edges of a finding meet in one label: lines for
/// each pair would cross in one place.
const MAX_LABELLED_EDGES: usize = 12;

/// Edges with a common label.
pub(super) struct EdgeBundle<'c, 'r> {
    pub(super) code: Code,
    pub(super) severity: Severity,
    pub(super) edges: Vec<&'c Edge<'r>>,
}

impl EdgeBundle<'_, '_> {
    /// The servers of connections, each once.
    pub(super) fn connections(&self) -> BTreeSet<NodeIndex> {
        self.edges.iter().map(|edge| edge.from).collect()
    }

    /// The servers of requests, each once.
    pub(super) fn requests(&self) -> BTreeSet<NodeIndex> {
        self.edges.iter().map(|edge| edge.to).collect()
    }

    pub(super) fn findings(&self) -> Vec<FindingIndex> {
        let mut findings: Vec<FindingIndex> = self.edges.iter().map(|edge| edge.index).collect();
        findings.sort_unstable();
        findings.dedup();
        findings
    }
}

/// The vertical middles of all parts of a picture.
pub(super) struct Layout<'c, 'r> {
    pub(super) height: usize,
    /// The servers of connections, in the left column.
    pub(super) connections: BTreeMap<NodeIndex, usize>,
    /// The labels, in the middle column.
    pub(super) bundles: Vec<(EdgeBundle<'c, 'r>, usize)>,
    /// The servers of requests, in the right column.
    pub(super) requests: BTreeMap<NodeIndex, usize>,
}

impl<'c, 'r> Layout<'c, 'r> {
    pub(super) fn new(component: &'c Component<'r>) -> Self {
        let connections: BTreeSet<NodeIndex> =
            component.edges.iter().map(|edge| edge.from).collect();
        let requests: BTreeSet<NodeIndex> = component.edges.iter().map(|edge| edge.to).collect();
        let bundles = edge_bundles(component);

        // The highest column decides the height; the rows of the others are spread over it.
        let height = [
            column_height(connections.len(), NODE),
            column_height(bundles.len(), LABEL),
            column_height(requests.len(), NODE),
        ]
        .into_iter()
        .max()
        .unwrap_or_default();
        let label_column = Column::new(bundles.len(), LABEL, height);
        Self {
            height: height + HEAD,
            connections: node_column(&connections, height),
            bundles: bundles
                .into_iter()
                .enumerate()
                .map(|(row, bundle)| (bundle, label_column.middle(row)))
                .collect(),
            requests: node_column(&requests, height),
        }
    }
}

/// What the edges of a bundle share.
type BundleKey = (Option<(NodeIndex, NodeIndex)>, FindingIndex, Code, Severity);

fn edge_bundles<'c, 'r>(component: &'c Component<'r>) -> Vec<EdgeBundle<'c, 'r>> {
    let mut edges: Vec<&Edge<'_>> = component.edges.iter().collect();
    // In this order lines cross less often, and the same input gives the same picture.
    edges.sort_by_key(|edge| (edge.from, edge.to, edge.index));
    let has_own_labels =
        edges.len() <= MAX_LABELLED_EDGES && !edges.iter().any(|edge| is_group(edge.finding));
    let mut bundles: BTreeMap<BundleKey, Vec<&Edge<'_>>> = BTreeMap::new();
    for edge in edges {
        // Without the servers in the key, the edges of a finding share a label.
        let ends = has_own_labels.then_some((edge.from, edge.to));
        // Two findings about the same servers and the same defect share it too.
        let index = if has_own_labels {
            FindingIndex::default()
        } else {
            edge.index
        };
        bundles
            .entry((ends, index, edge.finding.code, edge.finding.severity))
            .or_default()
            .push(edge);
    }
    bundles
        .into_iter()
        .map(|((_, _, code, severity), edges)| EdgeBundle {
            code,
            severity,
            edges,
        })
        .collect()
}

/// The vertical middle of each node in a column.
fn node_column(nodes: &BTreeSet<NodeIndex>, height: usize) -> BTreeMap<NodeIndex, usize> {
    let column = Column::new(nodes.len(), NODE, height);
    nodes
        .iter()
        .enumerate()
        .map(|(row, node)| (*node, column.middle(row)))
        .collect()
}

fn column_height(rows: usize, size: Size) -> usize {
    rows * (size.height + GAP)
}

/// Rows of equal height, from top to bottom.
struct Column {
    rows: usize,
    height: usize,
}

impl Column {
    fn new(rows: usize, size: Size, picture_height: usize) -> Self {
        let height = if picture_height <= MAX_SPREAD_HEIGHT {
            picture_height
        } else {
            column_height(rows, size)
        };
        Self {
            rows: rows.max(1),
            height,
        }
    }

    /// The vertical middle of a row.
    fn middle(&self, row: usize) -> usize {
        HEAD + self.height * (2 * row + 1) / (2 * self.rows)
    }
}
