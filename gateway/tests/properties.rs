//! Properties of the model of Istio's own Gateways: it agrees with a slow and obvious implementation.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use gateway::documents::read;
use gateway::{Model, Resources};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// The namespace of the pods.
const HOME: &str = "istio-system";

const HOSTS: [&str; 8] = [
    "*",
    "*.com",
    "*.b.com",
    "a.com",
    "A.com",
    "x.b.com",
    "b.com",
    "y.x.b.com",
];

#[derive(Clone, Debug)]
struct Gateway {
    age: u8,
    servers: Vec<Vec<String>>,
}

#[derive(Clone, Debug)]
struct Routes {
    home: bool,
    exported: bool,
    hosts: Vec<&'static str>,
    gateways: Vec<usize>,
    /// The Gateway and the port that the only rule is for.
    only: Option<usize>,
    port: u16,
}

fn server_host() -> impl Strategy<Value = String> {
    let prefix = select(vec!["", "", "", "./", "*/", "shop/", "istio-system/"]);
    (prefix, select(HOSTS.to_vec())).prop_map(|(prefix, host)| format!("{prefix}{host}"))
}

fn gateway() -> impl Strategy<Value = Gateway> {
    (1..4_u8, vec(vec(server_host(), 1..3), 1..3))
        .prop_map(|(age, servers)| Gateway { age, servers })
}

fn routes() -> impl Strategy<Value = Routes> {
    let shared = (
        any::<bool>(),
        any::<bool>(),
        vec(select(HOSTS.to_vec()), 1..3),
    );
    let bound = (
        vec(0..4_usize, 1..3),
        proptest::option::of(0..4_usize),
        select(vec![0, 0, 443, 8443]),
    );
    (shared, bound).prop_map(|((home, exported, hosts), (gateways, only, port))| Routes {
        home,
        exported,
        hosts,
        gateways,
        only,
        port,
    })
}

fn model(gateways: &[Gateway], routes: &[Routes]) -> Model {
    let mut resources = Resources::default();
    let mut add = |value: &Value| {
        let faults = read("f", value.to_string(), &mut resources);
        assert!(faults.is_empty(), "{faults:?}");
    };
    for (at, gateway) in gateways.iter().enumerate() {
        let servers = gateway.servers.iter().enumerate().map(|(n, hosts)| {
            json!({
                "port": { "number": 443, "name": format!("s{n}"), "protocol": "HTTPS" },
                "hosts": hosts,
                "tls": { "mode": "SIMPLE" },
            })
        });
        add(&json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "Gateway",
            "metadata": {
                "name": format!("g{at}"),
                "namespace": HOME,
                "creationTimestamp": format!("2026-01-0{}T00:00:00Z", gateway.age),
            },
            "spec": {
                "selector": { "istio": "ingressgateway" },
                "servers": servers.collect::<Vec<_>>(),
            },
        }));
    }
    for (at, routes) in routes.iter().enumerate() {
        let name = |gateway: &usize| format!("{HOME}/g{gateway}");
        let mut condition = json!({ "port": routes.port });
        if let Some(only) = &routes.only {
            condition["gateways"] = json!([name(only)]);
        }
        add(&json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": { "name": format!("v{at}"), "namespace": namespace(routes) },
            "spec": {
                "hosts": routes.hosts,
                "gateways": routes.gateways.iter().map(name).collect::<Vec<_>>(),
                "exportTo": if routes.exported { json!(["*"]) } else { json!(["."]) },
                "http": [{ "match": [condition] }],
            },
        }));
    }
    Model::new(&resources)
}

fn namespace(routes: &Routes) -> &'static str {
    if routes.home { HOME } else { "shop" }
}

/// How well a pattern fits a name: not at all, as a wildcard of this length, or exactly.
fn rank(pattern: &str, name: &str) -> Option<usize> {
    match pattern.strip_prefix('*') {
        None => (pattern == name).then_some(usize::MAX),
        Some(rest) => (name.ends_with(rest) && name != rest).then_some(rest.len()),
    }
}

fn covers(wider: &str, host: &str) -> bool {
    wider == host
        || wider
            .strip_prefix('*')
            .is_some_and(|rest| host.strip_prefix('*').unwrap_or(host).ends_with(rest))
}

struct Chain {
    gateway: usize,
    /// With the namespace in front.
    hosts: Vec<(String, String)>,
    names: Vec<String>,
}

fn chains(gateways: &[Gateway]) -> Vec<Chain> {
    let mut order: Vec<usize> = (0..gateways.len()).collect();
    order.sort_by_key(|at| (gateways[*at].age, format!("g{at}")));
    let mut seen: Vec<(String, String)> = Vec::new();
    let mut chains = Vec::new();
    for gateway in order {
        for server in &gateways[gateway].servers {
            let mut hosts: Vec<(String, String)> = Vec::new();
            for text in server {
                let (namespace, host) = text.split_once('/').unwrap_or(("*", text));
                if namespace == "*" && host == "*" && text.contains('/') {
                    hosts = vec![("*".into(), "*".into())];
                    break;
                }
                let namespace = if namespace == "." { HOME } else { namespace };
                hosts.push((namespace.into(), host.into()));
            }
            if hosts.iter().any(|host| seen.contains(host)) {
                continue;
            }
            seen.extend(hosts.clone());
            let mut written: Vec<&str> = hosts.iter().map(|(_, host)| host.as_str()).collect();
            written.sort_unstable();
            written.dedup();
            let names = if written.contains(&"*") {
                vec!["*"]
            } else {
                written
            };
            let names = names.iter().map(|name| name.to_lowercase()).collect();
            chains.push(Chain {
                gateway,
                hosts,
                names,
            });
        }
    }
    chains
}

fn domains(chain: &Chain, routes: &[Routes]) -> Vec<String> {
    let mut domains = Vec::new();
    for routes in routes {
        let applies = routes.gateways.contains(&chain.gateway)
            && (routes.home || routes.exported)
            && routes.only.is_none_or(|only| only == chain.gateway)
            && (routes.port == 0 || routes.port == 443);
        for (own, host) in chain.hosts.iter().filter(|_| applies) {
            if own != "*" && own != namespace(routes) {
                continue;
            }
            for other in &routes.hosts {
                if covers(other, host) {
                    domains.push(host.to_lowercase());
                } else if covers(host, other) {
                    domains.push(other.to_lowercase());
                }
            }
        }
    }
    domains
}

/// What becomes of a request.
fn outcome(gateways: &[Gateway], routes: &[Routes], sni: &str, authority: &str) -> &'static str {
    let chains = chains(gateways);
    let mut names: Vec<&String> = chains.iter().flat_map(|chain| &chain.names).collect();
    names.sort_unstable();
    let is_rejected = names.windows(2).any(|pair| pair[0] == pair[1]);
    let ranked = chains.iter().filter_map(|chain| {
        let best = chain
            .names
            .iter()
            .filter_map(|name| rank(name, sni))
            .max()?;
        Some((best, chain))
    });
    let Some((_, chain)) = ranked
        .max_by_key(|(rank, _)| *rank)
        .filter(|_| !is_rejected)
    else {
        return "reset";
    };
    let fits = |domain: &String| rank(domain, authority).is_some();
    if domains(chain, routes).iter().any(fits) {
        "served"
    } else {
        "not_found"
    }
}

proptest! {
    #[test]
    fn outcomes_are_those_of_a_slow_restatement(
        gateways in vec(gateway(), 1..4),
        routes in vec(routes(), 0..5),
        sni in select(vec!["a.com", "b.com", "x.b.com", "y.x.b.com", "z.b.com", "c.net"]),
        authority in select(vec!["a.com", "b.com", "x.b.com", "y.x.b.com", "z.b.com", "c.net"]),
    ) {
        let model = model(&gateways, &routes);
        let listeners: Vec<_> = model.workloads.iter().flat_map(|w| &w.listeners).collect();
        prop_assert_eq!(listeners.len(), 1);
        let answer = listeners[0].answer(sni.as_bytes(), authority.as_bytes());
        prop_assert_eq!(answer.outcome.name(), outcome(&gateways, &routes, sni, authority));
    }

    #[test]
    fn nothing_panics_and_servers_are_always_valid(
        gateways in vec(gateway(), 0..4),
        routes in vec(routes(), 0..4),
    ) {
        for listener in model(&gateways, &routes).workloads.iter().flat_map(|w| &w.listeners) {
            let config = json!({ "servers": listener.overlapping_servers() });
            let document: rule::Document = serde_json::from_value(config).unwrap();
            prop_assert!(rule::Config::parse(&document).is_ok());
        }
    }
}
