//! `check` recommends the merges that `merge` plans, and names the obstacle of all others.

use gateway::documents::read;
use gateway::findings::{self, Code, Command, EXPIRES_WITHIN, Finding};
use gateway::merge::{self, Outlook, State, Strategy};
use gateway::{Certificates, Model, Resources, ServerId};
use proptest::prelude::*;

use crate::generated::{routes, servers, text};

/// What `merge` makes of resources, without and with `--assume-same-certificate`.
struct Merges {
    strict: Outlook,
    assuming: Outlook,
}

impl Merges {
    fn new(resources: &Resources, certificates: &Certificates) -> Self {
        let start = State::new(resources.clone());
        let [strict, assuming] = [false, true].map(|may_assume_certificates| {
            merge::merge(&merge::Input {
                start: &start,
                certificates,
                strategy: Strategy::Seamless,
                may_assume_certificates,
                left_out: &[],
            })
        });
        Self { strict, assuming }
    }

    /// Fails if the remedies of a finding differ from what `merge` does with its servers.
    fn check(&self, finding: &Finding) -> Result<(), TestCaseError> {
        let merge = finding
            .remedies
            .iter()
            .find_map(|remedy| match remedy.command {
                Some(Command::Merge {
                    assume_same_certificate,
                }) => Some(assume_same_certificate),
                Some(
                    Command::Filter { .. }
                    | Command::AuthorizationPolicy(_)
                    | Command::Check
                    | Command::ExplainFilter(_)
                    | Command::Kubectl(_),
                )
                | None => None,
            });
        let is_planned = is_planned(&self.strict, finding);
        match merge {
            Some(false) => prop_assert!(is_planned, "{finding:#?}"),
            Some(true) => prop_assert!(self::is_planned(&self.assuming, finding), "{finding:#?}"),
            None => {
                prop_assert!(!is_planned, "{finding:#?}");
                // If several obstacles prevent a merge, the two commands may name different ones.
                let hint = &finding.advice.hint;
                prop_assert!(hint.contains("packager merge refuses"), "{finding:#?}");
                let obstacles: Vec<(&String, &Vec<ServerId>)> = [&self.strict, &self.assuming]
                    .into_iter()
                    .flat_map(obstacles)
                    .collect();
                prop_assert!(
                    obstacles.iter().any(|(message, servers)| {
                        hint.contains(*message)
                            || finding.pairs.iter().any(|pair| {
                                [&pair.connection, &pair.owner]
                                    .iter()
                                    .any(|server| servers.contains(server))
                            })
                    }),
                    "{finding:#?} {obstacles:#?}"
                );
            }
        }
        Ok(())
    }
}

/// The messages of refusals and blockers, with their servers.
fn obstacles(outlook: &Outlook) -> Vec<(&String, &Vec<ServerId>)> {
    let refusals = outlook
        .refusals
        .iter()
        .map(|refusal| (&refusal.message, &refusal.servers));
    let blockers = outlook
        .blockers
        .iter()
        .map(|blocker| (&blocker.message, &blocker.servers));
    refusals.chain(blockers).collect()
}

/// Whether a plan makes one server of the two servers of some pair of a finding.
fn is_planned(outlook: &Outlook, finding: &Finding) -> bool {
    outlook.plans.iter().any(|plan| {
        let merged: Vec<&ServerId> = std::iter::once(&plan.target)
            .chain(&plan.absorbed)
            .collect();
        finding
            .pairs
            .iter()
            .any(|pair| merged.contains(&&pair.connection) && merged.contains(&&pair.owner))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn check_recommends_the_merges_that_merge_plans(servers in servers(), routes in routes()) {
        let mut resources = Resources::with_manifests();
        let faults = read("input.yaml", text(&servers, &routes), &mut resources);
        prop_assert!(faults.is_empty(), "{faults:?}");
        let certificates = Certificates::new(&resources);
        let report = findings::check(&findings::Input {
            resources: &resources,
            model: &Model::new(&resources),
            certificates: &certificates,
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            has_all_secrets: false,
            has_all_gateways: false,
            expires_within: EXPIRES_WITHIN,
        });
        let merges = Merges::new(&resources, &certificates);
        for finding in &report.findings {
            // Where mutual TLS is bypassed the hint is a policy, because the filter is no boundary.
            if finding.code.is_between_servers() && finding.code != Code::CoalesceTlsPolicy {
                merges.check(finding)?;
            }
        }
    }
}
