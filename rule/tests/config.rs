//! Configurations and everything that can be wrong with them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use rule::{Action, Config, Document, Host, Rule, Servers};
use serde::Deserialize as _;
use serde::de::value::BytesDeserializer;
use serde_json::json;

fn parse(json: &str) -> Result<Config, Vec<String>> {
    let document: Document = serde_json::from_str(json).unwrap();
    Config::parse(&document).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn check_valid(json: &str, expected: impl Fn(&Config) -> bool) {
    let config = parse(json).unwrap_or_else(|faults| panic!("{json}: {faults:?}"));
    assert!(expected(&config), "{json}: {config:?}");
}

#[track_caller]
fn check_faults(json: &str, expected: &[&str]) {
    assert_eq!(parse(json).err().unwrap_or_default(), expected, "{json}");
}

fn action_for(config: &Config, host: &str) -> Action {
    config.action_for(Host::from_authority(host.as_bytes()))
}

/// The listed servers; `None` under rule `exact`.
fn servers(config: &Config) -> Option<&Servers> {
    match config.rule() {
        Rule::Servers(servers) => Some(servers),
        Rule::Exact => None,
    }
}

fn is_servers(config: &Config, count: usize) -> bool {
    servers(config).is_some_and(|servers| servers.count() == count)
}

#[test]
fn nothing_is_a_configuration() {
    for json in [
        "null",
        "{}",
        r#"{"servers": {}}"#,
        r#"{"rule": null, "servers": null, "hosts": null}"#,
    ] {
        check_valid(json, |config| {
            is_servers(config, 0) && config.action() == Action::Enforce
        });
    }
}

#[test]
fn the_table_of_servers_is_optional() {
    check_valid(r#"{"servers": {"one": ["a"]}}"#, |config| {
        is_servers(config, 1)
    });
    check_valid(r#"{"servers": {"one": ["a"], "two": ["*"]}}"#, |config| {
        is_servers(config, 2)
    });
    check_valid(r#"{"rule": "exact"}"#, |config| servers(config).is_none());
}

#[test]
fn a_host_of_one_server_may_be_named_twice_in_it() {
    check_valid(
        r#"{"servers": {"one": ["a", "A.", "team-a/a", "./a"]}}"#,
        |config| config.server_of_authority(b"a") == Some("one"),
    );
}

#[test]
fn a_compact_table_says_the_same_as_a_map() {
    let map = r#"{"servers": {"*.b.com": ["*.b.com", "b.com"], "a.b.com": ["a.b.com", "a.org"]}}"#;
    let compact = r#"{"servers": "b.com: *,@ a,a.org."}"#;
    let hosts = |json| {
        let config = parse(json).unwrap();
        let hosts = servers(&config).unwrap().hosts();
        let lines = hosts
            .into_iter()
            .map(|(label, hosts)| format!("{label} {hosts:?}"));
        lines.collect::<Vec<_>>()
    };
    assert_eq!(hosts(map), hosts(compact));
    assert_eq!(
        hosts(map),
        [
            r#"*.b.com ["*.b.com", "b.com"]"#,
            r#"a.b.com ["a.b.com", "a.org"]"#
        ]
    );
}

#[test]
fn servers_are_found_as_envoy_finds_filter_chains() {
    let json = r#"{"servers": {"wild": ["*.b.com"], "one": ["a.b.com"], "rest": ["*"]}}"#;
    check_valid(json, |config| {
        config.server_of_sni(b"a.b.com") == Some("one")
            && config.server_of_sni(b"x.b.com") == Some("wild")
            && config.server_of_sni(b"a.b.com.") == Some("rest")
            && config.server_of_sni(b"").is_none()
            && config.server_of_authority(b"a.b.com.:443") == Some("one")
            && config.server_of_authority(b"b.com") == Some("rest")
    });
    check_valid(r#"{"rule": "exact"}"#, |config| {
        config.server_of_sni(b"a").is_none() && config.server_of_authority(b"a").is_none()
    });
}

#[test]
fn actions_are_words_or_booleans_and_the_most_specific_key_wins() {
    let json = r#"{"action": true, "hosts": {"*.test.com": false, "a.test.com": "enforce",
        "*": "report", "B.Test.com.": true}}"#;
    check_valid(json, |config| {
        action_for(config, "a.test.com") == Action::Enforce
            && action_for(config, "b.test.com:443") == Action::Enforce
            && action_for(config, "c.test.com") == Action::Off
            && action_for(config, "test.com") == Action::Report
            && action_for(config, "a.test.com.:x") == Action::Enforce
    });
    check_valid(r#"{"action": false}"#, |config| {
        config.action() == Action::Off
    });
}

#[test]
fn every_setting_takes_its_values() {
    let json = r#"{"action": "report", "hosts": {}, "protocols": ["h1", "h2",
        "h3"], "servers": {"": ["*"]}, "grpc": "reject", "missingSni": "reject",
        "unlistedSni": "reject", "trustedSni": ["origin.cdn.net", "*.lb.example.com"]}"#;
    check_valid(json, |config| config.action() == Action::Report);
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn faults() {
    for (json, expected) in [
        (r"[]", ["expected a map, found a list"].as_slice()),
        (r#""off""#, &[r#"expected a map, found "off""#]),
        (
            r#"{"host": {}, "hosts": {}}"#,
            &[
                "host: unknown key, expected one of rule, action, hosts, servers, protocols, grpc, \
               missingSni, unlistedSni, trustedSni",
            ],
        ),
        (
            r#"{"action": "off", "action": "enforce"}"#,
            &["action: given twice"],
        ),
        (
            r#"{"rule": "strict"}"#,
            &[r#"rule: expected exact, found "strict""#],
        ),
        (
            r#"{"rule": true}"#,
            &["rule: expected exact, found a boolean"],
        ),
        (
            r#"{"rule": "servers"}"#,
            &[
                r#"rule: expected exact or nothing (it holds wherever servers are listed, leave out the key rule), found "servers""#,
            ],
        ),
        (
            r#"{"servers": 1}"#,
            &["servers: expected a map, found a number"],
        ),
        (
            r#"{"servers": "a.com: b *foo"}"#,
            &[
                r#"servers["*foo.a.com"][0]: "*foo.a.com" is not a host: a wildcard is "*" or "*.suffix""#,
            ],
        ),
        (
            r#"{"servers": "a.com: b c,,b d:1"}"#,
            &[
                r#"servers["c.a.com"][1]: "" is not a host: it is empty"#,
                r#"servers["c.a.com"][2]: "b.a.com" is in servers["b.a.com"] too, a host has one server"#,
                r#"servers["d:1.a.com"][0]: "d:1.a.com" is not a host: expected a name such as a.example.com"#,
            ],
        ),
        (
            r#"{"servers": ["a"]}"#,
            &["servers: expected a map, found a list"],
        ),
        (
            r#"{"servers": {"x": "a"}}"#,
            &[r#"servers["x"]: expected a list, found "a""#],
        ),
        (
            r#"{"servers": {"x": []}}"#,
            &[r#"servers["x"]: expected at least one host"#],
        ),
        (
            r#"{"servers": {"x": [1]}}"#,
            &[r#"servers["x"][0]: expected a host, found a number"#],
        ),
        (
            r#"{"servers": {"x": [null]}}"#,
            &[r#"servers["x"][0]: expected a host, found null"#],
        ),
        (
            r#"{"servers": {"x": [""]}}"#,
            &[r#"servers["x"][0]: "" is not a host: it is empty"#],
        ),
        (
            r#"{"servers": {"x": ["a.com", "*foo.com"]}}"#,
            &[r#"servers["x"][1]: "*foo.com" is not a host: a wildcard is "*" or "*.suffix""#],
        ),
        (
            r#"{"servers": {"x": ["a.com:443"]}}"#,
            &[
                r#"servers["x"][0]: "a.com:443" is not a host: leave out the port, the rule compares names only"#,
            ],
        ),
        (
            r#"{"servers": {"x": ["bücher.example"]}}"#,
            &[
                r#"servers["x"][0]: "bücher.example" is not a host: write an internationalised name as its A-label, xn--…"#,
            ],
        ),
        (
            r#"{"servers": {"x": ["a..b"]}}"#,
            &[r#"servers["x"][0]: "a..b" is not a host: expected a name such as a.example.com"#],
        ),
        (
            r#"{"servers": {"y": ["ns/A.com"], "x": ["*.b", "a.com"]}}"#,
            &[r#"servers["y"][0]: "ns/A.com" is in servers["x"] too, a host has one server"#],
        ),
        (
            r#"{"servers": {"x": ["a"], "x": ["b"]}}"#,
            &[r#"servers["x"]: given twice"#],
        ),
        (
            r#"{"rule": "exact", "servers": {"x": ["a"]}}"#,
            &["servers: rule exact does not read them, leave out one of the two"],
        ),
        (
            r#"{"rule": "unrouted", "servers": {"x": ["a"]}}"#,
            &[
                r#"rule: expected exact or nothing (it holds wherever no servers are listed, leave out the key rule), found "unrouted""#,
            ],
        ),
        (
            r#"{"action": "on"}"#,
            &[r#"action: expected one of enforce, report, off, found "on""#],
        ),
        (
            r#"{"hosts": ["a"]}"#,
            &["hosts: expected a map, found a list"],
        ),
        (
            r#"{"hosts": {"a": null}}"#,
            &[r#"hosts["a"]: expected one of enforce, report, off, found null"#],
        ),
        (
            r#"{"hosts": {"ns/a": "off"}}"#,
            &[r#"hosts["ns/a"]: "ns/a" is not a host: expected a name such as a.example.com"#],
        ),
        (
            r#"{"hosts": {"A": "off", "a.": "off"}}"#,
            &[r#"hosts["a."]: the same host as hosts["A"]"#],
        ),
        (
            r#"{"protocols": "h2"}"#,
            &[r#"protocols: expected a list, found "h2""#],
        ),
        (
            r#"{"protocols": ["h2", "HTTP/1.1"]}"#,
            &[r#"protocols[1]: expected one of h1, h2, h3, found "HTTP/1.1""#],
        ),
        (
            r#"{"grpc": "off"}"#,
            &[r#"grpc: expected one of pass, reject, found "off""#],
        ),
        (
            r#"{"missingSni": false}"#,
            &["missingSni: expected one of pass, reject, found a boolean"],
        ),
        (
            r#"{"unlistedSni": {}}"#,
            &["unlistedSni: expected one of pass, reject, found a map"],
        ),
        (
            r#"{"trustedSni": "cdn.net"}"#,
            &[r#"trustedSni: expected a list, found "cdn.net""#],
        ),
        (
            r#"{"trustedSni": ["*cdn.net"]}"#,
            &[r#"trustedSni[0]: "*cdn.net" is not a host: a wildcard is "*" or "*.suffix""#],
        ),
    ] {
        check_faults(json, expected);
    }
}

/// A configuration may be a private key by mistake, and faults reach logs.
#[test]
fn long_texts_are_not_quoted() {
    let longest = "k".repeat(64);
    check_faults(
        &format!("{longest:?}"),
        &[&format!("expected a map, found {longest:?}")],
    );
    check_faults(
        &format!("\"{longest}k\""),
        &["expected a map, found a string"],
    );
}

#[test]
fn all_faults_are_reported_at_once() {
    check_faults(
        r#"{"rule": "exact", "servers": {"x": ["*foo.com", "a:1"]}, "action": 3, "extra": 0,
            "hosts": {"a": "no"}, "grpc": "maybe"}"#,
        &[
            "extra: unknown key, expected one of rule, action, hosts, servers, protocols, grpc, \
             missingSni, unlistedSni, trustedSni",
            r#"servers["x"][0]: "*foo.com" is not a host: a wildcard is "*" or "*.suffix""#,
            r#"servers["x"][1]: "a:1" is not a host: leave out the port, the rule compares names only"#,
            "servers: rule exact does not read them, leave out one of the two",
            "action: expected one of enforce, report, off, found a number",
            r#"hosts["a"]: expected one of enforce, report, off, found "no""#,
            r#"grpc: expected one of pass, reject, found "maybe""#,
        ],
    );
}

#[test]
fn several_faults_are_lines_of_one_text() {
    let document: Document = serde_json::from_str(r#"{"action": 3, "grpc": "maybe"}"#).unwrap();
    let faults = Config::parse(&document).unwrap_err();
    assert_eq!(
        faults.to_string(),
        "action: expected one of enforce, report, off, found a number\n\
         grpc: expected one of pass, reject, found \"maybe\""
    );
}

#[test]
fn an_action_goes_by_the_name_that_a_configuration_gives_it() {
    for name in ["enforce", "report", "off"] {
        check_valid(&format!(r#"{{"action": "{name}"}}"#), |config| {
            config.action().name() == name
        });
    }
}

#[test]
fn every_key_says_which_words_it_takes() {
    for key in Config::KEYS {
        let expected = match key {
            "rule" => ["exact"].as_slice(),
            "action" | "hosts" => &["enforce", "report", "off"],
            "protocols" => &["h1", "h2", "h3"],
            "grpc" | "missingSni" | "unlistedSni" => &["pass", "reject"],
            _ => &[],
        };
        assert_eq!(Config::words(key), expected, "{key}");
    }
}

#[test]
fn a_document_is_what_json_says() {
    for (value, expected) in [
        (json!(null), Document::Null),
        (json!(true), Document::Bool(true)),
        (json!(1), Document::Number),
        (json!(-1), Document::Number),
        (json!(1.5), Document::Number),
        (json!("a"), Document::Text("a".into())),
        (
            json!(["a"]),
            Document::List(vec![Document::Text("a".into())]),
        ),
        (
            json!({"a": null}),
            Document::Map(vec![("a".into(), Document::Null)]),
        ),
    ] {
        let read: Document = serde_json::from_str(&value.to_string()).unwrap();
        assert_eq!(read, expected);
        assert_eq!(Document::deserialize(&value).unwrap(), expected);
        assert_eq!(serde_json::from_value::<Document>(value).unwrap(), expected);
    }
}

#[test]
fn a_value_of_another_data_model_is_an_error_that_says_so() {
    let octets = BytesDeserializer::<serde_json::Error>::new(b"a");
    let error = Document::deserialize(octets).unwrap_err().to_string();
    assert!(error.ends_with("expected a JSON or YAML value"), "{error}");
}

#[test]
fn the_order_of_keys_changes_nothing() {
    let faults = |json| parse(json).unwrap_err();
    assert_eq!(
        faults(r#"{"servers": {"b": ["h"], "a": ["h"]}, "hots": 1, "action": 1}"#),
        faults(r#"{"action": 1, "hots": 1, "servers": {"a": ["h"], "b": ["h"]}}"#),
    );
}

#[track_caller]
fn check_overlaps(json: &str, overlaps: usize) {
    check_valid(json, |config| {
        servers(config).is_some_and(|servers| servers.overlaps() == overlaps)
    });
}

#[test]
fn a_pattern_overlaps_where_another_server_covers_it() {
    check_overlaps("{}", 0);
    check_overlaps(r#"{"servers": {"x": ["a.com"], "y": ["b.com"]}}"#, 0);
    // The suffix itself is not covered, and a server may overlap with itself.
    check_overlaps(
        r#"{"servers": {"x": ["*.a.com"], "y": ["a.com", "*.b.com"]}}"#,
        0,
    );
    check_overlaps(r#"{"servers": {"x": ["*.a.com", "b.a.com", "*"]}}"#, 0);
    check_overlaps(r#"{"servers": {"x": ["*.a.com"], "y": ["B.a.com"]}}"#, 1);
    check_overlaps(
        r#"{"servers": {"x": ["*.a.com"], "y": ["*.b.a.com", "c.b.a.com"]}}"#,
        2,
    );
    check_overlaps(
        r#"{"servers": {"x": ["*"], "y": ["*.a.com", "b"], "z": ["b.c"]}}"#,
        3,
    );
    check_overlaps(r#"{"servers": "a.com: * b"}"#, 1);
}
