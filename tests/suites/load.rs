//! The filter under load: nothing is lost, nothing is miscounted, nothing piles up.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::client::{Connection, GET, Transport, block_on, get};
use tests::envoy::{Envoy, Filter, Guard, GuardConfig, Listener};
use tests::fake_host::{Facts, FakeHost, Module};
use tests::module;

fn guard(config: GuardConfig) -> Guard {
    Guard {
        module: module::build().unwrap(),
        config,
    }
}

fn listener(guard: &Guard) -> Listener {
    let hosts = ["a.example.com", "b.example.com"];
    Listener::with_servers("guarded", &hosts, Some(Filter::Guard(guard.clone())))
}

fn servers() -> Value {
    json!({ "servers": { "one": ["a.example.com"], "two": ["b.example.com"] } })
}

/// Load on connections with SNI a.example.com.
pub(super) fn start_load(
    address: SocketAddr,
    authority: &str,
    requests: u32,
    connections: u32,
) -> Child {
    Command::new("h2load")
        .args([
            format!("--requests={requests}"),
            format!("--clients={connections}"),
        ])
        .args([
            "--max-concurrent-streams=10".to_owned(),
            format!("--connect-to={address}"),
        ])
        .arg(format!("--header=:authority: {authority}"))
        .arg("https://a.example.com/")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[track_caller]
pub(super) fn check_load(load: Child, requests: u32, class: &str) {
    let output = String::from_utf8(load.wait_with_output().unwrap().stdout).unwrap();
    assert!(output.contains(&format!(" {requests} done, ")), "{output}");
    assert!(output.contains(&format!("{requests} {class}")), "{output}");
}

pub(super) fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// 200,000 requests of three kinds at once, on 100 connections.
#[test]
fn counters_add_up_and_memory_stays() {
    let envoy = Envoy::start(&[listener(&guard(GuardConfig::Inline(Some(servers()))))]).unwrap();
    let address = envoy.listener("guarded").unwrap();
    let round = |requests: u32| {
        let kinds = [
            ("a.example.com", 2 * requests, "2xx"),
            ("b.example.com", requests, "4xx"),
            ("c.example.com", requests, "4xx"),
        ];
        let loads = kinds.map(|(authority, requests, class)| {
            let connections = if authority == "a.example.com" { 50 } else { 25 };
            (
                start_load(address, authority, requests, connections),
                requests,
                class,
            )
        });
        for (load, requests, class) in loads {
            check_load(load, requests, class);
        }
    };
    round(10_000);
    let before = resident_kib(envoy.id());
    round(40_000);
    let after = resident_kib(envoy.id());
    let metrics = envoy.metrics().unwrap();
    let counted: Vec<_> = metrics.iter().filter(|(_, count)| **count > 0).collect();
    let (enforced, unrouted) = (
        "sni_guard.enforced.other_server",
        "sni_guard.enforced.unrouted",
    );
    assert_eq!(
        counted,
        [
            (&enforced.to_owned(), &50_000),
            (&unrouted.to_owned(), &50_000)
        ]
    );
    assert!(after < before + 8 * 1024, "{before} KiB, then {after} KiB");
}

/// The module's own memory, to the octet.
#[test]
fn the_module_forgets_every_request() {
    let module = Module::load(&module::build().unwrap()).unwrap();
    let mut host = FakeHost::start(&module, servers().to_string().as_bytes()).unwrap();
    let requests = ["a.example.com", "b.example.com", "c.example.com"].map(|authority| {
        let mut facts = Facts::default();
        let sni = "connection.requested_server_name";
        facts
            .properties
            .insert(sni.into(), b"a.example.com".to_vec());
        facts
            .properties
            .insert("request.protocol".into(), b"HTTP/2".to_vec());
        facts.headers.insert(":authority".into(), authority.into());
        facts
    });
    let mut run = |count: usize| {
        for facts in requests.iter().cycle().take(count) {
            host.request(facts).unwrap();
        }
        host.memory_size()
    };
    let (early, late) = (run(100), run(10_000));
    assert_eq!(early, late);
}

/// Configurations that were replaced do not pile up. One of this size takes more than half a MiB.
#[test]
fn replaced_configurations_are_forgotten() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("filter.json");
    let guard = guard(GuardConfig::Discovered(file.clone()));
    let deliver = |round: usize| {
        let servers: BTreeMap<String, [String; 1]> = (0..5_000)
            .map(|n| {
                (
                    format!("server-{n}"),
                    [format!("host-{n}.round-{round}.example.com")],
                )
            })
            .collect();
        guard
            .deliver(&file, &json!({ "servers": servers }).to_string())
            .unwrap();
    };
    deliver(0);
    let envoy = Envoy::start(&[listener(&guard)]).unwrap();
    let taken_up = || {
        envoy
            .log()
            .unwrap()
            .matches("sni-guard: configured")
            .count()
    };
    let replace = |rounds: std::ops::Range<usize>| {
        for round in rounds {
            let before = taken_up();
            deliver(round);
            // Envoy needs a moment to take the old one down.
            sleep(Duration::from_millis(100));
            let deadline = Instant::now() + Duration::from_secs(10);
            while taken_up() == before {
                assert!(Instant::now() < deadline, "round {round} is not taken up");
                sleep(Duration::from_millis(10));
            }
        }
        resident_kib(envoy.id())
    };
    let (early, late) = (replace(1..20), replace(20..80));
    assert!(late < early + 16 * 1024, "{early} KiB, then {late} KiB");
}

/// The configuration is replaced again and again while requests are served.
#[test]
fn a_new_configuration_loses_no_request() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("filter.json");
    let guard = guard(GuardConfig::Discovered(file.clone()));
    let configurations = [
        servers(),
        json!({}),
        json!({ "rule": "exact" }),
        json!({ "nope": 1 }),
    ];
    guard
        .deliver(&file, &configurations[0].to_string())
        .unwrap();
    let envoy = Envoy::start(&[listener(&guard)]).unwrap();
    let load = start_load(
        envoy.listener("guarded").unwrap(),
        "a.example.com",
        100_000,
        20,
    );
    for config in configurations.iter().cycle().take(41) {
        guard.deliver(&file, &config.to_string()).unwrap();
        sleep(Duration::from_millis(50));
    }
    check_load(load, 100_000, "2xx");
    let started = envoy.log().unwrap().matches("sni-guard: ").count();
    assert!(started > 20, "{started} configurations were taken up");
}

/// The listener, and with it the configuration, is replaced again and again while requests are
/// served. Envoy drains the connections of the chains that were replaced: it sends GOAWAY, answers
/// what it took, and the client goes on with a new connection.
#[test]
fn a_new_listener_loses_no_request() {
    let inline = |config: Value| listener(&guard(GuardConfig::Inline(Some(config))));
    let updates = [(json!({ "action": "off" }), 404), (servers(), 421)];
    let envoy = Envoy::start_discovering(&[inline(servers())]).unwrap();
    let address = envoy.listener("guarded").unwrap();
    let stop = AtomicBool::new(false);
    let clients = thread::scope(|scope| {
        let clients = [(); 8].map(|()| scope.spawn(|| ask_until(&stop, address)));
        for (config, expected) in updates.iter().cycle().take(6) {
            envoy.replace_listeners(&[inline(config.clone())]).unwrap();
            let status = || {
                get(address, "a.example.com", "b.example.com")
                    .unwrap()
                    .status
            };
            let deadline = Instant::now() + Duration::from_secs(10);
            while status() != *expected {
                assert!(Instant::now() < deadline, "{config} is not in force");
                sleep(Duration::from_millis(20));
            }
            // Longer than what Envoy was given to drain.
            sleep(Duration::from_millis(1_500));
        }
        stop.store(true, Ordering::Relaxed);
        clients.map(|client| client.join().unwrap().unwrap())
    });
    for (requests, connections) in clients {
        assert!(requests > 100, "{requests} requests");
        assert!((4..20).contains(&connections), "{connections} connections");
    }
    let counted = envoy
        .admin("/stats?filter=listener_in_place_updated")
        .unwrap();
    assert_eq!(
        counted.trim(),
        "listener_manager.listener_in_place_updated: 6"
    );
}

/// Sends requests one after the other and wants a 200 for each. A client goes on with a new
/// connection, and repeats the request that it was about to send, where the server sends GOAWAY
/// without an error: what it did not take it did not touch (RFC 9113 §6.8). Returns the requests
/// and the connections.
fn ask_until(stop: &AtomicBool, address: SocketAddr) -> Result<(usize, usize)> {
    block_on(async {
        let (mut requests, mut connections) = (0, 0);
        'connections: loop {
            let transport = Transport::Tls(Some("a.example.com"));
            let mut connection = Connection::h2(address, transport).await?;
            connections += 1;
            while !stop.load(Ordering::Relaxed) {
                match connection.send(&GET, "a.example.com").await {
                    Ok(response) => ensure!(response.status == 200, "{response:?}"),
                    Err(error) if is_end_of_connection(&error) => continue 'connections,
                    Err(error) => return Err(error),
                }
                requests += 1;
            }
            return Ok((requests, connections));
        }
    })
}

fn is_end_of_connection(error: &anyhow::Error) -> bool {
    error.downcast_ref::<h2::Error>().is_some_and(|error| {
        error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
    })
}
