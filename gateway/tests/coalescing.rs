//! SG101 to SG103, compared with their definition: every pair of hosts, each asked on its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::OnceLock;

use gateway::documents::read;
use gateway::findings::{self, Code, Input};
use gateway::listener::{ChainKind, Listener};
use gateway::resources::istio::TlsMode;
use gateway::{Answer, Certificates, Credential, FilterChain, Model, Outcome, Resources};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

/// The hosts of servers and routes.
const HOSTS: [&str; 8] = [
    "a.example.com",
    "b.example.com",
    "x.b.example.com",
    "*.b.example.com",
    "example.com",
    "*.example.com",
    "c.test",
    "*",
];

/// The names of the certificates, each with the credential that has it. The last is not in the input.
const CERTIFICATES: [(&str, &[&str]); 7] = [
    ("wildcard", &["*.example.com"]),
    ("both", &["example.com", "*.example.com"]),
    ("copy", &["*.example.com"]),
    ("a", &["a.example.com"]),
    ("several", &["a.example.com", "b.example.com", "c.test"]),
    ("deep", &["x.b.example.com", "*.b.example.com"]),
    ("unknown", &[]),
];

fn secrets() -> &'static str {
    static SECRETS: OnceLock<String> = OnceLock::new();
    SECRETS.get_or_init(|| {
        CERTIFICATES
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(name, names)| secret(name, names))
            .collect()
    })
}

/// A Secret with a new certificate for these names.
fn secret(name: &str, names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names)
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "namespace": "istio-system" },
        "stringData": { "tls.crt": certificate.pem(), "tls.key": key.serialize_pem() },
    });
    format!("---\n{secret}\n")
}

#[derive(Clone, Debug)]
struct Server {
    hosts: Vec<&'static str>,
    mode: &'static str,
    credential: &'static str,
}

#[derive(Clone, Debug)]
struct Routes {
    hosts: Vec<&'static str>,
    gateways: Vec<usize>,
}

fn servers() -> impl Strategy<Value = Vec<Server>> {
    let hosts = subsequence(&HOSTS[..], 1..=2);
    let modes = select(vec![
        "SIMPLE",
        "SIMPLE",
        "SIMPLE",
        "MUTUAL",
        "PASSTHROUGH",
        "ISTIO_MUTUAL",
    ]);
    let credentials = select(&CERTIFICATES[..]);
    let server = (hosts, modes, credentials).prop_map(|(hosts, mode, (credential, _))| Server {
        hosts,
        mode,
        credential,
    });
    proptest::collection::vec(server, 2..=4)
}

fn routes() -> impl Strategy<Value = Vec<Routes>> {
    let gateways = subsequence(vec![0, 1, 2, 3], 1..=3);
    let routes = (subsequence(&HOSTS[..], 1..=3), gateways)
        .prop_map(|(hosts, gateways)| Routes { hosts, gateways });
    proptest::collection::vec(routes, 1..=4)
}

fn text(servers: &[Server], routes: &[Routes]) -> String {
    let mut text = secrets().to_owned();
    for (
        n,
        Server {
            hosts,
            mode,
            credential,
        },
    ) in servers.iter().enumerate()
    {
        let protocol = if *mode == "PASSTHROUGH" {
            "TLS"
        } else {
            "HTTPS"
        };
        writeln!(
            text,
            "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: g{n}, namespace: \
             istio-system}}\nspec:\n  selector: {{istio: ingressgateway}}\n  servers:\n  - hosts: \
             {hosts:?}\n    port: {{number: 443, name: p{n}, protocol: {protocol}}}\n    tls: {{mode: \
             {mode}, credentialName: {credential}}}"
        )
        .unwrap();
    }
    for (n, Routes { hosts, gateways }) in routes.iter().enumerate() {
        let gateways: Vec<String> = gateways.iter().map(|n| format!("g{n}")).collect();
        writeln!(
            text,
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v{n}, \
             namespace: istio-system}}\nspec:\n  hosts: {hosts:?}\n  gateways: {gateways:?}\n  http: \
             [{{route: []}}]\n  tls: [{{match: [{{sniHosts: {hosts:?}}}], route: [{{}}]}}]"
        )
        .unwrap();
    }
    text
}

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
    });
    let codes = [
        Code::CoalesceNotFound,
        Code::CoalesceWrongRoute,
        Code::CoalesceTlsPolicy,
    ];
    let findings = report
        .findings
        .into_iter()
        .filter(|finding| codes.contains(&finding.code));
    findings
        .map(|found| (found.code, found.connection.unwrap(), found.owner.unwrap()))
        .collect()
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
