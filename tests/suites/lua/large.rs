//! Scripts with many hosts.

use std::collections::BTreeMap;

use rule::Facts;
use serde_json::{Value, json};
use tests::client::get;
use tests::envoy::{Envoy, Launch};
use tests::script::{MOST_OCTETS, parse};
use tests::tools::envoy_versions;

use super::{decide, open_listener};

const HOSTS: usize = 3_000;

/// A server for each host, and one for the wildcard over all of them.
fn servers(count: usize) -> Value {
    let servers: BTreeMap<String, [String; 1]> = (1..count)
        .map(|number| (format!("server-{number}"), [host(number)]))
        .chain([("wildcard".into(), ["*.example.com".into()])])
        .collect();
    json!({ "servers": servers })
}

fn host(number: usize) -> String {
    format!("host-{number}.example.com")
}

#[test]
fn three_thousand_hosts_are_looked_up_in_envoy() {
    let configuration = servers(HOSTS);
    let config = parse(&configuration).unwrap();
    let octets = rule::lua::write(&config).len();
    assert!(octets <= MOST_OCTETS, "{octets}");
    let names = [
        host(1),
        host(2),
        host(1_500),
        host(HOSTS - 1),
        // These two are of the wildcard's server.
        host(HOSTS),
        "x.example.com".into(),
        "example.com".into(),
        "x.example.org".into(),
    ];
    for version in envoy_versions() {
        let launch = Launch {
            version: &version,
            ..Launch::default()
        };
        let envoy = Envoy::start_as(&launch, &[open_listener("large", &configuration)]).unwrap();
        let server = envoy.listener("large").unwrap();
        for sni in &names {
            for authority in &names {
                let decision = decide(&config, Facts::new(sni.as_bytes(), authority.as_bytes()));
                let status = get(server, sni, authority).unwrap().status;
                let expected = decision.status().unwrap_or(200);
                assert_eq!(status, expected, "Envoy {version}: {authority} on {sni}");
            }
        }
    }
}
