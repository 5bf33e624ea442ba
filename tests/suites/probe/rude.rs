//! Servers that break off, say nothing, or too much.

use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tests::certificate::Certificate;
use tests::rude_server::{Manner, RudeServer};

use super::{A, B, Run, probe, report, verdicts};

fn server(manner: Manner) -> RudeServer {
    let folder = TempDir::new().unwrap();
    let certificate = Certificate::generate(folder.path(), &["*.example.com"]).unwrap();
    RudeServer::start(manner, &certificate).unwrap()
}

/// What it says, how it ends, and that it takes not much longer than two time-outs.
#[track_caller]
fn check(manner: Manner, status: u8, out: &str, talk: &str) {
    let server = server(manner);
    let began = Instant::now();
    let Run {
        status: found,
        out: wrote,
        talk: said,
    } = probe(&server.address(), A, &[B], &["--timeout", "1"]);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{manner:?}: {:?}",
        began.elapsed()
    );
    assert_eq!(found, status, "{manner:?}: {wrote}{said}");
    assert!(
        wrote.contains(out) && (!out.is_empty() || wrote.is_empty()),
        "{manner:?}: {wrote}"
    );
    assert!(said.contains(talk), "{manner:?}: {said}");
    assert_eq!(
        said.contains("hint: "),
        !talk.is_empty(),
        "{manner:?}: {said}"
    );
}

#[test]
fn none_hangs_or_passes() {
    let connecting = "error: connecting to 127.0.0.1:";
    let asking = "error: requesting b.example.com on the reused connection: ";
    let unknown = "b.example.com  yes      unknown  unknown  unknown\n";
    let reset = "b.example.com  yes      reset   reset  reset\n";
    for (manner, status, out, talk) in [
        (
            Manner::Silent,
            2,
            "",
            "with SNI a.example.com: no answer within 1 s\nhint: increase --timeout",
        ),
        (
            Manner::Garbage,
            2,
            "",
            "with SNI a.example.com: the server does not use TLS on this port\n",
        ),
        (Manner::Silent, 2, "", connecting),
        (
            Manner::Stalling,
            2,
            unknown,
            &format!("{asking}no answer within 1 s\n"),
        ),
        (
            Manner::GarbageInside,
            2,
            unknown,
            &format!("{asking}the server violates HTTP/2: "),
        ),
        (Manner::Closing, 1, reset, ""),
        (Manner::Resetting, 1, reset, ""),
    ] {
        check(manner, status, out, talk);
    }
}

/// Two authorities on two kinds of connection: four bodies of one MiB, and what is under way.
#[test]
fn no_more_of_a_body_is_read_than_one_mebibyte() {
    let server = server(Manner::Endless);
    let (run, report) = report(&server.address(), A, &[A, B], &["--timeout", "5"]);
    assert_eq!(
        verdicts(&report),
        [(A, "fixed-by-merge"), (B, "fixed-by-merge")],
        "{}",
        run.talk
    );
    let body = report["results"][0]["fresh"]["body"].as_str().unwrap();
    assert!(body.starts_with("beginning-sha256:"), "{body}");
    let sent = server.octets();
    assert!((4 << 20..6 << 20).contains(&sent), "{sent}");
}

/// A stream of events has no end: its head is compared.
#[test]
fn a_body_without_an_end_is_left_out() {
    let server = server(Manner::Trickling);
    let (run, report) = report(&server.address(), A, &[B], &["--timeout", "1"]);
    assert_eq!(
        (run.status, verdicts(&report)),
        (0, vec![(B, "fixed-by-merge")]),
        "{}",
        run.talk
    );
    assert!(report["results"][0]["fresh"]["body"].is_null(), "{report}");
}

#[test]
fn sixteen_requests_at_a_time() {
    let server = server(Manner::Slow);
    let hosts: Vec<String> = (0..40).map(|n| format!("h{n}.example.com")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let (run, report) = report(&server.address(), A, &hosts, &[]);
    assert_eq!(run.status, 0, "{}", run.talk);
    let found: Vec<&str> = verdicts(&report)
        .into_iter()
        .map(|(host, _)| host)
        .collect();
    assert_eq!(found, hosts);
    let at_a_time = server.at_a_time();
    assert!((4..=16).contains(&at_a_time), "{at_a_time}");
}

/// A gateway that is gone in a later round is no reason to stop, and no success.
#[test]
fn a_gateway_goes_away_between_rounds() {
    let server = server(Manner::Slow);
    let address = server.address();
    let rounds = ["--repeat", "3", "--interval", "1", "--output", "json"];
    let probing = thread::spawn(move || probe(&address, A, &[B], &rounds));
    thread::sleep(Duration::from_millis(700));
    drop(server);
    let run = probing.join().unwrap();
    assert_eq!(
        (run.status, run.out.lines().count()),
        (2, 1),
        "{}{}",
        run.out,
        run.talk
    );
    assert_eq!(
        run.talk.matches("error: connecting to ").count(),
        2,
        "{}",
        run.talk
    );
    assert!(run.talk.contains("3 rounds in "), "{}", run.talk);
}

#[test]
fn http_1_1_is_asked_all_the_same() {
    let server = server(Manner::Old);
    let (run, report) = report(&server.address(), A, &[A, "b.example.com:8443"], &[]);
    assert_eq!(run.status, 0, "{}", run.talk);
    assert_eq!(report["alpn"], "http/1.1");
    let result = &report["results"][1];
    assert_eq!(
        (&result["status"], &result["covered"]),
        (&200.into(), &true.into())
    );
    assert_eq!(result["reused"], result["fresh"]);
    assert_ne!(result["reused"], report["results"][0]["reused"]);
    assert_eq!(
        verdicts(&report)[1],
        ("b.example.com:8443", "not-coalescible")
    );
}
