//! What clients may send to harm a gateway with a script, and what a fault of the script does.

use std::time::{Duration, Instant};

use rule::Facts;
use serde_json::{Value, json};
use tests::client::{Connection, GET, Transport, block_on, get};
use tests::envoy::{Envoy, Filter, Guard, GuardConfig, Launch, Listener};
use tests::module;
use tests::raw::{RawConnection, Version};
use tests::script::{parse, script};
use tests::tools::envoy_versions;

use super::{decide, open_listener};
use crate::load::{check_load, resident_kib, start_load};

const A: &str = "a.example.com";
const B: &str = "b.example.com";

/// Two servers and a wildcard, for all versions of HTTP.
fn configuration() -> Value {
    json!({
        "servers": { "one": [A], "two": [B], "wildcard": ["*.example.com"] },
        "protocols": ["h1", "h2", "h3"],
    })
}

/// The longest authorities that Envoy takes, of what a pattern or a loop could be slow with.
#[test]
fn long_authorities_are_decided_quickly() {
    let config = parse(&configuration()).unwrap();
    let envoy = Envoy::start(&[open_listener("open", &configuration())]).unwrap();
    let server = envoy.listener("open").unwrap();
    let octets = 50_000;
    for authority in [
        ":".repeat(octets),
        ".".repeat(octets),
        "[".repeat(octets),
        "a".repeat(octets),
        "a.".repeat(octets / 2),
        "a:".repeat(octets / 2),
        ".example.com".repeat(octets / 12),
        ":]".repeat(octets / 2),
        format!("{}.example.com:443", "%".repeat(octets)),
    ] {
        let shown: String = authority.chars().take(20).collect();
        let decision = decide(&config, Facts::new(A.as_bytes(), authority.as_bytes()));
        let start = Instant::now();
        let mut connection = RawConnection::open(server, Some(A), Version::Http1, None).unwrap();
        for _ in 0..20 {
            let response = connection.get_kept_h1(authority.as_bytes()).unwrap();
            let status = response.unwrap().status;
            assert_eq!(status, decision.status().unwrap_or(200), "{shown}");
        }
        let spent = start.elapsed();
        assert!(spent < Duration::from_secs(2), "{shown}: {spent:?}");
    }
}

/// Header fields that are missing or repeated: Envoy and the script answer as Envoy and the module.
#[test]
fn odd_header_fields_are_decided_as_by_the_module() {
    let guard = Guard {
        module: module::build().unwrap(),
        config: GuardConfig::Inline(Some(configuration())),
    };
    let with_module = Listener {
        name: "module".into(),
        filters: vec![Filter::Guard(guard)],
        ..open_listener("module", &configuration())
    };
    let with_script = open_listener("script", &configuration());
    for version in envoy_versions() {
        let launch = Launch {
            version: &version,
            ..Launch::default()
        };
        let envoy = Envoy::start_as(&launch, &[with_script.clone(), with_module.clone()]).unwrap();
        let servers = ["script", "module"].map(|name| envoy.listener(name).unwrap());
        for (fields, expected) in HTTP2_FIELDS {
            for server in servers {
                let mut connection =
                    RawConnection::open(server, Some(A), Version::Http2, None).unwrap();
                let mut all = vec![(":method", "GET"), (":scheme", "https"), (":path", "/")];
                all.extend(*fields);
                let all: Vec<_> = all
                    .iter()
                    .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
                    .collect();
                let response = connection.request_h2(&all).unwrap();
                let answer = response
                    .as_ref()
                    .map(|response| (response.status, response.header("grpc-status")));
                assert_eq!(answer, *expected, "Envoy {version}: {fields:?}");
            }
        }
        for hosts in [[A, B], [B, A], [B, B]] {
            let [script, module] = servers.map(|server| {
                let mut connection =
                    RawConnection::open(server, Some(A), Version::Http1, None).unwrap();
                let [first, second] = hosts;
                connection
                    .get_h1(first.as_bytes(), &[("host", second)])
                    .unwrap()
            });
            assert_eq!(script, module, "Envoy {version}: {hosts:?}");
        }
    }
}

type Fields = &'static [(&'static str, &'static str)];

/// Fields of a request on a connection for [`A`], and the answer: its status, and that of gRPC.
const HTTP2_FIELDS: &[(Fields, Option<(u16, &str)>)] = &[
    // The codec resets the stream.
    (&[], None),
    (&[(":authority", B)], Some((421, ""))),
    // The codec makes the authority from `host`.
    (&[("host", B)], Some((421, ""))),
    (&[("host", A)], Some((200, ""))),
    // Two values of one field are one value with a comma, which is not gRPC.
    (
        &[
            (":authority", B),
            ("content-type", "application/grpc"),
            ("content-type", "text/plain"),
        ],
        Some((421, "")),
    ),
    (
        &[
            (":authority", B),
            ("content-type", "text/plain"),
            ("content-type", "application/grpc"),
        ],
        Some((421, "")),
    ),
    // gRPC passes.
    (
        &[(":authority", B), ("content-type", "application/grpc")],
        Some((200, "2")),
    ),
];

/// A fault at run time ends the script, and the request goes on to the next filter.
#[test]
fn a_request_passes_when_the_script_fails() {
    let script = script(&configuration()).unwrap();
    let broken = script.replace("return authority:lower()", "return authority:upper_()");
    assert_ne!(broken, script);
    let listener = Listener {
        filters: vec![Filter::Lua(broken)],
        ..open_listener("broken", &configuration())
    };
    let envoy = Envoy::start(&[listener]).unwrap();
    let server = envoy.listener("broken").unwrap();
    for authority in [A, B] {
        assert_eq!(
            get(server, A, authority).unwrap().status,
            200,
            "{authority}"
        );
    }
    let log = envoy.log().unwrap();
    assert!(log.contains("script log: "), "{log}");
    assert!(log.contains("upper_"), "{log}");
}

/// Each worker has a Lua state of its own; the counters are the sum.
#[test]
fn every_worker_decides() {
    let launch = Launch {
        workers: 4,
        ..Launch::default()
    };
    let envoy = Envoy::start_as(&launch, &[open_listener("open", &configuration())]).unwrap();
    let server = envoy.listener("open").unwrap();
    let connections = 64;
    for _ in 0..connections {
        assert_eq!(get(server, A, B).unwrap().status, 421);
        assert_eq!(
            get(server, "x.example.com", "y.example.com")
                .unwrap()
                .status,
            200
        );
    }
    let counted = envoy.script_metrics().unwrap();
    let expected = [("sni_guard.enforced.other_server".to_owned(), connections)];
    assert_eq!(counted, expected.into());
}

/// 200,000 requests of three kinds at once, and 20,000 different authorities.
#[test]
fn memory_stays_under_load() {
    let filter = Filter::Lua(script(&configuration()).unwrap());
    let listener = Listener::with_servers("guarded", &[A, B], Some(filter));
    let envoy = Envoy::start(&[listener]).unwrap();
    let server = envoy.listener("guarded").unwrap();
    let round = |requests: u32| {
        let loads = [
            (A, 2 * requests, "2xx"),
            (B, requests, "4xx"),
            ("c.example.com", requests, "4xx"),
        ]
        .map(|(authority, requests, class)| {
            (start_load(server, authority, requests, 25), requests, class)
        });
        for (load, requests, class) in loads {
            check_load(load, requests, class);
        }
        let different = requests / 2;
        block_on(async {
            let mut connection = Connection::h2(server, Transport::Tls(Some(A))).await?;
            for number in 0..different {
                let authority = format!("{number}-{}.example.com", "x".repeat(200));
                let response = connection.send(&GET, &authority).await?;
                assert_eq!(response.status, 421, "{authority}");
            }
            Ok(())
        })
        .unwrap();
    };
    round(10_000);
    let before = resident_kib(envoy.id());
    round(40_000);
    let after = resident_kib(envoy.id());
    assert!(after < before + 8 * 1024, "{before} KiB, then {after} KiB");
    let counted = envoy.script_metrics().unwrap();
    let expected = [("sni_guard.enforced.other_server".to_owned(), 125_000)];
    assert_eq!(counted, expected.into());
}
