//! SG101 to SG103, compared with their definition: each pair of hosts is asked on its own. The merges
//! that `check` recommends, compared with the plans of `merge`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generated;
mod merges;

use std::collections::BTreeSet;

use gateway::documents::read;
use gateway::findings::{self, Code, EXPIRES_WITHIN, Input};
use gateway::listener::{ChainKind, Listener};
use gateway::resources::istio::TlsMode;
use gateway::{Answer, Certificates, Credential, FilterChain, Model, Outcome, Resources};
use proptest::prelude::*;

use generated::{CERTIFICATES, routes, servers, text};

type Found = BTreeSet<(Code, String, String)>;

/// The definition, word by word.
fn expected(listener: &Listener) -> Found {
    let mut found = Found::new();
    let names = names(listener);
    for sni in &names {
        for authority in &names {
            let (Some(connection), Some(owner)) = (
                listener.chain(sni.as_bytes()),
                listener.chain(authority.as_bytes()),
            ) else {
                continue;
            };
            if !offers_requests(connection) || !is_covered(connection, authority) {
                continue;
            }
            // A client refuses the certificate of a connection that does not have the SNI.
            if !is_covered(connection, sni) {
                continue;
            }
            let reused = listener.answer(sni.as_bytes(), authority.as_bytes());
            let fresh = listener.answer(authority.as_bytes(), authority.as_bytes());
            if let Some(code) = defect(connection, owner, reused, fresh) {
                found.insert((
                    code,
                    connection.server.id.to_string(),
                    owner.server.id.to_string(),
                ));
            }
        }
    }
    found
}

/// The hosts of servers, routes and certificates, with one that nothing else names for each wildcard.
fn names(listener: &Listener) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for chain in &listener.chains {
        names.extend(chain.server_names.iter().map(ToString::to_string));
        names.extend(certified(chain).map(ToOwned::to_owned));
        if let ChainKind::Https(table) = &chain.kind {
            let domains = table.virtual_hosts.iter().flat_map(|host| &host.domains);
            names.extend(domains.map(ToString::to_string));
        }
    }
    names.remove("*");
    names
        .into_iter()
        .map(|name| name.replace('*', "fresh"))
        .collect()
}

fn offers_requests(chain: &FilterChain) -> bool {
    matches!(chain.kind, ChainKind::Https(_)) && chain.tls != Some(TlsMode::IstioMutual)
}

fn is_covered(chain: &FilterChain, authority: &str) -> bool {
    certified(chain).any(|name| match name.strip_prefix("*.") {
        None => name == authority,
        Some(suffix) => authority
            .split_once('.')
            .is_some_and(|(_, parent)| parent == suffix),
    })
}

fn certified(chain: &FilterChain) -> impl Iterator<Item = &'static str> {
    let names = chain
        .credentials
        .iter()
        .flat_map(|credential| match credential {
            Credential::Secret { name, .. } => CERTIFICATES
                .iter()
                .find(|(other, _)| other == name)
                .map_or(&[][..], |(_, names)| names),
            _ => &[],
        });
    names.copied()
}

fn defect(
    connection: &FilterChain,
    owner: &FilterChain,
    reused: Answer<'_>,
    fresh: Answer<'_>,
) -> Option<Code> {
    if !matches!(
        fresh.outcome,
        Outcome::Served | Outcome::Passthrough | Outcome::Tcp
    ) {
        return None;
    }
    if reused.outcome == Outcome::NotFound {
        return Some(Code::CoalesceNotFound);
    }
    let same = fresh.outcome == Outcome::Served
        && reused.virtual_host.unwrap().routes == fresh.virtual_host.unwrap().routes;
    if !same {
        return Some(Code::CoalesceWrongRoute);
    }
    let demands =
        |chain: &FilterChain| matches!(chain.tls, Some(TlsMode::Mutual | TlsMode::IstioMutual));
    (demands(owner) && !demands(connection)).then_some(Code::CoalesceTlsPolicy)
}

fn found(resources: &Resources, model: &Model) -> Found {
    let report = findings::check(&Input {
        resources,
        model,
        certificates: &Certificates::new(resources),
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        has_all_secrets: false,
        has_all_gateways: false,
        expires_within: EXPIRES_WITHIN,
    });
    let codes = [
        Code::CoalesceNotFound,
        Code::CoalesceWrongRoute,
        Code::CoalesceTlsPolicy,
    ];
    let mut found = Found::new();
    for finding in report.findings {
        if !codes.contains(&finding.code) {
            continue;
        }
        assert_eq!(finding.pairs.len(), finding.pair_count);
        for pair in &finding.pairs {
            let pair = (
                finding.code,
                pair.connection.to_string(),
                pair.owner.to_string(),
            );
            // No pair is in two findings, or twice in one.
            assert!(found.insert(pair), "{finding:#?}");
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn findings_are_what_the_definition_says(servers in servers(), routes in routes()) {
        let mut resources = Resources::default();
        let faults = read("input.yaml", text(&servers, &routes), &mut resources);
        prop_assert!(faults.is_empty(), "{faults:?}");
        let model = Model::new(&resources);
        let listeners = model.workloads.iter().flat_map(|workload| &workload.listeners);
        let expected: Found = listeners.flat_map(expected).collect();
        prop_assert_eq!(found(&resources, &model), expected);
    }
}
