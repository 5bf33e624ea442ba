//! What a request costs, as the calls that the module makes for it and the work that it does, and
//! what becomes of it when Envoy refuses a call.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::fake_host::{Call, Facts, FakeHost, Module, NOT_FOUND, Outcome, Refusals};
use tests::module;

const SNI: &str = "connection.requested_server_name";
const ROUTE: &str = "xds.route_name";

fn built() -> Module {
    Module::load(&module::build().unwrap()).unwrap()
}

/// Servers with one host each, one of which are a.example.com and b.example.com.
fn servers(count: usize) -> Value {
    let mut servers: BTreeMap<String, Vec<String>> = (2..count)
        .map(|n| (format!("server-{n}"), vec![format!("host-{n}.example.net")]))
        .collect();
    servers.insert("a".into(), vec!["a.example.com".into()]);
    servers.insert("b".into(), vec!["b.example.com".into()]);
    json!(servers)
}

/// A GET over HTTP/2; without a route, `None`, the gateway would answer 404.
fn request(sni: &str, authority: &str, route: Option<&str>) -> Facts {
    let mut facts = Facts::default();
    let mut property = |name: &str, value: &str| {
        facts.properties.insert(name.into(), value.into());
    };
    property(SNI, sni);
    property("request.protocol", "HTTP/2");
    if let Some(route) = route {
        property(ROUTE, route);
        property("xds.virtual_host_name", "host");
    }
    facts.headers.insert(":authority".into(), authority.into());
    facts.headers.insert(":method".into(), "GET".into());
    facts
}

/// The third of three equal requests: the first ones make the module's tables grow.
fn settled(module: &Module, config: &Value, facts: &Facts) -> Outcome {
    let mut host = FakeHost::start(module, config.to_string().as_bytes()).unwrap();
    host.request(facts).unwrap();
    host.request(facts).unwrap();
    host.request(facts).unwrap()
}

#[track_caller]
fn check_calls(config: &Value, facts: &Facts, expected: &[(&str, bool)]) {
    let expected: Vec<Call> = expected
        .iter()
        .map(|(name, data)| Call {
            name: (*name).into(),
            data: *data,
        })
        .collect();
    assert_eq!(settled(&built(), config, facts).calls, expected, "{config}");
}

#[test]
fn calls_of_a_request() {
    let disjoint = json!({ "servers": servers(5) });
    let overlapping = json!({ "servers": { "a": ["a.example.com"], "rest": ["*.example.com"] } });
    let fast = request("a.example.com", "a.example.com", Some(""));
    check_calls(&disjoint, &fast, &[(ROUTE, false)]);
    check_calls(&json!({}), &fast, &[(ROUTE, false)]);
    // A named route cannot be told from an unnamed one without its name.
    let named = request("a.example.com", "a.example.com", Some("shop.route.0"));
    check_calls(&disjoint, &named, &[(ROUTE, true)]);

    let full = [(SNI, true), (":authority", true)];
    check_calls(&overlapping, &fast, &full);
    check_calls(&json!({ "rule": "exact" }), &fast, &full);
    let reused = request("b.example.com", "c.example.com", Some(""));
    let counted = ("proxy_increment_metric sni_guard.passed.same_server", false);
    check_calls(&overlapping, &reused, &[full[0], full[1], counted]);

    check_calls(&json!({ "nonsense": 1 }), &fast, &[]);
}

#[test]
fn calls_of_a_misdirected_request() {
    let config = json!({ "servers": servers(5) });
    let facts = request("a.example.com", "b.example.com", None);
    let looked_at = [
        (ROUTE, false),
        (SNI, true),
        (":authority", true),
        ("request.protocol", true),
        (":method", true),
        ("content-type", false),
    ];
    let answered = [
        ("proxy_send_local_response", false),
        (
            "proxy_increment_metric sni_guard.enforced.other_server",
            false,
        ),
        ("proxy_get_current_time_nanoseconds", false),
    ];
    check_calls(&config, &facts, &[looked_at.as_slice(), &answered].concat());
}

/// Five thousand servers cost what five cost, on every path.
#[test]
fn work_does_not_grow_with_the_servers() {
    let module = built();
    for (sni, authority, route) in [
        ("a.example.com", "a.example.com", Some("")),
        ("a.example.com", "a.example.com", None),
        ("a.example.com", "b.example.com", None),
    ] {
        let facts = request(sni, authority, route);
        let fuel = |count| settled(&module, &json!({ "servers": servers(count) }), &facts).fuel;
        let (few, many) = (fuel(5), fuel(5_000));
        assert!(
            many <= few + few / 50,
            "{sni} {authority}: {few} and {many}"
        );
    }
}

/// What the module itself does for a request, in wasmi's units: 1,314, 3,075 and 6,015 when
/// this was written.
#[test]
fn work_of_a_request() {
    let module = built();
    let facts = request("a.example.com", "a.example.com", Some(""));
    let fast = settled(&module, &json!({ "servers": servers(5) }), &facts).fuel;
    let full = settled(&module, &json!({ "rule": "exact" }), &facts).fuel;
    let wildcard = json!({ "servers": { "x": ["*.example.com"], "y": ["a.x.example.com"] } });
    let reused = request("a.example.com", "b.example.com", Some(""));
    let reuse = settled(&module, &wildcard, &reused).fuel;
    assert!(
        fast <= 1_500 && full <= 3_500 && reuse <= 6_500,
        "{fast} on the fast path, {full} on the full path, {reuse} for reuse under a wildcard"
    );
}

#[test]
fn warnings_are_rare_and_say_how_many_were_kept_back() {
    let config = json!({ "servers": servers(5) }).to_string();
    let facts = request("a.example.com", "b.example.com", None);
    let mut host = FakeHost::start(&built(), config.as_bytes()).unwrap();
    for (seconds, requests) in [(10, 5), (11, 2)] {
        host.set_time(seconds * 1_000_000_000);
        for _ in 0..requests {
            host.request(&facts).unwrap();
        }
    }
    let level = |wanted| {
        let lines = host.log().iter().filter(move |(level, _)| *level == wanted);
        lines.map(|(_, line)| line.as_str()).collect::<Vec<_>>()
    };
    let line = "sni-guard: misdirected request: sni a.example.com of server a, \
                authority b.example.com of server b, reason other_server, answered 421";
    assert_eq!(level(1), [line; 7]);
    assert_eq!(
        level(3),
        [
            format!("{line}, suppressed 0"),
            format!("{line}, suppressed 4")
        ]
    );
    assert_eq!(
        level(2),
        ["sni-guard: rule servers, 5 servers, 0 overlaps, action enforce, fast path"]
    );
}

/// Whatever Envoy refuses, the module does not trap, and a request of which it does not know enough
/// passes, which it says once.
#[test]
fn refused_calls() {
    const BAD_ARGUMENT: u32 = 2;
    const INTERNAL_FAILURE: u32 = 10;
    let module = built();
    for call in [
        "connection.tls_version",
        "xds.virtual_host_name",
        "proxy_define_metric",
        "proxy_get_buffer_bytes",
        "proxy_get_current_time_nanoseconds",
        "proxy_increment_metric",
        "proxy_log",
        "proxy_record_metric",
        "proxy_send_local_response",
        "request.protocol",
        ":authority",
        ":method",
        "content-type",
        ROUTE,
        SNI,
    ] {
        for status in [NOT_FOUND, BAD_ARGUMENT, INTERNAL_FAILURE, u32::MAX] {
            check_refused(&module, call, status);
        }
    }
}

#[track_caller]
fn check_refused(module: &Module, call: &str, status: u32) {
    for config in [
        json!({ "servers": servers(5), "missingSni": "pass" }),
        json!({ "rule": "exact", "missingSni": "reject" }),
        json!({}),
    ] {
        let refusals = Refusals::from([(call.to_owned(), status)]);
        let config_text = config.to_string();
        let mut host = FakeHost::refusing(module, config_text.as_bytes(), refusals).unwrap();
        let same = request("a.example.com", "a.example.com", None);
        let other = request("a.example.com", "b.example.com", None);
        for facts in [&same, &other, &other] {
            let outcome = host.request(facts).unwrap();
            let passes = facts == &same || is_decisive(call, status, &config);
            assert_eq!(
                outcome.response.is_none(),
                passes,
                "{call} {status} {config}"
            );
        }
        let failures = host
            .log()
            .iter()
            .filter(|(_, line)| line.contains("a call into Envoy failed"));
        assert!(failures.count() <= 1, "{call} {status}: {:?}", host.log());
    }
}

/// Whether a misdirected request cannot be known to be one without the call.
fn is_decisive(call: &str, status: u32, config: &Value) -> bool {
    let fast_path = config["rule"] != "exact";
    match call {
        // Without them there is nothing to compare, or no way to answer.
        "proxy_send_local_response" | "request.protocol" | ":authority" | SNI => true,
        // Not to be there is an answer: no route, no body, no configuration.
        ROUTE => fast_path && status != NOT_FOUND,
        "xds.virtual_host_name" => config == &json!({}) && status != NOT_FOUND,
        ":method" | "content-type" | "proxy_get_buffer_bytes" => status != NOT_FOUND,
        _ => false,
    }
}
