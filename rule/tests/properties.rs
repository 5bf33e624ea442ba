//! What holds for every configuration and every request.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use rule::{Config, Decision, Document, Facts, Gateway, Misdirection, Pass, Policy};
use serde_json::{Value, json};

fn config(json: &Value) -> Option<Config> {
    let document: Document = serde_json::from_value(json.clone()).unwrap();
    Config::parse(&document).ok()
}

/// The decision on a request without a route.
fn decide(config: &Config, sni: &str, authority: &str) -> Decision {
    let Ok(decision) = config.decide(
        Gateway::Other,
        &Facts::new(sni.as_bytes(), authority.as_bytes()),
    );
    decision
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

fn gateway() -> impl Strategy<Value = Gateway> {
    prop::sample::select(vec![Gateway::Istio, Gateway::Other])
}

/// Configurations of every kind, most of them valid, with the settings that reject most.
fn any_config() -> impl Strategy<Value = Value> {
    let rule = prop_oneof![
        servers().prop_map(|servers| json!({ "servers": servers, "unlistedSni": "reject" })),
        Just(json!({ "rule": "exact" })),
        Just(json!({})),
    ];
    let actions = prop::sample::select(vec!["enforce", "report", "off"]);
    (rule, actions, pattern()).prop_map(|(mut config, action, host)| {
        config["missingSni"] = json!("reject");
        config["grpc"] = json!("reject");
        config["hosts"] = json!({ host: action });
        config
    })
}

/// The table of servers once more, slow and obvious: the label of the longest pattern that matches.
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
    fn case_port_and_the_trailing_dot_of_a_host_change_nothing(
        json in any_config(), sni in name(), host in name(), port in "(:[0-9a-zA-Z%-]{0,6})?",
    ) {
        if let Some(config) = config(&json) {
            let written = format!("{}.{port}", host.to_uppercase());
            let expected = decide(&config, &sni, &host);
            prop_assert_eq!(decide(&config, &sni.to_uppercase(), &written), expected);
        }
    }

    #[test]
    fn the_trailing_dot_of_a_server_name_makes_it_another(
        json in any_config(), host in name(),
    ) {
        if let Some(config) = config(&json) {
            let decision = decide(&config, &format!("{host}."), &host);
            prop_assert_ne!(decision, Decision::Pass(Pass::Equal));
        }
    }

    #[test]
    fn the_table_of_servers_is_what_it_says(
        servers in servers(), sni in name(), host in name(),
    ) {
        let Some(config) = config(&json!({ "servers": servers })) else { return Ok(()) };
        let expected = match (owner(&servers, &sni), owner(&servers, &host)) {
            _ if sni == host => Decision::Pass(Pass::Equal),
            (None, _) | (_, None) => Decision::Reject(Misdirection::Unrouted),
            (Some(a), Some(b)) if a == b => Decision::Pass(Pass::SameServer),
            _ => Decision::Reject(Misdirection::OtherServer),
        };
        prop_assert_eq!(decide(&config, &sni, &host), expected);
    }

    /// istiod gives a filter chain virtual hosts for what its server covers. A request that passes
    /// there because of its route is then on the server of its host.
    #[test]
    fn a_route_is_enough_on_gateways_of_istiod(
        servers in servers(), sni in name(), host in name(),
    ) {
        let Some(config) = config(&json!({ "servers": servers })) else { return Ok(()) };
        let Some(label) = owner(&servers, &sni) else { return Ok(()) };
        let own = json!({ label: servers[label] });
        if owner(&own, &host).is_none() {
            return Ok(());
        }
        let request = Facts::new(sni.as_bytes(), host.as_bytes()).routed();
        let Ok(decision) = config.decide(Gateway::Istio, &request);
        if decision == Decision::Pass(Pass::RouteFound) {
            prop_assert_eq!(owner(&servers, &host), Some(label));
        } else {
            prop_assert_eq!(decision, decide(&config, &sni, &host));
        }
    }

    #[test]
    fn no_bytes_panic_or_send_a_client_in_a_circle(
        json in any_config(),
        gateway in gateway(),
        sni in vec(any::<u8>(), 0..40),
        authority in vec(any::<u8>(), 0..40),
    ) {
        let Some(config) = config(&json) else { return Ok(()) };
        let Ok(_) = config.decide(gateway, &Facts::new(&sni, &authority));
        // A client that repeats the request opens a connection for the host of the authority.
        let cut = authority.iter().rposition(|byte| *byte == b':').unwrap_or(authority.len());
        let has_bracket = authority[cut..].contains(&b']');
        let host = if has_bracket { &authority } else { &authority[..cut] };
        if !host.is_empty() {
            let Ok(again) = config.decide(gateway, &Facts::new(host, &authority));
            prop_assert_eq!(again, Decision::Pass(Pass::Equal));
        }
    }

    #[test]
    fn a_compact_table_decides_as_the_map_it_was_made_from(
        servers in servers(), sni in name(), host in name(),
    ) {
        let Some(map) = config(&json!({ "servers": servers })) else { return Ok(()) };
        let lists: Vec<Vec<String>> = servers
            .as_object()
            .unwrap()
            .values()
            .map(|hosts| serde_json::from_value(hosts.clone()).unwrap())
            .collect();
        let text = rule::config::compact::write(lists.iter().map(Vec::as_slice));
        let compact = config(&json!({ "servers": text })).unwrap();
        prop_assert_eq!(decide(&map, &sni, &host), decide(&compact, &sni, &host), "{}", text);
    }

    #[test]
    fn no_document_panics(json in "[\\[\\]{}\",:a-z*./0-9]{0,60}") {
        if let Ok(document) = serde_json::from_str::<Document>(&json) {
            let policy = Policy::from(Config::parse(&document));
            let Ok(decision) = policy.decide(Gateway::Istio, &Facts::new(b"a", b"a"));
            let is_invalid = matches!(policy, Policy::Invalid(_));
            prop_assert_eq!(is_invalid, decision == Decision::Pass(Pass::InvalidConfig));
        }
    }
}
