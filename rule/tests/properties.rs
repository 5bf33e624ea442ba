//! What holds for every configuration and every request.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use rule::{
    Config, Decision, Document, Facts, Judgement, Misdirection, Pass, Path, Policy, Protocol, Route,
};
use serde_json::{Value, json};

const PLAIN_H2: Facts = Facts {
    tls: true,
    route: Route::Unmatched,
    connect: false,
    protocol: Some(Protocol::Http2),
    grpc: false,
};

fn config(json: &Value) -> Option<Config> {
    let document: Document = serde_json::from_value(json.clone()).unwrap();
    Config::parse(&document).ok()
}

fn decide(config: &Config, sni: &str, authority: &str) -> Decision {
    match config.judge(sni.as_bytes(), authority.as_bytes()) {
        Judgement::Pass(pass) => Decision::Pass(pass),
        Judgement::Suspect(suspect) => config.settle(suspect, PLAIN_H2),
    }
}

/// Few labels, so that names and patterns meet.
fn name() -> impl Strategy<Value = String> {
    vec(prop::sample::select(vec!["a", "b", "com", "x-1"]), 1..4)
        .prop_map(|labels| labels.join("."))
}

fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => name(),
        3 => name().prop_map(|suffix| format!("*.{suffix}")),
        1 => Just("*".to_owned()),
    ]
}

fn servers() -> impl Strategy<Value = Value> {
    btree_map("[a-d]", vec(pattern(), 1..4), 1..4).prop_map(|servers| json!(servers))
}

/// Configurations of every rule, most of them valid, with the settings that reject most.
fn any_config() -> impl Strategy<Value = Value> {
    let rule = prop_oneof![
        servers().prop_map(|servers| json!({ "servers": servers, "unlistedSni": "reject" })),
        Just(json!({ "rule": "exact" })),
        Just(json!({})),
    ];
    (
        rule,
        prop::sample::select(vec!["enforce", "report", "off"]),
        pattern(),
    )
        .prop_map(|(mut config, action, host)| {
            config["missingSni"] = json!("reject");
            config["grpc"] = json!("reject");
            config["hosts"] = json!({ host: action });
            config
        })
}

/// The servers rule once more, slow and obvious: the label of the longest pattern that matches.
fn owner<'s>(servers: &'s Value, host: &str) -> Option<&'s str> {
    let entries = servers.as_object().unwrap().iter();
    let patterns = entries.flat_map(|(label, hosts)| {
        hosts
            .as_array()
            .unwrap()
            .iter()
            .map(|host| (host.as_str().unwrap(), label.as_str()))
    });
    let rank = |pattern: &str| match pattern.strip_prefix('*') {
        None => (pattern == host).then_some(usize::MAX),
        Some(rest) => (host.ends_with(rest) && host != rest).then_some(rest.len()),
    };
    patterns
        .filter_map(|(text, label)| Some((rank(text)?, label)))
        .max()
        .map(|(_, label)| label)
}

proptest! {
    #[test]
    fn a_host_is_never_misdirected_on_its_own_connection(json in any_config(), host in name()) {
        if let Some(config) = config(&json) {
            prop_assert_eq!(decide(&config, &host, &host), Decision::Pass(Pass::Equal));
        }
    }

    #[test]
    fn case_port_and_trailing_dot_change_nothing(
        json in any_config(), sni in name(), host in name(), port in "(:[0-9]{0,6})?",
    ) {
        if let Some(config) = config(&json) {
            let written = format!("{}.{port}", host.to_uppercase());
            let expected = decide(&config, &sni, &host);
            prop_assert_eq!(decide(&config, &format!("{sni}."), &written), expected);
        }
    }

    #[test]
    fn the_servers_rule_is_what_it_says(servers in servers(), sni in name(), host in name()) {
        let Some(config) = config(&json!({ "servers": servers })) else { return Ok(()) };
        let expected = match (owner(&servers, &sni), owner(&servers, &host)) {
            _ if sni == host => Decision::Pass(Pass::Equal),
            (_, None) => Decision::Pass(Pass::UnlistedHost),
            (None, _) => Decision::Pass(Pass::UnlistedSni),
            (Some(a), Some(b)) if a == b => Decision::Pass(Pass::SameServer),
            _ => Decision::Reject(Misdirection::OtherServer),
        };
        prop_assert_eq!(decide(&config, &sni, &host), expected);
    }

    /// What the fast path skips could not have been misdirected: where servers do not overlap, a
    /// server that has a pattern for a host is the host's.
    #[test]
    fn a_route_is_enough_where_servers_do_not_overlap(
        servers in servers(), sni in name(), host in name(),
    ) {
        let Some(config) = config(&json!({ "servers": servers })) else { return Ok(()) };
        let Some(label) = owner(&servers, &sni) else { return Ok(()) };
        let own = json!({ label: servers[label] });
        if config.path() == Path::Fast && owner(&own, &host).is_some() {
            let decision = decide(&config, &sni, &host);
            prop_assert!(matches!(decision, Decision::Pass(Pass::Equal | Pass::SameServer)));
        }
    }

    #[test]
    fn no_bytes_panic_or_are_sent_in_circles(
        json in any_config(), sni in vec(any::<u8>(), 0..40), authority in vec(any::<u8>(), 0..40),
    ) {
        if let Some(config) = config(&json) {
            let _ = config.judge(&sni, &authority);
            let again = config.judge(&authority, &authority);
            let passes = matches!(again, Judgement::Pass(Pass::Equal | Pass::Unparsable));
            // What has a port, brackets or nothing in it is no SNI that a client could send.
            prop_assert!(passes || authority.iter().any(|byte| b":[]".contains(byte)) || authority.is_empty());
        }
    }

    #[test]
    fn no_document_panics(json in "[\\[\\]{}\",:a-z*./0-9]{0,60}") {
        if let Ok(document) = serde_json::from_str::<Document>(&json) {
            let policy = Policy::from(Config::parse(&document));
            prop_assert!(policy.config().is_ok() != matches!(policy, Policy::Invalid(_)));
        }
    }
}
