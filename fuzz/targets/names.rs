//! Any SNI and any authority, separated by the first octet 0xff, under configurations of every rule
//! and on both kinds of gateway.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rule::{Config, Decision, Document, Facts, Gateway, Pass};

const GATEWAYS: [Gateway; 2] = [Gateway::Istio, Gateway::Other];

/// The servers of [`OVERLAPPING`].
const SERVERS: [&[&str]; 3] = [&["a", "*.b", "x.a.b"], &["*.a.b", "c.b"], &["*"]];
const OVERLAPPING: &str =
    r#"{"servers": {"x": ["a", "*.b", "x.a.b"], "y": ["*.a.b", "c.b"], "z": ["*"]}}"#;

static CONFIGS: LazyLock<Vec<Config>> = LazyLock::new(|| {
    [
        "{}",
        OVERLAPPING,
        r#"{"missingSni": "reject", "action": "report"}"#,
        r#"{"rule": "exact", "hosts": {"*.a": "off"}}"#,
        r#"{"rule": "exact", "trustedSni": ["*.b"], "protocols": []}"#,
        r#"{"servers": {"x": ["a", "*.b"], "y": ["*.a.b"]}, "unlistedSni": "reject"}"#,
        r#"{"servers": "b: * a,@ *.a"}"#,
    ]
    .iter()
    .map(|json| config(json))
    .collect()
});

static OVERLAPS: LazyLock<Config> = LazyLock::new(|| config(OVERLAPPING));

fuzz_target!(|bytes: &[u8]| {
    let split = bytes
        .iter()
        .position(|byte| *byte == 0xff)
        .unwrap_or(bytes.len());
    let (sni, authority) = bytes.split_at(split);
    let authority = authority.get(1..).unwrap_or_default();
    for config in CONFIGS.iter() {
        for gateway in GATEWAYS {
            // No name breaks the rule.
            let facts = Facts::new(sni, authority);
            decide(config, gateway, &facts);
            decide(config, gateway, &facts.routed());
            check_repetition(config, gateway, authority);
        }
    }
    check_route(sni, authority);
});

/// A client that repeats a request opens a connection for the host of its authority. The request
/// passes there, so that no client is sent in a circle.
fn check_repetition(config: &Config, gateway: Gateway, authority: &[u8]) {
    let host = looked_up(authority);
    let undotted = host.strip_suffix(b".").unwrap_or(host);
    for name in [host, undotted].into_iter().filter(|name| !name.is_empty()) {
        for sni in [
            name.to_vec(),
            name.to_ascii_uppercase(),
            name.to_ascii_lowercase(),
        ] {
            let decision = decide(config, gateway, &Facts::new(&sni, authority));
            assert_eq!(decision, Decision::Pass(Pass::Equal), "sent in a circle");
        }
    }
}

/// A route is enough on gateways of istiod where no two servers cover the host, and never on others
/// that list servers.
fn check_route(sni: &[u8], authority: &[u8]) {
    let facts = Facts::new(sni, authority).routed();
    let host = looked_up(authority).to_ascii_lowercase();
    let host = host.strip_suffix(b".").unwrap_or(&host);
    let covering = SERVERS
        .iter()
        .filter(|patterns| patterns.iter().any(|pattern| covers(pattern, host)))
        .count();
    let suffices = Decision::Pass(Pass::RouteFound);
    let decision = decide(&OVERLAPS, Gateway::Istio, &facts);
    assert_eq!(decision == suffices, covering < 2, "{covering} servers");
    assert_ne!(decide(&OVERLAPS, Gateway::Other, &facts), suffices);
}

/// The text that Envoy looks up: cut at the last colon, unless a closing bracket follows.
fn looked_up(authority: &[u8]) -> &[u8] {
    let colon = authority.iter().rposition(|byte| *byte == b':');
    match colon.map(|colon| authority.split_at(colon)) {
        Some((host, port)) if !port.contains(&b']') => host,
        _ => authority,
    }
}

fn covers(pattern: &str, host: &[u8]) -> bool {
    match pattern.strip_prefix('*') {
        None => host == pattern.as_bytes(),
        Some("") => true,
        Some(rest) => host.len() > rest.len() && host.ends_with(rest.as_bytes()),
    }
}

fn config(json: &str) -> Config {
    let document: Document = serde_json::from_str(json).expect("JSON");
    Config::parse(&document).expect("a configuration")
}

fn decide(config: &Config, gateway: Gateway, facts: &Facts<'_>) -> Decision {
    let Ok(decision) = config.decide(gateway, facts);
    decision
}
