//! SG101 to SG104: which host breaks on a connection for which other host.
//!
//! A client that has a connection for one host may send requests for another over it, when the
//! certificate of the connection covers both (RFC 9113 §9.1.1). The gateway chose the route table by
//! the SNI, so the request gets the routes of the first host. This is a defect if the host is served
//! on a connection of its own, and not in the same way on this one.

mod explanation;
mod merge_advice;

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use super::finding::Findings;
use super::{Code, Finding, Group, Input, Known};
use crate::coalescing::{
    BrokenPair, BrokenPairs, ChainIndex, ConnectedServers, Defect, ListenerHosts, PairGroup,
    ReportedDefect, ServerIndex, certificate_scopes,
};
use crate::{Listener, ServerId, Workload};
use explanation::Explanation;
use merge_advice::{Component, MergeAdvice, MergePlanner};

/// Finds the broken pairs of one listener after the other.
pub(super) struct Finder<'i> {
    input: &'i Input<'i>,
    planner: MergePlanner<'i>,
}

impl<'i> Finder<'i> {
    pub(super) fn new(input: &'i Input<'i>) -> Self {
        Self {
            input,
            planner: MergePlanner::new(input),
        }
    }

    pub(super) fn find(
        &mut self,
        workload: &Workload,
        listener: &Listener,
        findings: &mut Findings<'_>,
    ) {
        let certificates = self.input.certificates;
        let hosts = ListenerHosts::new(workload, listener, certificates);
        // A merge makes one server of all servers that break each other, so the hint of a pair depends
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
        let mut writer = FindingWriter {
            hosts: &hosts,
            input: self.input,
            advice: self.advice_by_server(&hosts, &mut connected),
            findings,
        };
        // Scopes with known certificates come first, so what is only presumed adds nothing to them.
        let mut reported = Reported::default();
        for pairs in &scopes {
            let grouped = pairs.grouped();
            for group in &grouped.groups {
                writer.write_group(pairs.known, group);
            }
            for pair in pairs.with_routes.iter().chain(&grouped.single) {
                if reported.is_new(pairs.known, pair) {
                    writer.write_pair(pairs.known, pair);
                }
            }
            reported.groups.extend(grouped.groups);
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

/// What the findings of a listener have reported so far.
#[derive(Default)]
struct Reported<'h> {
    /// The filter chain of the connection and the server of the host.
    pairs: HashSet<(ChainIndex, ServerIndex)>,
    codes: HashSet<(Code, ChainIndex, ServerIndex)>,
    groups: Vec<PairGroup<'h>>,
}

impl Reported<'_> {
    /// Whether a pair needs a finding of its own.
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
            // Two names of a certificate may lead to the same defect: one finding is enough.
            Known::Known => is_first_of_code,
            // A presumed certificate adds nothing where a defect is known, and SG104 is one finding
            // for all kinds of defects.
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

/// Makes findings of the broken pairs of a listener.
struct FindingWriter<'w, 'i> {
    hosts: &'w ListenerHosts<'w>,
    input: &'w Input<'w>,
    advice: BTreeMap<ServerIndex, Rc<MergeAdvice>>,
    findings: &'w mut Findings<'i>,
}

impl FindingWriter<'_, '_> {
    fn write_pair(&mut self, known: Known, pair: &BrokenPair<'_>) {
        let explanation = self.explanation(pair);
        let finding = self.finding(known, pair, explanation.message(), explanation.hint());
        self.findings.add(finding);
    }

    fn write_group(&mut self, known: Known, group: &PairGroup<'_>) {
        let explanation = self.explanation(&group.example);
        let mut servers: Vec<ServerId> = group
            .servers()
            .into_iter()
            .filter_map(|server| self.hosts.server(server))
            .cloned()
            .collect();
        servers.sort_unstable();
        let message = format!(
            "{} servers break each other in {} pairs of a connection and a server; for example, {}",
            servers.len(),
            group.pairs,
            explanation.message()
        );
        let mut finding = self.finding(known, &group.example, message, explanation.hint());
        finding.group = Some(Group {
            servers,
            pairs: group.pairs,
        });
        self.findings.add(finding);
    }

    fn explanation<'p>(&'p self, pair: &'p BrokenPair<'p>) -> Explanation<'p> {
        Explanation::new(
            self.hosts.workload,
            pair,
            self.input.certificates,
            // Both servers of a pair are in one component.
            self.advice.get(&pair.owner()).map(Rc::as_ref),
        )
    }

    fn finding(
        &self,
        known: Known,
        pair: &BrokenPair<'_>,
        message: String,
        hint: String,
    ) -> Finding {
        let code = ReportedDefect::new(known, pair.defect).into();
        let mut finding = Finding::new(code, message, hint)
            .at(self.hosts.workload, self.hosts.listener)
            .with_connection(&pair.connection.chain.chain.server.id)
            .with_owner(&pair.host.chain.chain.server.id);
        finding.sni = Some(pair.connection.sni.to_owned());
        finding.authority = Some(pair.host.name.clone());
        finding.certificate = known;
        finding
    }
}
