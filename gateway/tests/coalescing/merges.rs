//! `check` recommends the merges that `merge` plans, and names the obstacle of all others.

use std::fmt::Write as _;

use gateway::documents::read;
use gateway::findings::{self, Code, Command, EXPIRES_WITHIN, Finding};
use gateway::merge::{self, Outlook, State, Strategy as MergeStrategy};
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
                strategy: MergeStrategy::Seamless,
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
                prop_assert!(hint.contains("no plan by packager merge: "), "{finding:#?}");
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

/// Servers of one kind that nothing keeps apart, servers of another kind, and a server that stays.
#[derive(Clone, Debug)]
struct Groups {
    /// For each server of the first kind, the namespace of its host; `None` for a host without one.
    simple: Vec<Option<&'static str>>,
    mutual: usize,
    /// The rank of each Gateway by age. The servers of a Gateway are neighbours.
    ages: Vec<usize>,
    /// Whether the first two servers of the first kind are in one Gateway.
    is_shared: bool,
    /// Whether a passthrough server has the wildcard above all hosts.
    has_wildcard: bool,
}

fn groups() -> impl Strategy<Value = Groups> {
    let namespaces =
        proptest::sample::select(vec![None, Some("."), Some("istio-system"), Some("*")]);
    (
        proptest::collection::vec(namespaces, 2..=5),
        0..=3_usize,
        Just((0..9).collect::<Vec<usize>>()).prop_shuffle(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(simple, mutual, ages, is_shared, has_wildcard)| Groups {
            simple,
            mutual,
            ages,
            is_shared,
            has_wildcard,
        })
}

impl Groups {
    fn text(&self) -> String {
        let mut text = text(&[], &[]);
        let mut gateways: Vec<(String, Vec<String>)> = Vec::new();
        for (n, namespace) in self.simple.iter().enumerate() {
            let host = format!("s{n}.example.com");
            let spelled = namespace.map_or_else(|| host.clone(), |own| format!("{own}/{host}"));
            let server = server(&format!("p{n}"), "HTTPS", &spelled, "SIMPLE");
            match gateways.first_mut() {
                Some((_, servers)) if n == 1 && self.is_shared => servers.push(server),
                Some(_) | None => gateways.push((format!("s{n}"), vec![server])),
            }
            let gateway = &gateways.last().unwrap().0;
            text += &service(&format!("s{n}"), &host, gateway);
        }
        for n in 0..self.mutual {
            let host = format!("m{n}.example.com");
            let name = format!("m{n}");
            gateways.push((
                name.clone(),
                vec![server("https", "HTTPS", &host, "MUTUAL")],
            ));
            text += &service(&name, &host, &name);
        }
        if self.has_wildcard {
            let server = server("tls", "TLS", "*.example.com", "PASSTHROUGH");
            gateways.push(("wild".to_owned(), vec![server]));
            text += &service("wild", "*.example.com", "wild");
        }
        for ((name, servers), age) in gateways.iter().zip(&self.ages) {
            write!(
                text,
                "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: \
                 istio-system, creationTimestamp: \"2026-01-01T00:00:0{age}Z\"}}\nspec:\n  selector: {{istio: \
                 ingressgateway}}\n  servers: [{}]\n",
                servers.join(", ")
            )
            .unwrap();
        }
        text
    }
}

fn server(port: &str, protocol: &str, host: &str, mode: &str) -> String {
    format!(
        "{{port: {{number: 443, name: {port}, protocol: {protocol}}}, hosts: ['{host}'], \
         tls: {{mode: {mode}, credentialName: wildcard}}}}"
    )
}

fn service(name: &str, host: &str, gateway: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: \
         istio-system}}\nspec:\n  hosts: ['{host}']\n  gateways: [{gateway}]\n  http: [{{route: []}}]\n  \
         tls: [{{match: [{{sniHosts: ['{host}']}}], route: [{{}}]}}]\n"
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// A planner that merges nothing would pass all other properties.
    #[test]
    fn servers_that_nothing_keeps_apart_become_one(groups in groups()) {
        let mut resources = Resources::with_manifests();
        let faults = read("input.yaml", groups.text(), &mut resources);
        prop_assert!(faults.is_empty(), "{faults:?}");
        let certificates = Certificates::new(&resources);
        let start = State::new(resources);
        for strategy in [MergeStrategy::Seamless, MergeStrategy::Short] {
            let outlook = merge::merge(&merge::Input {
                start: &start,
                certificates: &certificates,
                strategy,
                may_assume_certificates: false,
                left_out: &[],
            });
            let mut merged: Vec<usize> = outlook
                .plans
                .iter()
                .map(|plan| plan.absorbed.len() + 1)
                .collect();
            merged.sort_unstable();
            let mut expected: Vec<usize> = [groups.simple.len(), groups.mutual]
                .into_iter()
                .filter(|size| *size > 1)
                .collect();
            expected.sort_unstable();
            prop_assert_eq!(merged, expected, "{:#?}", outlook);
            prop_assert!(outlook.refusals.is_empty(), "{:#?}", outlook.refusals);
            for plan in &outlook.plans {
                prop_assert_eq!(plan.strategy, strategy, "{:?}", plan.fallback);
            }
            // One server with mutual TLS has nothing to be merged with.
            let alone = usize::from(groups.mutual == 1);
            prop_assert!(outlook.blockers.len() >= alone, "{:#?}", outlook.blockers);
        }
    }
}
