//! Configurations and everything that can be wrong with them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use rule::{Action, Config, Document, Host, Path, Rule};

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

#[test]
fn nothing_is_a_configuration() {
    for json in [
        "null",
        "{}",
        r#"{"rule": null, "servers": null, "hosts": null}"#,
    ] {
        check_valid(json, |config| {
            matches!(config.rule(), Rule::Unrouted) && config.action() == Action::Enforce
        });
    }
}

#[test]
fn the_rule_follows_from_the_servers() {
    check_valid(r#"{"servers": {"one": ["a"]}}"#, |config| {
        matches!(config.rule(), Rule::Servers(_))
    });
    check_valid(
        r#"{"rule": "servers", "servers": {"one": ["a"], "two": ["*"]}}"#,
        |config| matches!(config.rule(), Rule::Servers(servers) if servers.count() == 2),
    );
    check_valid(r#"{"rule": "unrouted"}"#, |config| {
        matches!(config.rule(), Rule::Unrouted)
    });
    check_valid(r#"{"rule": "exact"}"#, |config| {
        matches!(config.rule(), Rule::Exact)
    });
}

#[test]
fn a_host_of_one_server_may_be_named_twice_in_it() {
    check_valid(
        r#"{"servers": {"one": ["a", "A.", "team-a/a", "./a"]}}"#,
        |config| config.server_label(Host::from_authority(b"a")) == Some("one"),
    );
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
            && config.action_for(None) == Action::Enforce
    });
    check_valid(r#"{"action": false}"#, |config| {
        config.action() == Action::Off
    });
}

#[test]
fn every_setting_takes_its_values() {
    let json = r#"{"rule": "servers", "action": "report", "hosts": {}, "protocols": ["h1", "h2",
        "h3"], "servers": {"": ["*"]}, "grpc": "reject", "missingSni": "reject",
        "unlistedSni": "reject", "trustedSni": ["origin.cdn.net", "*.lb.example.com"]}"#;
    check_valid(json, |config| config.action() == Action::Report);
}

#[test]
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
            &[r#"rule: expected one of servers, unrouted, exact, found "strict""#],
        ),
        (
            r#"{"rule": true}"#,
            &["rule: expected one of servers, unrouted, exact, found a boolean"],
        ),
        (
            r#"{"rule": "servers"}"#,
            &["rule: servers needs the key servers, with the hosts of each"],
        ),
        (
            r#"{"servers": {}}"#,
            &["servers: expected at least one server"],
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
                r#"servers["x"][0]: "a.com:443" is not a host: leave out the port, the rule looks at names alone"#,
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
            &["servers: only rule servers reads them"],
        ),
        (
            r#"{"rule": "unrouted", "servers": {"x": ["a"]}}"#,
            &["servers: only rule servers reads them"],
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

#[test]
fn all_faults_are_told_at_once() {
    check_faults(
        r#"{"rule": "exact", "servers": {"x": ["*foo.com", "a:1"]}, "action": 3, "extra": 0,
            "hosts": {"a": "no"}, "grpc": "maybe"}"#,
        &[
            "extra: unknown key, expected one of rule, action, hosts, servers, protocols, grpc, \
             missingSni, unlistedSni, trustedSni",
            r#"servers["x"][0]: "*foo.com" is not a host: a wildcard is "*" or "*.suffix""#,
            r#"servers["x"][1]: "a:1" is not a host: leave out the port, the rule looks at names alone"#,
            "servers: only rule servers reads them",
            "action: expected one of enforce, report, off, found a number",
            r#"hosts["a"]: expected one of enforce, report, off, found "no""#,
            r#"grpc: expected one of pass, reject, found "maybe""#,
        ],
    );
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
fn check_path(json: &str, path: Path, overlaps: usize) {
    check_valid(json, |config| {
        let found = match config.rule() {
            Rule::Servers(servers) => servers.overlaps(),
            Rule::Unrouted | Rule::Exact => 0,
        };
        (config.path(), found) == (path, overlaps)
    });
}

#[test]
fn a_route_is_enough_unless_servers_overlap_or_more_is_asked_for() {
    check_path("{}", Path::Fast, 0);
    check_path(r#"{"rule": "exact"}"#, Path::Full, 0);
    check_path(r#"{"missingSni": "reject"}"#, Path::Full, 0);
    check_path(
        r#"{"servers": {"x": ["a.com"]}, "unlistedSni": "reject"}"#,
        Path::Full,
        0,
    );
    check_path(
        r#"{"servers": {"x": ["a.com"], "y": ["b.com"]}}"#,
        Path::Fast,
        0,
    );
    // The suffix itself is not covered, and a server may overlap with itself.
    check_path(
        r#"{"servers": {"x": ["*.a.com"], "y": ["a.com", "*.b.com"]}}"#,
        Path::Fast,
        0,
    );
    check_path(
        r#"{"servers": {"x": ["*.a.com", "b.a.com", "*"]}}"#,
        Path::Fast,
        0,
    );
    check_path(
        r#"{"servers": {"x": ["*.a.com"], "y": ["B.a.com"]}}"#,
        Path::Full,
        1,
    );
    check_path(
        r#"{"servers": {"x": ["*.a.com"], "y": ["*.b.a.com", "c.b.a.com"]}}"#,
        Path::Full,
        2,
    );
    check_path(
        r#"{"servers": {"x": ["*"], "y": ["*.a.com", "b"], "z": ["b.c"]}}"#,
        Path::Full,
        3,
    );
}
