//! Any authority: the rule reads its host, and finds a pattern for it, as Envoy does. Envoy's two
//! functions are written here once more, step by step and as slow as they like.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rule::host::HostTable;
use rule::{Host, HostPattern};

const PATTERNS: [&str; 7] = ["a", "a.b", "*.b", "*.a.b", "*.c.a.b", "*.x-1", "*"];

static TABLE: LazyLock<HostTable<&str>> = LazyLock::new(|| {
    let mut table = HostTable::default();
    for pattern in PATTERNS {
        table.insert(HostPattern::try_from(pattern).expect("a pattern"), pattern);
    }
    table
});

fuzz_target!(|authority: &[u8]| {
    let host = Host::from_authority(authority);
    let expected = match port_start(authority) {
        Some(start) => &authority[..start],
        None => authority,
    };
    let lower = expected.to_ascii_lowercase();
    assert_eq!(host.to_string(), lower.escape_ascii().to_string());
    assert_eq!(TABLE.best(host), Some(&virtual_host(&lower)));
});

/// Envoy `source/common/http/header_utility.cc`, `getPortStart`.
fn port_start(host: &[u8]) -> Option<usize> {
    let last = |wanted: u8| {
        let positions = (0..host.len()).filter(|at| host[*at] == wanted);
        positions.max()
    };
    let port_start = last(b':')?;
    match last(b']') {
        Some(bracket) if bracket > port_start => None,
        _ => Some(port_start),
    }
}

/// Envoy `source/common/router/config_impl.cc`, `findVirtualHost` and `findWildcardVirtualHost`.
fn virtual_host(host: &[u8]) -> &'static str {
    // The exact domains.
    if let Some(exact) = PATTERNS.iter().find(|pattern| pattern.as_bytes() == host) {
        return exact;
    }
    // The wildcards, the longest first, each of which needs something in front.
    let mut wildcards: Vec<&str> = PATTERNS
        .into_iter()
        .filter(|pattern| pattern.starts_with("*."))
        .collect();
    wildcards.sort_by_key(|pattern| std::cmp::Reverse(pattern.len()));
    for wildcard in wildcards {
        let suffix = &wildcard.as_bytes()[1..];
        if suffix.len() < host.len() && host[host.len() - suffix.len()..] == *suffix {
            return wildcard;
        }
    }
    "*"
}
