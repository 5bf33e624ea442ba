//! The decision table on the module: under a fake host, and on Envoy. The tests of `rule` run it on the
//! rule itself.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use rule::{Gateway, Host};
use serde_json::Value;
use tests::backend;
use tests::client::Response;
use tests::decisions::{Answer, Method, Origin, Protocol, Route, Row, rows};
use tests::envoy::{self, Chain, Envoy, Filter, Guard, GuardConfig, Launch, Listener, VirtualHost};
use tests::fake_host::{self, FakeHost};
use tests::module;
use tests::tools::envoy_versions;

#[test]
fn module_under_a_fake_host() {
    let module = fake_host::Module::load(&module::build().unwrap()).unwrap();
    for row in rows().unwrap() {
        let config = row.config.to_string();
        let mut host = FakeHost::start_on(&module, row.gateway, config.as_bytes()).unwrap();
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
    if row.request.origin == Origin::Redirect {
        property("filter_state.num_internal_redirects", "1");
    }
    let protocol = match row.request.protocol {
        Protocol::H1 => "HTTP/1.1",
        Protocol::H2 => "HTTP/2",
        Protocol::H3 => "HTTP/3",
    };
    property("request.protocol", protocol);
    if row.request.is_routed() {
        property("xds.route_name", "");
    }
    match row.request.route {
        _ if row.request.origin == Origin::Filter => {}
        Route::Unmatched => {}
        Route::Blackhole => property("xds.virtual_host_name", "blackhole:443"),
        Route::Matched | Route::NoPath | Route::Domain(_) | Route::Shared => {
            property("xds.virtual_host_name", "some host");
        }
    }
    let mut header = |name: &str, value: &str| {
        facts.headers.insert(name.into(), value.into());
    };
    header(":authority", &row.authority);
    header(":method", method(row));
    if let Some(content_type) = &row.request.content_type {
        header("content-type", content_type);
    }
    facts
}

/// The method as filters see it.
fn method(row: &Row) -> &'static str {
    match row.request.method {
        Method::Get | Method::WebSocket => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Connect => "CONNECT",
    }
}

fn is_grpc(row: &Row) -> bool {
    row.facts().grpc
}

#[track_caller]
fn check_fake(row: &Row, host: &FakeHost, response: Option<&fake_host::LocalResponse>) {
    match (&row.answer, response) {
        (Answer::Pass(_) | Answer::Reported(_), None) => {}
        (Answer::Misdirected(reason), Some(response)) => {
            assert_eq!(response.status, 421, "{row}");
            assert_eq!(response.details, format!("sni_guard_{reason}"), "{row}");
            let grpc_status = if is_grpc(row) { 14 } else { -1 };
            assert_eq!(response.grpc_status, grpc_status, "{row}");
            let headers = [
                ("content-type", "text/plain; charset=utf-8"),
                ("cache-control", "no-store"),
            ];
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(response.headers, headers, "{row}");
            assert!(
                !response.body.contains("test.com"),
                "{row}: {}",
                response.body
            );
        }
        (expected, response) => panic!("{row}: expected {expected}, got {response:?}"),
    }
    let metric = row.metric();
    let counted = metric.as_ref().map(|metric| host.metric(metric));
    assert_eq!(counted.unwrap_or(Some(1)), Some(1), "{row}");
    assert_eq!(host.counted(), i64::from(metric.is_some()), "{row}");
    let invalid = row.answer == Answer::Pass("invalid_config".into());
    assert_eq!(
        host.metric("sni_guard.config_invalid"),
        Some(i64::from(invalid)),
        "{row}"
    );
    let reported = match &row.answer {
        Answer::Reported(reason) => Some(reason.as_str()),
        Answer::Pass(_) | Answer::Misdirected(_) => None,
    };
    assert_eq!(host.property("sni_guard_reported"), reported, "{row}");
}

#[test]
fn module_on_gateways_of_istiod() {
    check_on_envoy(Gateway::Istio);
}

#[test]
fn module_on_other_envoys() {
    check_on_envoy(Gateway::Other);
}

/// Every row of a gateway on the oldest and the newest Envoy, with the filter and without: a pass is
/// whatever Envoy answers by itself.
#[track_caller]
fn check_on_envoy(gateway: Gateway) {
    let module = module::build().unwrap();
    let backend = backend::start().unwrap();
    let mut rows = rows().unwrap();
    rows.retain(|row| row.gateway == gateway);
    let mut listeners = BTreeMap::new();
    for row in &rows {
        for guarded in [false, true] {
            let guard = guarded.then(|| Guard {
                module: module.clone(),
                config: GuardConfig::Inline(Some(row.config.clone())),
            });
            listeners
                .entry(listener_name(row, guarded))
                .or_insert_with_key(|name| listener(row, name.clone(), guard, backend));
        }
    }
    let listeners: Vec<Listener> = listeners.into_values().collect();
    for version in envoy_versions() {
        let launch = Launch {
            version: &version,
            gateway,
            ..Launch::default()
        };
        let envoy = Envoy::start_as(&launch, &listeners).unwrap();
        let mut metrics = envoy.metrics().unwrap();
        for row in &rows {
            metrics = check_envoy(&envoy, row, &metrics);
        }
    }
}

type Metrics = BTreeMap<String, u64>;

/// Checks a row, and returns the metrics after it.
#[track_caller]
fn check_envoy(envoy: &Envoy, row: &Row, before: &Metrics) -> Metrics {
    let address = |guarded| envoy.listener(&listener_name(row, guarded)).unwrap();
    let (plain, guarded) = (row.send(address(false)), row.send(address(true)));
    let after = envoy.metrics().unwrap();
    let (plain, guarded) = match (plain, guarded) {
        (Ok(plain), Ok(guarded)) => (plain, guarded),
        // Some versions of Envoy refuse some authorities, before the filter sees them.
        (Err(_), Err(_)) if has_odd_authority(row) => return after,
        (plain, guarded) => panic!("{row}: {plain:?} without the filter, {guarded:?} with it"),
    };
    if plain.status == 400 && guarded.status == 400 && has_odd_authority(row) {
        return after;
    }
    check_routing(row, &plain);
    if matches!(row.answer, Answer::Misdirected(_)) {
        check_reply(row, &guarded);
    } else {
        assert_eq!(
            (guarded.status, &guarded.body),
            (plain.status, &plain.body),
            "{row}"
        );
    }
    let counted: BTreeSet<&String> = after
        .iter()
        .filter(|(name, value)| before.get(*name).copied().unwrap_or_default() != **value)
        .map(|(name, _)| name)
        .filter(|name| !name.ends_with("config_invalid"))
        .collect();
    let expected = row.metric();
    assert_eq!(
        counted,
        expected.iter().collect(),
        "{row}: answered {guarded:?}"
    );
    after
}

/// Whether an authority has characters that no client sends in one.
fn has_odd_authority(row: &Row) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b".-:_[]".contains(&byte);
    let port = row.authority.rsplit_once(':').map_or("", |(_, port)| port);
    let has_odd_port = !port
        .trim_end_matches(']')
        .bytes()
        .all(|byte| byte.is_ascii_digit());
    has_odd_port
        || !row.authority.bytes().all(is_usual)
        || row.authority.starts_with('.')
        || row.authority.contains("..")
        || row.authority.matches(['[', ']']).count() == 1
}

/// The row says what Envoy has for the authority, and without the filter that is what it answers.
#[track_caller]
fn check_routing(row: &Row, plain: &Response) {
    let is_tunnel = matches!(row.request.method, Method::Connect | Method::WebSocket);
    if is_tunnel {
        return;
    }
    // To gRPC, Envoy answers everything with a 200: a direct response has the gRPC status UNKNOWN, a
    // missing route UNIMPLEMENTED.
    let is_found = plain.status == 200 && matches!(plain.header("grpc-status"), "" | "2");
    assert_eq!(is_found, row.request.is_found(), "{row}: {plain:?}");
}

#[track_caller]
fn check_reply(row: &Row, response: &Response) {
    if is_grpc(row) {
        assert_eq!(response.header("grpc-status"), "14", "{row}");
        return;
    }
    assert_eq!(response.status, 421, "{row}");
    assert_eq!(
        response.header("content-type"),
        "text/plain; charset=utf-8",
        "{row}"
    );
    assert_eq!(response.header("cache-control"), "no-store", "{row}");
    let body = String::from_utf8_lossy(&response.body);
    if row.request.method == Method::Head {
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
    let (tls, routes) = (row.request.tls, virtual_hosts(row, None));
    let quic = row.request.protocol == Protocol::H3;
    let rewritten = rewrite(row).is_some();
    format!("{guarded} {tls} {quic} {rewritten} {config} {routes:?}")
}

fn listener(row: &Row, name: String, guard: Option<Guard>, backend: SocketAddr) -> Listener {
    let table = virtual_hosts(row, Some(backend));
    let mut chains: Vec<Chain> = servers(row)
        .into_iter()
        .map(|server_names| Chain {
            server_names,
            virtual_hosts: table.clone(),
        })
        .collect();
    // Thousands of chains would test Envoy, and not the filter.
    chains.truncate(10);
    let has_default = chains
        .iter()
        .any(|chain| chain.server_names.iter().any(|name| name == "*"));
    if !has_default {
        chains.push(Chain {
            server_names: vec!["*".into()],
            virtual_hosts: table,
        });
    }
    let transport = match (row.request.protocol, row.request.tls) {
        (Protocol::H3, _) => envoy::Transport::Quic,
        (Protocol::H1 | Protocol::H2, true) => envoy::Transport::Tls,
        (Protocol::H1 | Protocol::H2, false) => envoy::Transport::Plaintext,
    };
    Listener {
        name,
        transport,
        chains,
        filters: rewrite(row)
            .into_iter()
            .chain(guard.map(Filter::Guard))
            .collect(),
    }
}

/// A filter that writes the authority, for rows with such a one.
fn rewrite(row: &Row) -> Option<Filter> {
    let authority = &row.authority;
    let script = format!(
        "function envoy_on_request(handle)
           handle:headers():replace(\":authority\", \"{authority}\")
           handle:clearRouteCache()
         end"
    );
    (row.request.origin == Origin::Filter).then_some(Filter::Lua(script))
}

/// The hosts of the servers of the configuration, as Envoy takes them.
fn servers(row: &Row) -> Vec<Vec<String>> {
    let Some(Value::Object(servers)) = row.config.get("servers") else {
        return vec![];
    };
    servers
        .values()
        .map(|hosts| {
            let hosts = hosts.as_array().into_iter().flatten();
            hosts
                .filter_map(Value::as_str)
                .map(|host| host.rsplit('/').next().unwrap_or_default())
                .map(|host| host.trim_end_matches('.').to_lowercase())
                .filter(|host| !host.contains("*foo"))
                .collect()
        })
        .filter(|hosts: &Vec<String>| !hosts.is_empty())
        .collect()
}

/// The route table of every chain.
fn virtual_hosts(row: &Row, backend: Option<SocketAddr>) -> Vec<VirtualHost> {
    let host = Host::from_authority(row.authority.as_bytes()).to_string();
    let mut table = match &row.request.route {
        Route::Blackhole => vec![VirtualHost::blackhole()],
        Route::Unmatched => vec![VirtualHost::of("unrelated.invalid")],
        Route::Matched => vec![VirtualHost::of(&host)],
        Route::NoPath => vec![VirtualHost {
            prefix: Some("/elsewhere".into()),
            ..VirtualHost::of(&host)
        }],
        Route::Domain(domain) => vec![VirtualHost::of(domain)],
        Route::Shared => servers(row)
            .into_iter()
            .flatten()
            .map(|host| VirtualHost::of(&host))
            .collect(),
    };
    if row.request.origin == Origin::Redirect {
        table.push(VirtualHost {
            backend,
            follows_redirects: true,
            ..VirtualHost::of(row.sni.as_deref().unwrap_or_default())
        });
    }
    table
}

/// Which of the odd authorities of the table reach Envoy's routes depends on its version. The newest
/// takes them, so that the table does test them.
#[test]
fn envoy_routes_odd_authorities() {
    let listener = Listener::with_servers("plain", &["a.example.com"], None);
    let envoy = Envoy::start(&[listener]).unwrap();
    let address = envoy.listener("plain").unwrap();
    for authority in ["a.example.com:x", "A.example.com:443x", "a.example.com:-1"] {
        let mut connection = tests::raw::RawConnection::open(
            address,
            Some("a.example.com"),
            tests::raw::Version::Http2,
            None,
        )
        .unwrap();
        let response = connection.get_h2(authority.as_bytes(), &[]).unwrap();
        assert_eq!(response.unwrap().status, 200, "{authority}");
    }
}
