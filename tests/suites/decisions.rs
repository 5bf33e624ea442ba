//! The decision table, three times: the rule, the module under a fake host, the module on Envoy.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};

use rule::{Config, Decision, Document, Host, Judgement, Policy};
use serde::Deserialize as _;
use serde_json::Value;
use tests::client::Response;
use tests::decisions::{Answer, Protocol, Request, Route, Row, rows};
use tests::envoy::{self, Chain, Envoy, Filter, Guard, GuardConfig, Listener, VirtualHost};
use tests::fake_host::{self, FakeHost};
use tests::module;
use tests::tools::envoy_versions;

#[test]
fn rule() {
    for row in rows().unwrap() {
        assert_eq!(decide(&row), row.answer, "{row}");
    }
}

fn decide(row: &Row) -> Answer {
    let document = Document::deserialize(&row.config).unwrap();
    let policy = Policy::from(Config::parse(&document));
    let sni = row.sni.as_deref().unwrap_or_default();
    let decision = match policy.config() {
        Err(pass) => Decision::Pass(pass),
        Ok(config) => match config.judge(sni.as_bytes(), row.authority.as_bytes()) {
            Judgement::Pass(pass) => Decision::Pass(pass),
            Judgement::Suspect(suspect) => config.settle(suspect, row.request.facts()),
        },
    };
    let (answer, status) = match decision {
        Decision::Pass(pass) => (Answer::Pass(pass.name().into()), None),
        Decision::Report(reason) => (Answer::Reported(reason.name().into()), None),
        Decision::Reject(reason) => (Answer::Misdirected(reason.name().into()), Some(421)),
    };
    assert_eq!(decision.status(), status, "{row}");
    answer
}

#[test]
fn module_under_a_fake_host() {
    let module = fake_host::Module::load(&module::build().unwrap()).unwrap();
    for row in rows().unwrap() {
        let mut host = FakeHost::start(&module, row.config.to_string().as_bytes()).unwrap();
        let outcome = host.request(&fake_facts(&row)).unwrap();
        check_fake(&row, &host, outcome.response.as_ref());
    }
}

fn fake_facts(row: &Row) -> fake_host::Facts {
    let mut facts = fake_host::Facts::default();
    let mut property = |path: &str, value: &str| {
        facts.properties.insert(path.into(), value.into());
    };
    if let Some(sni) = &row.sni {
        property("connection.requested_server_name", sni);
    }
    if row.request.tls {
        property("connection.tls_version", "TLSv1.3");
    }
    let protocol = match row.request.protocol {
        Protocol::H1 => "HTTP/1.1",
        Protocol::H2 => "HTTP/2",
        Protocol::H3 => "HTTP/3",
    };
    property("request.protocol", protocol);
    match row.request.route {
        Route::Matched => {
            property("xds.route_name", "");
            property("xds.virtual_host_name", "some host");
        }
        Route::NoPath => property("xds.virtual_host_name", "some host"),
        Route::Blackhole => property("xds.virtual_host_name", "blackhole:443"),
        Route::Unmatched => {}
    }
    let mut header = |name: &str, value: &str| {
        facts.headers.insert(name.into(), value.into());
    };
    header(":authority", &row.authority);
    header(":method", &row.request.method);
    if let Some(content_type) = &row.request.content_type {
        header("content-type", content_type);
    }
    facts
}

#[track_caller]
fn check_fake(row: &Row, host: &FakeHost, response: Option<&fake_host::LocalResponse>) {
    match (&row.answer, response) {
        (Answer::Pass(_) | Answer::Reported(_), None) => {}
        (Answer::Misdirected(reason), Some(response)) => {
            assert_eq!(response.status, 421, "{row}");
            assert_eq!(response.details, format!("sni_guard_{reason}"), "{row}");
            assert_eq!(response.grpc_status, -1, "{row}");
            let mut headers = vec![
                (
                    "content-type".to_owned(),
                    "text/plain; charset=utf-8".to_owned(),
                ),
                ("cache-control".to_owned(), "no-store".to_owned()),
            ];
            if row.request.protocol == Protocol::H1 {
                headers.push(("connection".to_owned(), "close".to_owned()));
            }
            assert_eq!(response.headers, headers, "{row}");
            assert!(
                !response.body.contains("test.com"),
                "{row}: {}",
                response.body
            );
        }
        (expected, response) => panic!("{row}: expected {expected}, got {response:?}"),
    }
    let metric = row.metric(row.request.route == Route::Matched);
    let counted = metric.as_ref().map(|metric| host.metric(metric));
    assert_eq!(counted.unwrap_or(Some(1)), Some(1), "{row}");
    assert_eq!(host.counted(), i64::from(metric.is_some()), "{row}");
    let invalid = row.answer == Answer::Pass("invalid_config".into());
    assert_eq!(
        host.metric("sni_guard.config_invalid"),
        Some(i64::from(invalid)),
        "{row}"
    );
}

/// Every row on the oldest and the newest Envoy, with the filter and without: a pass is whatever
/// Envoy answers by itself.
#[test]
fn module_on_envoy() {
    let module = module::build().unwrap();
    let rows = rows().unwrap();
    let mut listeners = BTreeMap::new();
    for row in &rows {
        for guarded in [false, true] {
            let name = listener_name(row, guarded);
            let guard = guarded.then(|| Guard {
                module: module.clone(),
                config: GuardConfig::Inline(Some(row.config.clone())),
            });
            listeners
                .entry(name.clone())
                .or_insert_with(|| listener(row, name, guard));
        }
    }
    let listeners: Vec<Listener> = listeners.into_values().collect();
    for version in envoy_versions() {
        let envoy = Envoy::start_version(&version, &listeners).unwrap();
        for row in &rows {
            check_envoy(&envoy, row);
        }
    }
}

#[track_caller]
fn check_envoy(envoy: &Envoy, row: &Row) {
    let address = |guarded| envoy.listener(&listener_name(row, guarded)).unwrap();
    let plain = row.send(address(false));
    let before = envoy.metrics().unwrap();
    let guarded = row.send(address(true));
    let after = envoy.metrics().unwrap();
    match (&plain, &guarded, &row.answer) {
        // Envoy resets what it cannot read, before the filter sees it.
        (Err(_), Err(_), Answer::Pass(reason)) => assert_eq!(reason, "unparsable", "{row}"),
        (Ok(_), Ok(guarded), Answer::Misdirected(_)) => check_reply(row, guarded),
        (Ok(plain), Ok(guarded), _) => {
            assert_eq!(
                (guarded.status, &guarded.body),
                (plain.status, &plain.body),
                "{row}"
            );
        }
        _ => panic!("{row}: {plain:?} without the filter, {guarded:?} with it"),
    }
    // To gRPC, Envoy says everything with a 200.
    let routed = |plain: &Response| plain.status == 200 && plain.header("grpc-status").is_empty();
    let expected = match &plain {
        Ok(plain) if plain.status != 400 => row.metric(routed(plain)),
        _ => None,
    };
    let counted: BTreeSet<&String> = after
        .iter()
        .filter(|(name, value)| before.get(*name).copied().unwrap_or_default() != **value)
        .map(|(name, _)| name)
        .filter(|name| !name.ends_with("config_invalid"))
        .collect();
    assert_eq!(
        counted,
        expected.iter().collect(),
        "{row}: answered {guarded:?}"
    );
}

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
    if row.request.method == "HEAD" {
        assert_eq!(body, "", "{row}");
    } else {
        assert!(
            body.starts_with("421 Misdirected Request\n"),
            "{row}: {body}"
        );
        assert!(!body.contains(&row.authority), "{row}: {body}");
    }
}

/// Rows with the same configuration and the same routes share a listener.
fn listener_name(row: &Row, guarded: bool) -> String {
    let config: String = row.config.to_string().chars().take(1_000).collect();
    let (tls, routes) = (row.request.tls, virtual_hosts(row));
    let quic = row.request.protocol == Protocol::H3;
    format!("{guarded} {tls} {quic} {config} {routes:?}")
}

fn listener(row: &Row, name: String, guard: Option<Guard>) -> Listener {
    let rest = Chain {
        server_names: vec!["*".into()],
        virtual_hosts: virtual_hosts(row),
    };
    let servers = row.config.get("servers").and_then(Value::as_object);
    let mut chains: Vec<Chain> = servers
        .into_iter()
        .flatten()
        .map(|(_, hosts)| server(hosts))
        .collect();
    // Thousands of chains would test Envoy, and not the filter.
    chains.truncate(10);
    chains.retain(|chain| !chain.server_names.is_empty());
    if !chains
        .iter()
        .any(|chain| chain.server_names.iter().any(|name| name == "*"))
    {
        chains.push(rest);
    }
    let transport = match row.request {
        Request {
            protocol: Protocol::H3,
            ..
        } => envoy::Transport::Quic,
        Request { tls: true, .. } => envoy::Transport::Tls,
        Request { tls: false, .. } => envoy::Transport::Plaintext,
    };
    Listener {
        name,
        transport,
        chains,
        filter: guard.map(Filter::Guard),
    }
}

fn server(hosts: &Value) -> Chain {
    let hosts = hosts
        .as_array()
        .unwrap()
        .iter()
        .map(|host| host.as_str().unwrap());
    let names: Vec<String> = hosts
        .map(|host| host.rsplit('/').next().unwrap_or_default())
        .map(|host| host.trim_end_matches('.').to_lowercase())
        .filter(|host| !host.contains("*foo"))
        .collect();
    Chain {
        virtual_hosts: names.iter().map(|name| VirtualHost::of(name)).collect(),
        server_names: names,
    }
}

/// The route table of the chain that takes every SNI.
fn virtual_hosts(row: &Row) -> Vec<VirtualHost> {
    match row.request.route {
        Route::Blackhole => vec![VirtualHost::blackhole()],
        Route::Unmatched => vec![VirtualHost::of("unrelated.invalid")],
        Route::Matched | Route::NoPath => {
            let host = Host::from_authority(row.authority.as_bytes()).unwrap();
            let prefix = if row.request.route == Route::NoPath {
                "/elsewhere"
            } else {
                "/"
            };
            vec![VirtualHost {
                prefix: Some(prefix.into()),
                ..VirtualHost::of(&host.to_string())
            }]
        }
    }
}
