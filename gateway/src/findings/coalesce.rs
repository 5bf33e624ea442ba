//! SG101 to SG104: which host breaks on a connection for which other host.
//!
//! A client that has a connection for one host may send requests for another over it, when the
//! certificate of the connection covers both (RFC 9113 §9.1.1). The gateway chose the route table by
//! the SNI, so the request gets the routes of the first host. This is a defect if the host is served
//! on a connection of its own, and not in the same way on this one.
//!
//! A finding is one cause: all pairs of a listener with the same defect, the same certificate and the same
//! [`treatment`](treatment::Treatment), whether there are two servers or five hundred.

mod cause;
mod enforce;
mod explanation;
mod merge_advice;
mod remedies;
mod treatment;
mod writer;

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::context::Context;
use super::finding::Findings;
use super::protection::ListenerGuard;
use super::{Code, Known, MAX_PAIRS, WorkloadName};
use crate::coalescing::{
    BrokenPair, BrokenPairs, ChainIndex, ConnectedServers, Defect, ListenerHosts, NotFoundGroup,
    ReportedDefect, ServerIndex, certificate_scopes,
};
use crate::protected::DenyingPolicies;
use crate::{Listener, Workload};
use cause::{Cause, Causes};
use merge_advice::{Component, MergeAdvice, MergePlanner};
use treatment::Treatments;
use writer::FindingWriter;

/// How many pairs for each server are looked at one by one. More are counted.
const PAIRS_PER_SERVER: usize = 20;

/// Finds the broken pairs of one listener after the other.
pub(super) struct CauseFinder<'c, 'i> {
    context: &'c Context<'i>,
    planner: MergePlanner<'i>,
    /// Whether a policy for each workload needs ports that the input does not determine. All listeners of a workload
    /// share the answer.
    unknown_ports: HashMap<WorkloadName, Rc<OnceCell<bool>>>,
}

impl<'c, 'i> CauseFinder<'c, 'i> {
    pub(super) fn new(context: &'c Context<'i>) -> Self {
        Self {
            context,
            planner: MergePlanner::new(context.input),
            unknown_ports: HashMap::new(),
        }
    }

    pub(super) fn find(
        &mut self,
        workload: &Workload,
        listener: &Listener,
        findings: &mut Findings<'_>,
    ) {
        let certificates = self.context.input.certificates;
        let hosts = ListenerHosts::new(workload, listener, certificates);
        // A merge makes one server of all servers that break each other, so the remedy of a cause depends
        // on the pairs of all scopes.
        let mut connected = ConnectedServers::new(&hosts);
        let mut scopes = Vec::new();
        for scope in certificate_scopes(&hosts, certificates) {
            let pairs = BrokenPairs::new(&hosts, &scope, &|server, defect| {
                findings.ignores(server, defect.into())
            });
            findings.suppress(pairs.suppressed);
            connected.connect(&pairs);
            scopes.push(pairs);
        }
        let policies = DenyingPolicies::new(self.context.input.resources, workload, listener);
        let writer = FindingWriter {
            hosts: &hosts,
            input: self.context.input,
            policies: &policies,
            needs_unknown_ports: Rc::clone(
                self.unknown_ports
                    .entry(WorkloadName::from(workload))
                    .or_default(),
            ),
            advice: self.advice_by_server(&hosts, &mut connected),
        };
        // Scopes with known certificates come first, so what is only presumed adds nothing to them.
        let mut reported = Reported::default();
        let guard = ListenerGuard::new(self.context, workload, listener);
        for pairs in &scopes {
            let mut treatments = Treatments::new(&guard, &policies, pairs);
            for cause in causes(pairs, &mut reported, &mut treatments) {
                findings.add(writer.finding(&cause));
            }
        }
    }

    /// What to say about a merge, for each server that breaks another or breaks on another.
    fn advice_by_server(
        &mut self,
        hosts: &ListenerHosts<'_>,
        connected: &mut ConnectedServers,
    ) -> BTreeMap<ServerIndex, Rc<MergeAdvice>> {
        let components: BTreeMap<ServerIndex, Rc<MergeAdvice>> = connected
            .members(hosts)
            .into_iter()
            .filter(|(_, servers)| servers.len() > 1)
            .map(|(first, servers)| {
                let advice = self.planner.advice(Component {
                    workload: hosts.workload,
                    listener: hosts.listener,
                    servers: &servers,
                });
                (first, Rc::new(advice))
            })
            .collect();
        hosts
            .servers()
            .filter_map(|(server, _)| {
                let advice = components.get(&connected.representative(server))?;
                Some((server, Rc::clone(advice)))
            })
            .collect()
    }
}

/// The causes in a certificate scope, without the pairs that other scopes reported.
fn causes<'h>(
    pairs: &BrokenPairs<'h>,
    reported: &mut Reported,
    treatments: &mut Treatments<'_, 'h>,
) -> Vec<Cause<'h>> {
    let mut causes = Causes::new(pairs);
    let owners = pairs.host_servers();
    let count = pairs.count_all();
    let servers = pairs.connections.len() + owners.len();
    let are_many = count > MAX_PAIRS.max(PAIRS_PER_SERVER * servers);

    // The pairs with routes first: one SG104 stands for all kinds of defects between two servers.
    for pair in &pairs.with_routes {
        let is_counted_below = are_many
            && pairs.known != Known::Known
            && pairs
                .first_not_found(&pair.connection, pair.owner())
                .is_some();
        if !is_counted_below && reported.is_new(pairs.known, pair) {
            let (treatment, pair) = treatments.of_pair(pair, pairs.with_routes.len());
            causes.add(&pair, treatment);
        }
    }
    if are_many {
        // Millions of pairs are not looked at: an installed filter decides by the requested host.
        for (treatment, owners) in treatments.of_owners(&owners) {
            causes.add_group(pairs, &owners, treatment);
        }
        reported.groups.push(pairs.not_found_group(&owners));
    } else {
        for pair in pairs.not_found_pairs(&owners, count) {
            if reported.is_new(pairs.known, &pair) {
                let (treatment, pair) = treatments.of_pair(&pair, count);
                causes.add(&pair, treatment);
            }
        }
    }
    causes.into_causes()
}

/// What the findings of a listener have reported so far.
#[derive(Default)]
struct Reported {
    /// The filter chain of the connection and the server of the host.
    pairs: HashSet<(ChainIndex, ServerIndex)>,
    codes: HashSet<(Code, ChainIndex, ServerIndex)>,
    groups: Vec<NotFoundGroup>,
}

impl Reported {
    /// Whether no other scope has reported a pair.
    fn is_new(&mut self, known: Known, pair: &BrokenPair<'_>) -> bool {
        let connection = pair.connection.chain;
        let owner = pair.owner();
        let is_first = self.pairs.insert((connection.index, owner));
        let code = Code::from(ReportedDefect::new(known, pair.defect));
        let is_first_of_code = self.codes.insert((code, connection.index, owner));
        // A group of an earlier scope has reported the 404s between these servers.
        let is_grouped = pair.defect == Defect::NotFound
            && self
                .groups
                .iter()
                .any(|group| group.includes(connection.server, owner));
        if is_grouped {
            return false;
        }
        match known {
            // Two names of a certificate may lead to the same defect: one pair is enough.
            Known::Known => is_first_of_code,
            // A presumed certificate adds nothing where a defect is known, and SG104 has one pair for all
            // kinds of defects.
            Known::Presumed | Known::Unknown => is_first,
        }
    }
}

impl From<ReportedDefect> for Code {
    fn from(defect: ReportedDefect) -> Self {
        match defect {
            ReportedDefect::Presumed => Self::CoalescePresumed,
            ReportedDefect::Certain(Defect::NotFound) => Self::CoalesceNotFound,
            ReportedDefect::Certain(Defect::WrongRoute) => Self::CoalesceWrongRoute,
            ReportedDefect::Certain(Defect::TlsPolicy) => Self::CoalesceTlsPolicy,
        }
    }
}
