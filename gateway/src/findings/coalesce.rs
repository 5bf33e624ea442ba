//! SG101 to SG104: which host breaks which other when a client reuses a connection.
//!
//! A client that has a connection for one host may send requests for another over it, when the
//! certificate that it was shown is good for both (RFC 9113 §9.1.1). The gateway chose its routes by
//! the server name, so the request meets those of the first host. That is a defect when the host
//! would be served on a connection of its own, and is not served alike on this one.

mod words;

use std::collections::{BTreeSet, HashSet};

use super::finding::Findings;
use super::{Code, Finding, Group, Known};
use crate::coalescing::{Defect, Many, Pair, Relation, ReportedDefect, Site, covers};
use crate::{Certificates, Listener, ServerId, Workload};

pub(super) fn find(
    certificates: &Certificates,
    workload: &Workload,
    listener: &Listener,
    findings: &mut Findings<'_>,
) {
    let site = Site::new(workload, listener, certificates);
    let mut told = Told::default();
    for cover in covers(&site, certificates) {
        let relation = Relation::new(&site, &cover, &|server, defect| {
            findings.ignores(server, defect.into())
        });
        findings.suppress(relation.suppressed);
        let groups = relation.groups(&site);
        let mut teller = Teller {
            site: &site,
            certificates,
            known: cover.known,
            findings,
        };
        for group in &groups {
            teller.group(group);
        }
        let special = relation.special.iter().copied();
        for pair in special.chain(relation.singles(&site, &groups)) {
            if told.is_new(&site, cover.known, pair) {
                teller.pair(pair);
            }
        }
        told.groups
            .extend(groups.into_iter().map(|group| group.sides));
    }
}

/// What was told of a listener.
#[derive(Default)]
struct Told {
    pairs: HashSet<(usize, usize)>,
    codes: HashSet<(Code, usize, usize)>,
    /// The servers of each group: those with connections, and those with hosts.
    groups: Vec<(BTreeSet<usize>, BTreeSet<usize>)>,
}

impl Told {
    /// What is presumed adds nothing where something is known, and is one finding for all kinds of
    /// defects. What is known by two names of certificates is told once.
    fn is_new(&mut self, site: &Site<'_>, known: Known, pair: Pair) -> bool {
        let Pair {
            connection,
            owner,
            defect,
            ..
        } = pair;
        let is_first = self.pairs.insert((connection, owner));
        let code = Code::from(ReportedDefect::new(known, defect));
        let is_first_of_code = self.codes.insert((code, connection, owner));
        let server = site.server_of(connection);
        let is_in = |(connections, owners): &(BTreeSet<usize>, BTreeSet<usize>)| {
            owners.contains(&owner) && server.is_some_and(|server| connections.contains(&server))
        };
        let is_grouped = defect == Defect::NotFound && self.groups.iter().any(is_in);
        !is_grouped && (is_first || (known == Known::Known && is_first_of_code))
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

/// Makes findings of pairs.
struct Teller<'t, 'm, 'i> {
    site: &'t Site<'m>,
    certificates: &'t Certificates,
    known: Known,
    findings: &'t mut Findings<'i>,
}

impl Teller<'_, '_, '_> {
    fn pair(&mut self, pair: Pair) {
        let Some(scene) = words::Scene::of(self.site, pair, self.certificates) else {
            return;
        };
        let finding = self.finding(pair, &scene, scene.message());
        self.findings.add(finding);
    }

    fn group(&mut self, group: &Many) {
        let Some(scene) = words::Scene::of(self.site, group.example, self.certificates) else {
            return;
        };
        let mut servers: Vec<ServerId> = group
            .servers
            .iter()
            .filter_map(|at| self.site.server(*at))
            .cloned()
            .collect();
        servers.sort_unstable();
        let message = format!(
            "{} servers break each other in {} pairs; one of them: {}",
            servers.len(),
            group.pairs,
            scene.message()
        );
        let group_of = Group {
            servers,
            pairs: group.pairs,
        };
        let finding = self.finding(group.example, &scene, message);
        self.findings.add(Finding {
            group: Some(group_of),
            ..finding
        });
    }

    fn finding(&self, pair: Pair, scene: &words::Scene<'_>, message: String) -> Finding {
        let code = ReportedDefect::new(self.known, pair.defect).into();
        let finding = Finding::new(code, message, scene.hint());
        Finding {
            sni: Some(scene.sni.to_owned()),
            authority: Some(scene.authority.to_owned()),
            certificate: self.known,
            ..finding
                .at(self.site.workload, self.site.listener)
                .with_connection(&scene.connection.server.id)
                .with_owner(&scene.owner.server.id)
        }
    }
}
