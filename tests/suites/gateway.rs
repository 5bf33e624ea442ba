//! The filter on a real Envoy, beyond single decisions.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::client::{Ask, Connection, GET, Transport, block_on, get};
use tests::envoy::{Envoy, Filter, Guard, GuardConfig, Launch, Listener};
use tests::module;
use tests::process::packager_with_input;
use tests::tools::{checkout, envoy_versions};

const A: &str = "a.example.com";
const B: &str = "b.example.com";

/// Two TLS servers, each with a host of its own.
fn gateway(name: &str, guard: Option<Guard>) -> Listener {
    Listener::with_servers(name, &[A, B], guard.map(Filter::Guard))
}

fn servers() -> Value {
    json!({ "servers": { "one": [A], "two": [B] } })
}

fn guard(config: GuardConfig) -> Guard {
    Guard {
        module: module::build().unwrap(),
        config,
    }
}

/// The defect without the filter, and the 421 with it, on one connection each.
#[test]
fn a_reused_connection_is_answered_421_and_a_new_one_200() {
    let guarded = guard(GuardConfig::Inline(Some(servers())));
    let unconfigured = guard(GuardConfig::Inline(None));
    let envoy = Envoy::start(&[
        gateway("plain", None),
        gateway("guarded", Some(guarded)),
        gateway("unconfigured", Some(unconfigured)),
    ])
    .unwrap();
    for (listener, status) in [("plain", 404), ("guarded", 421), ("unconfigured", 421)] {
        let address = envoy.listener(listener).unwrap();
        let statuses = block_on(async {
            let mut connection = Connection::h2(address, Transport::Tls(Some(A))).await?;
            let mut statuses = Vec::new();
            for authority in [A, B, A, "c.example.com", A] {
                statuses.push(connection.send(&GET, authority).await?.status);
            }
            Ok(statuses)
        })
        .unwrap();
        // No server has c, as far as this connection shows.
        assert_eq!(statuses, [200, status, 200, status, 200], "{listener}");
        assert_eq!(get(address, B, B).unwrap().status, 200, "{listener}");
    }
}

#[test]
fn the_access_log_says_why() {
    let guard = guard(GuardConfig::Inline(Some(servers())));
    let envoy = Envoy::start(&[gateway("guarded", Some(guard))]).unwrap();
    assert_eq!(
        get(envoy.listener("guarded").unwrap(), A, B)
            .unwrap()
            .status,
        421
    );
    eventually("the access log", || {
        let lines = envoy.access_log().unwrap();
        lines.iter().any(|line| {
            (line.authority.as_str(), line.status, line.details.as_str())
                == (B, 421, "sni_guard_other_server")
        })
    });
    let log = envoy.log().unwrap();
    let warning = "sni a.example.com of server one, authority b.example.com of server two, \
                   reason other_server, answered 421";
    assert!(log.contains(warning), "{log}");
}

#[test]
fn grpc_is_refused_in_its_own_words() {
    let config = json!({ "servers": { "one": [A], "two": [B] }, "grpc": "reject" });
    let guard = guard(GuardConfig::Inline(Some(config)));
    let envoy = Envoy::start(&[gateway("guarded", Some(guard))]).unwrap();
    let address = envoy.listener("guarded").unwrap();
    let ask = Ask {
        method: "POST",
        headers: &[("content-type", "application/grpc")],
    };
    let response = block_on(async {
        Connection::h2(address, Transport::Tls(Some(A)))
            .await?
            .send(&ask, B)
            .await
    })
    .unwrap();
    // UNAVAILABLE; over gRPC the HTTP status is always 200.
    assert_eq!(
        (response.status, response.header("grpc-status")),
        (200, "14")
    );
    assert_eq!(
        envoy
            .metrics()
            .unwrap()
            .get("sni_guard.enforced.other_server"),
        Some(&1)
    );
}

/// The answer comes while the body is still on its way: the stream ends, the others go on.
#[test]
fn a_large_body_neither_hangs_nor_breaks_the_connection() {
    let guard = guard(GuardConfig::Inline(Some(servers())));
    let envoy = Envoy::start(&[gateway("guarded", Some(guard))]).unwrap();
    let address = envoy.listener("guarded").unwrap();
    let statuses = block_on(async {
        let mut connection = Connection::h2(address, Transport::Tls(Some(A))).await?;
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(connection.upload(B, 5_000_000).await?.status);
            statuses.push(connection.send(&GET, A).await?.status);
        }
        Ok(statuses)
    })
    .unwrap();
    assert_eq!(statuses, [421, 200, 421, 200, 421, 200]);
}

#[test]
fn an_upgrade_to_websocket_is_a_request_like_others() {
    let config = json!({ "servers": { "one": [A], "two": [B] }, "protocols": ["h1", "h2"] });
    let guard = guard(GuardConfig::Inline(Some(config)));
    let envoy = Envoy::start(&[gateway("plain", None), gateway("guarded", Some(guard))]).unwrap();
    let headers = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let ask = Ask {
        method: "GET",
        headers: &headers,
    };
    let status = |listener: &str, authority: &str| {
        let address = envoy.listener(listener).unwrap();
        let response = block_on(async {
            Connection::h1(address, Transport::Tls(Some(A)))
                .await?
                .send(&ask, authority)
                .await
        });
        response.unwrap().status
    };
    assert_eq!(status("guarded", B), 421);
    // This gateway does not speak WebSocket, and refuses it with the filter and without.
    assert_eq!(status("guarded", A), status("plain", A));
}

/// Envoy shows filters an extended CONNECT as the upgrade that it is, and not as a CONNECT, which
/// would pass.
#[test]
fn a_websocket_over_http2_is_a_request_like_others() {
    let guard = guard(GuardConfig::Inline(Some(servers())));
    let envoy = Envoy::start(&[gateway("plain", None), gateway("guarded", Some(guard))]).unwrap();
    let status = |listener: &str, authority: &str| {
        let address = envoy.listener(listener).unwrap();
        let response = block_on(async {
            let mut connection = Connection::h2(address, Transport::Tls(Some(A))).await?;
            // The server's settings come with its first answer at the latest.
            connection.send(&GET, A).await?;
            connection.websocket(authority).await
        });
        response.unwrap().status
    };
    assert_eq!((status("plain", B), status("guarded", B)), (404, 421));
    assert_eq!((status("plain", A), status("guarded", A)), (200, 200));
}

/// A gateway that starts with a configuration that nobody can use, as Istio delivers it: it serves
/// as if there were no filter, says what is wrong, and enforces once it is mended.
#[test]
fn an_invalid_configuration_is_no_outage() {
    for (invalid, faults) in [
        (json!({ "servers": { "x": ["*foo.com"] } }), 1),
        (json!({ "servers": { "one": [A] }, "hots": {} }), 1),
        (json!({ "servers": { "one": [A], "two": [B, A] } }), 1),
        (
            json!({ "servers": { "one": ["*foo.com", "b:1"] }, "rule": "exact", "action": 1 }),
            4,
        ),
        (json!([]), 1),
    ] {
        check_invalid(&invalid, faults);
    }
}

#[track_caller]
fn check_invalid(invalid: &Value, faults: usize) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("filter.json");
    let guard = guard(GuardConfig::Discovered(file.clone()));
    guard.deliver(&file, &invalid.to_string()).unwrap();
    let envoy = Envoy::start(&[gateway("guarded", Some(guard.clone()))]).unwrap();
    let address = envoy.listener("guarded").unwrap();
    let status = |authority| get(address, A, authority).unwrap().status;
    assert_eq!((status(A), status(B)), (200, 404), "{invalid}");
    assert_eq!(
        envoy.metrics().unwrap().get("sni_guard.config_invalid"),
        Some(&1),
        "{invalid}"
    );

    // The command line prints the same words.
    let run = packager_with_input(
        &["explain", "--config", "-", "--sni", A, "--authority", B],
        &invalid.to_string(),
    );
    assert_eq!(run.status, 2, "{}", run.talk);
    let log = envoy.log().unwrap();
    let said: Vec<&str> = run
        .talk
        .lines()
        .filter_map(|line| line.strip_prefix("error: configuration -: "))
        .collect();
    assert_eq!(said.len(), faults, "{}", run.talk);
    for fault in said {
        assert!(
            log.contains(&format!("every request passes: {fault}\n")),
            "{fault}: {log}"
        );
    }

    let invalid_gauge = || {
        envoy
            .metrics()
            .unwrap()
            .get("sni_guard.config_invalid")
            .copied()
    };
    let mended = servers();
    // Then the running gateway gets it once more.
    for (config, expected, gauge) in [(&mended, 421, 0), (invalid, 404, 1), (&mended, 421, 0)] {
        guard.deliver(&file, &config.to_string()).unwrap();
        eventually("the new configuration", || status(B) == expected);
        assert_eq!(status(A), 200, "{config}");
        eventually(&format!("gauge {gauge} with {config}"), || {
            invalid_gauge() == Some(gauge)
        });
    }
}

/// The gauge counts configurations: workers, valid ones and updates do not hide invalid ones.
#[test]
fn the_gauge_counts_invalid_configurations() {
    let folder = TempDir::new().unwrap();
    let deliver = |name: &str, config: &Value| {
        let file = folder.path().join(name);
        let guard = guard(GuardConfig::Discovered(file.clone()));
        guard.deliver_as(name, &file, &config.to_string()).unwrap();
        gateway(name, Some(guard))
    };
    let (valid, invalid) = (servers(), json!({ "nope": 1 }));
    let listeners = [
        deliver("one", &invalid),
        deliver("two", &valid),
        deliver("three", &json!({ "nope": 3 })),
    ];
    let launch = Launch {
        workers: 3,
        ..Launch::default()
    };
    let envoy = Envoy::start_as(&launch, &listeners).unwrap();
    let gauge = || {
        let metrics = envoy.metrics().unwrap();
        metrics.get("sni_guard.config_invalid").copied()
    };
    eventually("two invalid configurations", || gauge() == Some(2));
    // It stays so: each worker has a timer, and none reports the other configurations as gone.
    for _ in 0..30 {
        sleep(Duration::from_millis(100));
        assert_eq!(gauge(), Some(2));
    }
    deliver("one", &valid);
    eventually("one is valid", || gauge() == Some(1));
    deliver("two", &invalid);
    eventually("another is broken", || gauge() == Some(2));
    deliver("two", &json!({ "other": 1 }));
    sleep(Duration::from_secs(5));
    assert_eq!(gauge(), Some(2), "replaced by another invalid one");
    deliver("two", &valid);
    deliver("three", &valid);
    eventually("all are valid", || gauge() == Some(0));
    sleep(Duration::from_secs(4));
    assert_eq!(gauge(), Some(0));
}

/// With the action `report` the access log can show why a request is misdirected that passes.
#[test]
fn the_access_log_shows_what_is_reported() {
    let config = json!({ "servers": { "one": [A], "two": [B] }, "action": "report" });
    let guard = guard(GuardConfig::Inline(Some(config)));
    for version in envoy_versions() {
        let launch = Launch {
            version: &version,
            ..Launch::default()
        };
        let listeners = [gateway("guarded", Some(guard.clone()))];
        let envoy = Envoy::start_as(&launch, &listeners).unwrap();
        let address = envoy.listener("guarded").unwrap();
        assert_eq!(get(address, A, B).unwrap().status, 404);
        assert_eq!(get(address, A, A).unwrap().status, 200);
        eventually("the access log", || {
            let lines = envoy.access_log().unwrap();
            let reported: Vec<_> = lines
                .iter()
                .map(|line| (line.authority.as_str(), line.reported.as_str()))
                .collect();
            reported == [(B, "other_server"), (A, "-")]
        });
    }
}

/// Whatever a configuration is, a gateway that starts with it serves.
#[test]
fn no_seed_of_the_fuzzer_is_an_outage() {
    let seeds = fs::read_dir(checkout().join("fuzz/seeds/configuration")).unwrap();
    let mut tried = 0;
    for seed in seeds {
        let path = seed.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("filter.json");
        let guard = guard(GuardConfig::Discovered(file.clone()));
        guard.deliver(&file, &text).unwrap();
        let envoy = Envoy::start(&[gateway("guarded", Some(guard))]).unwrap();
        let address = envoy.listener("guarded").unwrap();
        assert_eq!(
            get(address, A, A).unwrap().status,
            200,
            "{}",
            path.display()
        );
        assert_ne!(
            get(address, A, B).unwrap().status,
            200,
            "{}",
            path.display()
        );
        tried += 1;
    }
    assert!(tried > 10, "{tried}");
}

#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within ten seconds");
        sleep(Duration::from_millis(20));
    }
}
