//! `manifests/lua`: the rule `exact` for gateways that cannot load an image, on Envoy, as operators
//! apply it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;

use rule::{Config, Document};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tests::client::{Response, get};
use tests::decisions::{Answer, Method, Origin, Protocol, Request, Row, rows};
use tests::envoy::{Chain, Envoy, Filter, Launch, Listener, Transport, VirtualHost};
use tests::tools::{checkout, envoy_versions};

const BODY: &str = "421 Misdirected Request\n\
    This connection belongs to another server. Repeat the request on a new connection.\n";

/// The filter that the resource inserts.
fn filter() -> Value {
    let resource = checkout().join("manifests/lua/envoyfilter.yaml");
    let resource: Value = serde_saphyr::from_str(&fs::read_to_string(resource).unwrap()).unwrap();
    resource
        .pointer("/spec/configPatches/0/patch/value")
        .unwrap()
        .clone()
}

/// A chain for every SNI, with routes for some authorities.
fn listener(name: &str, transport: Transport, filter: Option<Value>) -> Listener {
    let hosts = ["service1.test.com", "service2.test.com", "example.com"];
    let virtual_hosts = hosts.map(VirtualHost::of).into();
    let chains = vec![Chain {
        server_names: vec!["*".into()],
        virtual_hosts,
    }];
    Listener {
        name: name.into(),
        transport,
        chains,
        filters: filter.map(Filter::Inserted).into_iter().collect(),
    }
}

fn listeners(filter: &Value) -> Vec<Listener> {
    [Transport::Plaintext, Transport::Tls, Transport::Quic]
        .into_iter()
        .flat_map(|transport| {
            [
                listener(&format!("plain {transport:?}"), transport, None),
                listener(
                    &format!("guarded {transport:?}"),
                    transport,
                    Some(filter.clone()),
                ),
            ]
        })
        .collect()
}

/// Every request of the table, whatever its rule, answered by the rule `exact`. On the oldest and the
/// newest Envoy.
#[test]
fn the_script_answers_as_the_rule() {
    let exact = Document::deserialize(json!({ "rule": "exact" })).unwrap();
    let exact = Config::parse(&exact).unwrap();
    let rows = rows_of_clients();
    let listeners = listeners(&filter());
    for version in envoy_versions() {
        let launch = Launch {
            version: &version,
            ..Launch::default()
        };
        let envoy = Envoy::start_as(&launch, &listeners).unwrap();
        for row in &rows {
            check(&envoy, row, decide(&exact, row));
        }
    }
}

fn decide(config: &Config, row: &Row) -> bool {
    let Ok(decision) = config.decide(row.gateway, &row.facts());
    decision.status().is_some()
}

/// The rows whose authority the client wrote. The listeners here have no other.
fn rows_of_clients() -> Vec<Row> {
    rows()
        .unwrap()
        .into_iter()
        .filter(|row| row.request.origin == Origin::Client)
        .collect()
}

/// The configurations of the rule `exact` that the script cannot have, and whether it answers 421.
const DIFFERENCES: [(&str, bool); 4] = [
    // Its switch knows no wildcards.
    (r#"{"hosts":{"*":"off"},"rule":"exact"}"#, true),
    // It has no configuration that could be invalid, and passes connections without SNI anyway.
    (r#"{"missingSni":false,"rule":"exact"}"#, false),
    // For want of a configuration the request does not pass.
    (r#"{"rule":"exact","servers":{"x":["*foo.com"]}}"#, true),
    // It trusts no server name.
    (r#"{"rule":"exact","trustedSni":["*.cdn.net"]}"#, true),
];

/// The rows of the rule `exact`, as they are in the table.
#[test]
fn only_settings_that_the_script_lacks_make_a_difference() {
    let envoy = Envoy::start(&listeners(&filter())).unwrap();
    let (mut same, mut different) = (0, Vec::new());
    for row in rows_of_clients() {
        if row.config.get("rule") != Some(&json!("exact")) {
            continue;
        }
        let config = row.config.to_string();
        let difference = DIFFERENCES.iter().find(|(known, _)| *known == config);
        if let Some((_, misdirected)) = difference {
            check(&envoy, &row, *misdirected);
            different.push(config);
        } else {
            check(&envoy, &row, matches!(row.answer, Answer::Misdirected(_)));
            same += 1;
        }
    }
    different.sort();
    different.dedup();
    assert_eq!(different, DIFFERENCES.map(|(config, _)| config));
    assert!(same > 10, "{same} rows");
}

/// The host that the comment in the script has for an example.
#[test]
fn a_host_is_switched_off_in_the_script() {
    let (empty, example) = ("local off = {}", r#"{ ["b.example.com"] = true }"#);
    let filter = filter().to_string();
    assert_eq!(filter.matches(empty).count(), 1);
    assert!(filter.contains(&example.replace('"', r#"\""#)), "{filter}");
    let off = format!("local off = {example}").replace('"', r#"\""#);
    let filter: Value = serde_json::from_str(&filter.replace(empty, &off)).unwrap();
    let envoy = Envoy::start(&listeners(&filter)).unwrap();
    let address = envoy.listener("guarded Tls").unwrap();
    let status = |authority| get(address, "service1.test.com", authority).unwrap().status;
    assert_eq!(
        (status("B.example.com.:443"), status("c.example.com")),
        (404, 421)
    );
}

#[track_caller]
fn check(envoy: &Envoy, row: &Row, misdirected: bool) {
    let transport = match row.request {
        Request {
            protocol: Protocol::H3,
            ..
        } => Transport::Quic,
        Request { tls: true, .. } => Transport::Tls,
        Request { tls: false, .. } => Transport::Plaintext,
    };
    let send = |name: &str| row.send(envoy.listener(&format!("{name} {transport:?}")).unwrap());
    match (send("plain"), send("guarded")) {
        // Envoy resets what it cannot read, before the filter sees it.
        (Err(_), Err(_)) => {}
        (Ok(plain), Ok(guarded)) if plain.status == 400 => assert_eq!(guarded.status, 400, "{row}"),
        (Ok(_), Ok(guarded)) if misdirected => check_reply(row, &guarded),
        (Ok(plain), Ok(guarded)) => {
            // To gRPC, Envoy answers everything with a 200 and a message.
            assert_eq!(
                guarded.header("grpc-message"),
                plain.header("grpc-message"),
                "{row}"
            );
            assert_eq!(
                (guarded.status, guarded.body),
                (plain.status, plain.body),
                "{row}"
            );
        }
        (plain, guarded) => panic!("{row}: {plain:?} without the script, {guarded:?} with it"),
    }
}

/// The reply is the module's.
#[track_caller]
fn check_reply(row: &Row, response: &Response) {
    assert_eq!(response.status, 421, "{row}");
    assert_eq!(
        response.header("content-type"),
        "text/plain; charset=utf-8",
        "{row}"
    );
    assert_eq!(response.header("cache-control"), "no-store", "{row}");
    let body = String::from_utf8_lossy(&response.body);
    let expected = if row.request.method == Method::Head {
        ""
    } else {
        BODY
    };
    assert_eq!(body, expected, "{row}");
}
