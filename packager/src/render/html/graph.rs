//! The servers of a listener as a graph. A pair of a finding about coalesced connections is an edge: from the
//! server that the connection is to, to the server that the request is for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use gateway::ServerId;
use gateway::disjoint_sets::DisjointSets;
use gateway::findings::{
    CheckedListener, CheckedServer, Finding, ListenerAddress, Pair, Report, WorkloadName,
};

/// The most pairs of a finding that are drawn: those of twenty servers.
const MAX_DRAWN_PAIRS: usize = MAX_DRAWN_SERVERS * (MAX_DRAWN_SERVERS - 1);

/// The most servers of a larger group that are drawn on each side.
pub(super) const MAX_DRAWN_SERVERS: usize = 20;

/// Whether a finding has too many pairs to draw them.
pub(super) fn is_group(finding: &Finding) -> bool {
    finding.pair_count > MAX_DRAWN_PAIRS
}

/// The index of a finding in the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FindingIndex(pub(super) usize);

impl fmt::Display for FindingIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The index of a server in its listener.
#[derive(Clone, Copy)]
struct DrawnServerIndex(usize);

/// The index of a node in its component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeIndex(usize);

pub(super) struct ListenerGraph<'r> {
    pub(super) listener: &'r CheckedListener,
    /// The servers that break each other, the largest component first.
    pub(super) components: Vec<Component<'r>>,
    /// The servers without a broken pair.
    pub(super) unaffected: Vec<Node<'r>>,
}

/// Servers that break each other, directly or through other servers.
#[derive(Default)]
pub(super) struct Component<'r> {
    pub(super) nodes: Vec<Node<'r>>,
    /// In the order of the report.
    pub(super) edges: Vec<Edge<'r>>,
    /// How many pairs are too many to draw: the picture has one pair for them.
    pub(super) grouped_pairs: usize,
}

pub(super) struct Node<'r> {
    pub(super) server: &'r CheckedServer,
    /// The findings that name the server, in ascending order.
    pub(super) findings: Vec<FindingIndex>,
}

pub(super) struct Edge<'r> {
    pub(super) from: NodeIndex,
    pub(super) to: NodeIndex,
    pub(super) index: FindingIndex,
    pub(super) finding: &'r Finding,
    pub(super) pair: &'r Pair,
}

/// The end of an edge.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Connection,
    Request,
}

impl<'r> Component<'r> {
    pub(super) fn node(&self, index: NodeIndex) -> Option<&Node<'r>> {
        self.nodes.get(index.0)
    }

    /// The findings to show at a node on one side, without the findings that have the node on the other
    /// side only.
    pub(super) fn findings_at(&self, index: NodeIndex, side: Side) -> Vec<FindingIndex> {
        self.node(index)
            .into_iter()
            .flat_map(|node| &node.findings)
            .copied()
            .filter(|finding| self.is_shown_at(*finding, index, side))
            .collect()
    }

    fn is_shown_at(&self, finding: FindingIndex, node: NodeIndex, side: Side) -> bool {
        // The edges of a finding follow each other.
        let start = self.edges.partition_point(|edge| edge.index < finding);
        let mut edges = self
            .edges
            .iter()
            .skip(start)
            .take_while(|edge| edge.index == finding)
            .peekable();
        // A finding without an edge concerns the server itself.
        if edges.peek().is_none() {
            return true;
        }
        edges.any(|edge| {
            let end = match side {
                Side::Connection => edge.from,
                Side::Request => edge.to,
            };
            // Most pairs of a group are not drawn, so its servers are on both sides.
            end == node || is_group(edge.finding)
        })
    }
}

/// The edges of a finding, each with its pair, or with an example for the edges of a group.
fn drawn_edges(finding: &Finding) -> Vec<((&ServerId, &ServerId), &Pair)> {
    let Some(example) = finding.pairs.first().filter(|_| is_group(finding)) else {
        return finding
            .pairs
            .iter()
            .map(|pair| ((&pair.connection, &pair.owner), pair))
            .collect();
    };
    // All edges of a group meet in one label, so each server needs one edge only.
    let longest = finding.connections.len().max(finding.owners.len());
    finding
        .connections
        .iter()
        .cycle()
        .zip(finding.owners.iter().cycle().skip(1))
        .take(longest.min(MAX_DRAWN_SERVERS))
        .map(|ends| (ends, example))
        .collect()
}

type IndexedFinding<'r> = (FindingIndex, &'r Finding);

/// The graphs of all checked listeners. The time is near-linear in the number of servers and findings.
pub(super) fn listener_graphs(report: &Report) -> Vec<ListenerGraph<'_>> {
    let mut by_listener: HashMap<(&WorkloadName, &ListenerAddress), Vec<IndexedFinding<'_>>> =
        HashMap::new();
    let mut by_server: HashMap<&ServerId, Vec<FindingIndex>> = HashMap::new();
    for (index, finding) in report.findings.iter().enumerate() {
        let index = FindingIndex(index);
        if let (Some(workload), Some(listener)) = (&finding.workload, &finding.listener) {
            by_listener
                .entry((workload, listener))
                .or_default()
                .push((index, finding));
            continue;
        }
        // A finding without a listener, such as a dropped server, is shown at each listener of its servers.
        for server in finding.servers() {
            by_server.entry(server).or_default().push(index);
        }
    }
    report
        .listeners
        .iter()
        .map(|listener| {
            let findings = by_listener
                .remove(&(&listener.workload, &listener.address))
                .unwrap_or_default();
            GraphBuilder::new(listener, &by_server).build(&findings)
        })
        .collect()
}

struct GraphBuilder<'r> {
    listener: &'r CheckedListener,
    indices: HashMap<&'r ServerId, DrawnServerIndex>,
    /// Servers that break each other are in one set.
    sets: DisjointSets,
    /// The findings that name each server, by [`DrawnServerIndex`].
    findings: Vec<Vec<FindingIndex>>,
}

impl<'r> GraphBuilder<'r> {
    fn new(
        listener: &'r CheckedListener,
        by_server: &HashMap<&ServerId, Vec<FindingIndex>>,
    ) -> Self {
        Self {
            listener,
            indices: listener
                .servers
                .iter()
                .enumerate()
                .map(|(index, server)| (&server.id, DrawnServerIndex(index)))
                .collect(),
            sets: DisjointSets::new(listener.servers.len()),
            findings: listener
                .servers
                .iter()
                .map(|server| by_server.get(&server.id).cloned().unwrap_or_default())
                .collect(),
        }
    }

    fn build(mut self, findings: &[IndexedFinding<'r>]) -> ListenerGraph<'r> {
        for (index, finding) in findings {
            self.add(*index, finding);
        }
        // A component without edges is a server without a broken pair.
        let (mut components, unaffected): (Vec<_>, Vec<_>) = self
            .components(findings)
            .into_iter()
            .partition(|component| !component.edges.is_empty());
        components
            .sort_by_key(|component| Reverse(component.edges.len() + component.grouped_pairs));
        ListenerGraph {
            listener: self.listener,
            components,
            unaffected: unaffected
                .into_iter()
                .flat_map(|component| component.nodes)
                .collect(),
        }
    }

    /// Adds a finding to its servers, and joins servers that break each other.
    fn add(&mut self, index: FindingIndex, finding: &Finding) {
        let servers: Vec<DrawnServerIndex> = finding
            .servers()
            .into_iter()
            .filter_map(|server| self.indices.get(server).copied())
            .collect();
        for server in &servers {
            // A finding names a server twice if both sides are the same one.
            if let Some(known) = self.findings.get_mut(server.0)
                && known.last() != Some(&index)
            {
                known.push(index);
            }
        }
        // The servers of one cause belong into one picture.
        if finding.code.is_between_servers() {
            for pair in servers.windows(2) {
                if let [one, other] = pair {
                    self.sets.join(one.0, other.0);
                }
            }
        }
    }

    /// The components, also those of a single server, in the order of their first servers.
    fn components(&mut self, findings: &[IndexedFinding<'r>]) -> Vec<Component<'r>> {
        // The key is the first server of a component.
        let mut components: BTreeMap<usize, Component<'r>> = BTreeMap::new();
        let mut nodes: HashMap<&ServerId, (usize, NodeIndex)> = HashMap::new();
        for (server, findings) in self.listener.servers.iter().zip(&mut self.findings) {
            let Some(index) = self.indices.get(&server.id) else {
                continue;
            };
            let first = self.sets.first(index.0);
            let component = components.entry(first).or_default();
            nodes.insert(&server.id, (first, NodeIndex(component.nodes.len())));
            // Findings without a listener were added before the others, out of order.
            findings.sort_unstable();
            component.nodes.push(Node {
                server,
                findings: std::mem::take(findings),
            });
        }

        for (index, finding) in findings {
            if !finding.code.is_between_servers() {
                continue;
            }
            for (position, (ends, pair)) in drawn_edges(finding).into_iter().enumerate() {
                // The ends of an edge are in one component: `add` joined them.
                let (Some((first, from)), Some((_, to))) = (nodes.get(ends.0), nodes.get(ends.1))
                else {
                    continue;
                };
                let Some(component) = components.get_mut(first) else {
                    continue;
                };
                if position == 0 && is_group(finding) {
                    component.grouped_pairs += finding.pair_count;
                }
                component.edges.push(Edge {
                    from: *from,
                    to: *to,
                    index: *index,
                    finding,
                    pair,
                });
            }
        }
        components.into_values().collect()
    }
}
