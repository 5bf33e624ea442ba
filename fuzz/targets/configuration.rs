//! Any octets as a configuration, and as the compact form of its servers: it is read, or it has
//! faults. What is read decides, and can be written in the compact form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rule::config::compact;
use rule::{Config, Decision, Document, Facts, Gateway, Pass, Rule};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(document) = serde_json::from_slice::<Document>(bytes) {
        check(&document);
    }
    if let Ok(text) = str::from_utf8(bytes) {
        check(&compact_servers(text));
    }
});

/// A configuration with a compact table of servers.
fn compact_servers(text: &str) -> Document {
    Document::Map(vec![("servers".into(), Document::Text(text.into()))])
}

fn check(document: &Document) {
    match Config::parse(document) {
        Ok(config) => {
            check_decisions(&config);
            check_compact(&config);
        }
        Err(faults) => assert!(!faults.to_string().is_empty()),
    }
}

fn check_decisions(config: &Config) {
    let names: [&[u8]; 3] = [b"a.example.com", b"A.example.com.:443", b"b.example.com"];
    for gateway in [Gateway::Istio, Gateway::Other] {
        for sni in names {
            for authority in names {
                let facts = Facts::new(sni, authority);
                let (Ok(_), Ok(_)) = (
                    config.decide(gateway, &facts),
                    config.decide(gateway, &facts.routed()),
                );
            }
        }
        let Ok(own) = config.decide(gateway, &Facts::new(names[0], names[1]));
        assert_eq!(own, Decision::Pass(Pass::Equal));
    }
    let _ = config.server_of_sni(names[2]);
}

/// The compact form of the servers has the same hosts.
fn check_compact(config: &Config) {
    let hosts = hosts(config);
    let text = compact::write(hosts.iter().map(Vec::as_slice));
    let again = match Config::parse(&compact_servers(&text)) {
        Ok(config) => config,
        Err(faults) => panic!("{text:?}: {faults}"),
    };
    assert_eq!(hosts, self::hosts(&again), "{text:?}");
}

/// The hosts of each server, in one order whatever the labels are.
fn hosts(config: &Config) -> Vec<Vec<String>> {
    let Rule::Servers(servers) = config.rule() else {
        return vec![];
    };
    let mut hosts: Vec<Vec<String>> = servers.hosts().into_values().collect();
    hosts.sort();
    hosts
}
