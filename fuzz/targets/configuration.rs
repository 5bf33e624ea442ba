//! Any octets as a configuration: it is read, or its faults are told, and it decides.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rule::{Config, Document, Host, Judgement, Pass};

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = serde_json::from_slice::<Document>(bytes) else {
        return;
    };
    match Config::parse(&document) {
        Ok(config) => {
            let judgement = config.judge(b"a.example.com", b"A.example.com.:443");
            assert_eq!(judgement, Judgement::Pass(Pass::Equal));
            let _ = config.judge(b"a.example.com", b"b.example.com");
            let _ = config.path();
            let _ = config.server_label(Host::from_sni(b"b.example.com"));
        }
        Err(faults) => assert!(!faults.to_string().is_empty()),
    }
});
