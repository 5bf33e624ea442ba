//! Random configurations and requests: a script decides as `rule` does. 100,000 in `LuaJIT`, with objects in place of
//! Envoy's, and thousands in a real Envoy.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use rule::request::is_grpc;
use rule::{Config, Decision, Document, Facts, Protocol};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tests::certificate::Certificate;
use tests::envoy::{self, Envoy};
use tests::raw::{RawConnection, Version};

use super::{counter, decide, logged_reason, open_listener, tally};
use crate::difference;

/// How many configurations run in `LuaJIT`, and how many requests each.
const CONFIGURATIONS: usize = 1_000;
const REQUESTS: usize = 120;
/// How many of the decisions each result has to have. Otherwise the generators miss it.
const EACH_RESULT: u64 = 100;

/// The text of the harness.
const HARNESS: &str = include_str!("handles.lua");

/// A request, as the harness knows it.
#[derive(Clone, Debug)]
struct Request {
    sni: Vec<u8>,
    authority: Vec<u8>,
    is_tls: bool,
    redirects: Option<u32>,
    method: &'static str,
    /// Whether it has `:protocol`.
    is_extended: bool,
    protocol: &'static str,
    content_type: Option<Vec<u8>>,
    /// Whether this Envoy has counters for scripts.
    has_counters: bool,
}

impl Request {
    fn facts(&self) -> Facts<'_> {
        Facts {
            tls: self.is_tls,
            internal_redirect: self.redirects.is_some(),
            connect: self.method == "CONNECT" && !self.is_extended,
            protocol: Protocol::from_attribute(self.protocol.as_bytes()),
            grpc: self.is_grpc(),
            ..Facts::new(&self.sni, &self.authority)
        }
    }

    fn is_grpc(&self) -> bool {
        self.content_type.as_deref().is_some_and(is_grpc)
    }

    /// The line of the harness for this request.
    fn line(&self) -> String {
        let flag = |is_set: bool| if is_set { "=" } else { "-" };
        let redirects = self.redirects.map(|count| count.to_string().into_bytes());
        [
            text(Some(&self.sni)),
            text(Some(&self.authority)),
            flag(self.is_tls).into(),
            text(redirects.as_deref()),
            self.method.into(),
            flag(self.is_extended).into(),
            self.protocol.into(),
            text(self.content_type.as_deref()),
            flag(self.has_counters).into(),
        ]
        .join(" ")
    }

    /// The line that the harness prints if the script decides so.
    fn expected(&self, decision: Decision) -> String {
        let is_rejected = decision.status().is_some();
        let status = if is_rejected { "421" } else { "-" };
        let grpc_status = if is_rejected && self.is_grpc() {
            "14"
        } else {
            "-"
        };
        let counter = counter(decision).filter(|_| self.has_counters);
        let counter = counter.as_deref().unwrap_or("-");
        format!(
            "{status}\t{grpc_status}\t{}\t{counter}",
            logged_reason(decision)
        )
    }
}

/// A text of the harness.
fn text(octets: Option<&[u8]>) -> String {
    match octets {
        Some(octets) => format!("={}", hexadecimal(octets)),
        None => "-".into(),
    }
}

fn hexadecimal(octets: &[u8]) -> String {
    let mut digits = String::new();
    for octet in octets {
        write!(digits, "{octet:02x}").unwrap();
    }
    digits
}

#[test]
fn a_hundred_thousand_decisions_are_those_of_the_rule() {
    let mut runner = TestRunner::deterministic();
    let configurations = configurations(&mut runner, CONFIGURATIONS);
    let requests = request();
    let mut input = String::new();
    let mut expected = Vec::new();
    for (_, config) in &configurations {
        writeln!(
            input,
            "script {}",
            hexadecimal(rule::lua::write(config).as_bytes())
        )
        .unwrap();
        for _ in 0..REQUESTS {
            let request = requests.new_tree(&mut runner).unwrap().current();
            let decision = decide(config, request.facts());
            writeln!(input, "{}", request.line()).unwrap();
            expected.push((request.expected(decision), request, decision));
        }
    }
    assert!(expected.len() >= 100_000, "{}", expected.len());

    let printed = run_harness(&input);
    let printed: Vec<&str> = printed.lines().collect();
    assert_eq!(printed.len(), expected.len());
    for (at, (printed, (expected, request, _))) in printed.iter().zip(&expected).enumerate() {
        let configuration = || configurations.get(at / REQUESTS).map(|(value, _)| value);
        assert_eq!(printed, expected, "{request:?}, {:?}", configuration());
    }

    let results = tally(expected.iter().map(|(_, _, decision)| counter(*decision)));
    for (result, count) in &results {
        assert!(*count >= EACH_RESULT, "{count} of {result}");
    }
    assert_eq!(results.len(), RESULTS, "{results:?}");
}

/// The counters of a script: 4 reasons, each enforced or reported, and 7 reasons for a request to pass.
const RESULTS: usize = 15;

/// Runs the harness and returns what it printed.
fn run_harness(input: &str) -> String {
    let folder = TempDir::new().unwrap();
    let harness = folder.path().join("handles.lua");
    fs::write(&harness, HARNESS).unwrap();
    let mut luajit = Command::new("luajit")
        .arg(&harness)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("running luajit: {error}. `make setup` installs it"));
    let mut stdin = luajit.stdin.take().unwrap();
    let output = thread::scope(|scope| {
        scope.spawn(move || {
            // If the harness ends early, its message says why.
            let _ = stdin.write_all(input.as_bytes());
        });
        luajit.wait_with_output().unwrap()
    });
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// How many scripts run in a real Envoy, for how many server names, with how many authorities each.
const LISTENERS: usize = 20;
const CONNECTIONS: usize = 6;
const AUTHORITIES: usize = 40;

#[test]
fn envoy_runs_scripts_as_the_rule_decides() {
    let mut runner = TestRunner::deterministic();
    let configurations = configurations(&mut runner, LISTENERS);
    let listeners: Vec<_> = (0..)
        .zip(&configurations)
        .map(|(number, (value, _))| open_listener(&listener_name(number), value))
        .collect();
    let folder = TempDir::new().unwrap();
    let certificate = Certificate::generate(folder.path(), &["example.com"]).unwrap();
    let log = folder.path().join("access.log");
    let mut bootstrap = envoy::bootstrap(&listeners, &certificate, &log);
    difference::keep_connections(&mut bootstrap);
    let envoy = Envoy::start_with(bootstrap).unwrap();

    let (names, authorities) = (server_name(), envoy_authority());
    let mut decisions = Vec::new();
    for (number, (value, config)) in (0..).zip(&configurations) {
        let server = envoy.listener(&listener_name(number)).unwrap();
        for _ in 0..CONNECTIONS {
            let sni = names.new_tree(&mut runner).unwrap().current();
            let mut connection = None;
            for _ in 0..AUTHORITIES {
                let authority = authorities.new_tree(&mut runner).unwrap().current();
                let mut open = connection.take().unwrap_or_else(|| {
                    RawConnection::open(server, sni.as_deref(), Version::Http2, None).unwrap()
                });
                // What the codec refuses never reaches the script.
                let Some(response) = open.get_h2(&authority, &[]).unwrap() else {
                    continue;
                };
                connection = Some(open);
                if response.status == 400 {
                    continue;
                }
                let sni = sni.as_deref().unwrap_or_default().as_bytes();
                let decision = decide(config, Facts::new(sni, &authority));
                assert_eq!(
                    response.status,
                    decision.status().unwrap_or(200),
                    "{decision:?}: {} on {} of {value}",
                    authority.escape_ascii(),
                    sni.escape_ascii(),
                );
                decisions.push(decision);
            }
        }
    }
    assert!(decisions.len() > 3_000, "{}", decisions.len());
    let expected = tally(decisions.iter().map(|decision| counter(*decision)));
    let counted: BTreeMap<_, _> = envoy.script_metrics().unwrap();
    assert_eq!(counted, expected);
    assert!(expected.len() > 8, "{expected:?}");
}

fn listener_name(number: usize) -> String {
    format!("script-{number}")
}

/// So many valid configurations, as values and parsed.
fn configurations(runner: &mut TestRunner, count: usize) -> Vec<(Value, Config)> {
    let strategy = configuration();
    let mut found = Vec::new();
    while found.len() < count {
        let value = strategy.new_tree(runner).unwrap().current();
        // The same host in two servers is a fault.
        let document = Document::deserialize(&value).unwrap();
        if let Ok(config) = Config::parse(&document) {
            found.push((value, config));
        }
    }
    found
}

/// Configurations with every key, most of them valid.
fn configuration() -> impl Strategy<Value = Value> {
    let treatment = || select(vec!["pass", "pass", "reject"]);
    let actions = || select(vec!["enforce", "enforce", "report", "off"]);
    let keys = (
        rule(),
        actions(),
        btree_map(pattern(), actions(), 0..3),
        subsequence(vec!["h1", "h2", "h3"], 0..=3),
        treatment(),
        treatment(),
        treatment(),
        btree_set(pattern(), 0..2),
    );
    keys.prop_map(
        |(mut config, action, hosts, protocols, grpc, missing, unlisted, trusted)| {
            config.insert("action".into(), json!(action));
            config.insert("hosts".into(), json!(hosts));
            if !protocols.is_empty() {
                config.insert("protocols".into(), json!(protocols));
            }
            config.insert("grpc".into(), json!(grpc));
            config.insert("missingSni".into(), json!(missing));
            config.insert("unlistedSni".into(), json!(unlisted));
            config.insert("trustedSni".into(), json!(trusted));
            Value::Object(config)
        },
    )
}

/// The rule of a configuration: `exact`, or the table of servers as a map.
fn rule() -> impl Strategy<Value = Map<String, Value>> {
    let servers = btree_map("[a-f]", vec(pattern(), 1..4), 1..6);
    prop_oneof![
        8 => servers.prop_map(|servers| ("servers", json!(servers))),
        1 => Just(("rule", json!("exact"))),
        1 => Just(("servers", json!({}))),
    ]
    .prop_map(|(key, value)| Map::from_iter([(key.to_owned(), value)]))
}

/// Patterns of hosts that meet: few labels, in both cases, also written as Istio does.
fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => name(),
        5 => name().prop_map(|suffix| format!("*.{suffix}")),
        1 => Just("*".to_owned()),
    ]
}

fn name() -> impl Strategy<Value = String> {
    vec(select(vec!["a", "b", "B", "com", "x-1"]), 1..4).prop_map(|labels| labels.join("."))
}

fn request() -> impl Strategy<Value = Request> {
    let methods = vec!["GET", "GET", "GET", "POST", "HEAD", "CONNECT"];
    let protocols = vec![
        "HTTP/2", "HTTP/2", "HTTP/2", "HTTP/3", "HTTP/1.1", "HTTP/1.0",
    ];
    (
        hostile_name(),
        authority(),
        prop::bool::weighted(0.9),
        option::weighted(0.05, 1..3_u32),
        select(methods),
        prop::bool::weighted(0.2),
        select(protocols),
        option::weighted(0.3, content_type()),
        prop::bool::weighted(0.9),
    )
        .prop_map(
            |(
                sni,
                authority,
                is_tls,
                redirects,
                method,
                is_extended,
                protocol,
                content_type,
                has_counters,
            )| {
                Request {
                    sni: if is_tls { sni } else { Vec::new() },
                    authority,
                    is_tls,
                    redirects,
                    method,
                    is_extended,
                    protocol,
                    content_type,
                    has_counters,
                }
            },
        )
}

fn content_type() -> impl Strategy<Value = Vec<u8>> {
    select(vec![
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-web",
        "application/grpc;x",
        "application/grpc,text/plain",
        "text/plain,application/grpc",
        "Application/grpc",
        "application/grpc\u{0}",
        "",
    ])
    .prop_map(|value| value.as_bytes().to_vec())
}

/// A name as clients send them, or with octets that nothing should depend on.
fn hostile_name() -> impl Strategy<Value = Vec<u8>> {
    let any_octets = vec(any::<u8>(), 0..12);
    let odd_octet = prop_oneof![select(b".:[]%*-@,^$()= ".to_vec()), any::<u8>()];
    prop_oneof![
        10 => name().prop_map(String::into_bytes),
        2 => name().prop_map(|name| format!("{name}.").into_bytes()),
        1 => Just(Vec::new()),
        3 => (name(), any::<prop::sample::Index>(), odd_octet).prop_map(|(name, at, octet)| {
            let mut name = name.into_bytes();
            name.insert(at.index(name.len() + 1), octet);
            name
        }),
        1 => any_octets,
    ]
}

/// A name with what may follow it: a port, or what Envoy takes for one.
fn authority() -> impl Strategy<Value = Vec<u8>> {
    let ports = vec![
        "", "", "", ":443", ":", ":x", "::", ":]", ":1:2", ".:443", "..", "]:443", ":%", ":a.b",
    ];
    (hostile_name(), select(ports)).prop_map(|(mut name, port)| {
        name.extend(port.bytes());
        name
    })
}

/// A server name that OpenSSL sends, or none.
fn server_name() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        8 => name().prop_map(Some),
        1 => name().prop_map(|name| Some(format!("{name}."))),
        1 => name().prop_map(|name| Some(format!("a,{name}"))),
        1 => Just(None),
    ]
}

/// An authority that Envoy's codec mostly accepts.
fn envoy_authority() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => authority(),
        1 => difference::authority(),
    ]
}
