//! The servers of a listener as a graph: an edge for each finding that says that requests for one fail
//! on a connection to the other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use gateway::disjoint_sets::DisjointSets;
use gateway::findings::{CheckedListener, CheckedServer, Finding, Report};

/// A listener.
pub(super) struct Site<'r> {
    pub(super) listener: &'r CheckedListener,
    /// The servers that break each other, directly or by way of others.
    pub(super) components: Vec<Component<'r>>,
    /// The servers that break none and that none breaks.
    pub(super) apart: Vec<Node<'r>>,
}

/// Servers that break each other, directly or by way of others.
#[derive(Default)]
pub(super) struct Component<'r> {
    pub(super) nodes: Vec<Node<'r>>,
    pub(super) edges: Vec<Edge<'r>>,
    /// How many pairs there are that have no finding of their own.
    pub(super) grouped_pairs: usize,
}

/// A server.
pub(super) struct Node<'r> {
    pub(super) server: &'r CheckedServer,
    /// The places in the report of the findings that name it.
    pub(super) findings: Vec<usize>,
}

/// A finding, from the server of the connection to the one of the request; both by their places in the
/// component.
pub(super) struct Edge<'r> {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) place: usize,
    pub(super) finding: &'r Finding,
}

/// The ends of an edge.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Connection,
    Request,
}

impl Component<'_> {
    /// Whether a finding is shown at a server on one side: not one that has the server on the other
    /// side alone.
    pub(super) fn is_on(&self, place: usize, node: usize, side: Side) -> bool {
        // Findings come in the order of the report.
        let edge = self.edges.binary_search_by_key(&place, |edge| edge.place);
        let edge = edge.ok().and_then(|at| self.edges.get(at));
        edge.is_none_or(|edge| {
            let end = if side == Side::Connection {
                edge.from
            } else {
                edge.to
            };
            end == node || edge.finding.group.is_some()
        })
    }
}

/// A finding by its place in the report.
type Told<'r> = (usize, &'r Finding);

/// The listeners of a report. This is near-linear in the number of servers and findings.
pub(super) fn sites(report: &Report) -> Vec<Site<'_>> {
    let mut by_site: HashMap<(&str, &str), Vec<Told<'_>>> = HashMap::new();
    let mut anywhere: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, finding) in report.findings.iter().enumerate() {
        if let (Some(workload), Some(listener)) = (&finding.workload, &finding.listener) {
            by_site
                .entry((workload, listener))
                .or_default()
                .push((place, finding));
        } else {
            named(finding).for_each(|name| anywhere.entry(name).or_default().push(place));
        }
    }
    let mut sites = Vec::with_capacity(report.listeners.len());
    for listener in &report.listeners {
        let told = by_site.remove(&(listener.workload.as_str(), listener.name.as_str()));
        sites.push(site(listener, &told.unwrap_or_default(), &anywhere));
    }
    sites
}

/// The servers that a finding names.
fn named(finding: &Finding) -> impl Iterator<Item = &str> {
    let Finding {
        connection,
        owner,
        group,
        ..
    } = finding;
    let members = group.iter().flat_map(|group| &group.servers);
    members.chain(connection).chain(owner).map(String::as_str)
}

fn site<'r>(
    listener: &'r CheckedListener,
    told: &[Told<'r>],
    anywhere: &HashMap<&str, Vec<usize>>,
) -> Site<'r> {
    let servers = listener.servers.iter().enumerate();
    let places: HashMap<&str, usize> = servers.map(|(at, it)| (it.name.as_str(), at)).collect();
    let of = |server: &CheckedServer| anywhere.get(server.name.as_str()).cloned();
    let own = listener
        .servers
        .iter()
        .map(|server| of(server).unwrap_or_default());
    let mut joined = Joined {
        sets: DisjointSets::new(listener.servers.len()),
        findings: own.collect(),
    };
    for (place, finding) in told {
        let ends = named(finding).filter_map(|name| places.get(name).copied());
        joined.add(*place, finding, &ends.collect::<Vec<_>>());
    }
    let edges = told
        .iter()
        .filter(|(_, finding)| finding.code.is_between_servers())
        .filter_map(|told| {
            let end = |name: &Option<String>| places.get(name.as_deref()?).copied();
            let (place, finding) = *told;
            let (from, to) = (end(&finding.connection)?, end(&finding.owner)?);
            Some(Edge {
                from,
                to,
                place,
                finding,
            })
        });
    let components = joined.components(&listener.servers, edges);
    let (mut broken, apart): (Vec<_>, Vec<_>) = components
        .into_iter()
        .partition(|component| !component.edges.is_empty());
    broken.sort_by_key(|component| Reverse(component.edges.len() + component.grouped_pairs));
    let apart = apart
        .into_iter()
        .flat_map(|component| component.nodes)
        .collect();
    Site {
        listener,
        components: broken,
        apart,
    }
}

/// The servers of a listener, by their places in it.
struct Joined {
    /// Those that break each other are in one set.
    sets: DisjointSets,
    /// By server, the findings that name it.
    findings: Vec<Vec<usize>>,
}

impl Joined {
    /// Adds a finding that names these servers.
    fn add(&mut self, place: usize, finding: &Finding, servers: &[usize]) {
        for server in servers {
            if let Some(own) = self.findings.get_mut(*server)
                && own.last() != Some(&place)
            {
                own.push(place);
            }
        }
        if finding.code.is_between_servers() {
            for pair in servers.windows(2) {
                if let [one, other] = pair {
                    self.sets.join(*one, *other);
                }
            }
        }
    }

    fn components<'r>(
        mut self,
        servers: &'r [CheckedServer],
        edges: impl Iterator<Item = Edge<'r>>,
    ) -> Vec<Component<'r>> {
        let mut components: BTreeMap<usize, Component<'r>> = BTreeMap::new();
        let mut places = Vec::with_capacity(servers.len());
        for ((at, server), mut findings) in servers.iter().enumerate().zip(self.findings) {
            findings.sort_unstable();
            let nodes = &mut components.entry(self.sets.first(at)).or_default().nodes;
            places.push(nodes.len());
            nodes.push(Node { server, findings });
        }
        let place = |server: usize| places.get(server).copied().unwrap_or_default();
        for edge in edges {
            let Some(component) = components.get_mut(&self.sets.first(edge.from)) else {
                continue;
            };
            component.grouped_pairs += edge.finding.group.as_ref().map_or(0, |group| group.pairs);
            component.edges.push(Edge {
                from: place(edge.from),
                to: place(edge.to),
                ..edge
            });
        }
        components.into_values().collect()
    }
}
