//! Any SNI and any authority, separated by the first octet 0xff, under configurations of every rule.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rule::{Config, Decision, Document, Facts, Host, Judgement, Pass, Protocol, Route};

static CONFIGS: LazyLock<Vec<Config>> = LazyLock::new(|| {
    let documents = [
        r#"{"missingSni": "reject"}"#,
        r#"{"rule": "exact", "hosts": {"*.a": "off"}}"#,
        r#"{"servers": {"x": ["a", "*.b"], "y": ["*.a.b", "*"]}, "unlistedSni": "reject"}"#,
    ];
    let parse = |json: &&str| {
        let document: Document = serde_json::from_str(json).expect("JSON");
        Config::parse(&document).expect("a configuration")
    };
    documents.iter().map(parse).collect()
});

fuzz_target!(|bytes: &[u8]| {
    let split = bytes
        .iter()
        .position(|byte| *byte == 0xff)
        .unwrap_or(bytes.len());
    let (sni, authority) = bytes.split_at(split);
    let authority = authority.get(1..).unwrap_or_default();
    for config in CONFIGS.iter() {
        let decision = decide(config, sni, authority);
        let host = Host::from_authority(authority);
        if host.is_some() && host == Host::from_sni(sni) {
            assert_eq!(decision, Decision::Pass(Pass::Equal), "sent in circles");
        }
        if host.is_none() && Host::from_sni(sni).is_some() {
            assert_eq!(decision, Decision::Pass(Pass::Unparsable));
        }
    }
});

fn decide(config: &Config, sni: &[u8], authority: &[u8]) -> Decision {
    let facts = Facts {
        tls: true,
        route: Route::from_virtual_host(None),
        connect: false,
        protocol: Some(Protocol::Http2),
        grpc: rule::facts::is_grpc(authority),
    };
    match config.judge(sni, authority) {
        Judgement::Pass(pass) => Decision::Pass(pass),
        Judgement::Suspect(suspect) => config.settle(suspect, facts),
    }
}
