//! Chromium and Firefox on a real Envoy: what they do with a connection that is good for another host,
//! and with 421.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod visit;

use std::net::SocketAddr;

use serde_json::{Value, json};
use tests::backend;
use tests::browser::Browser;
use tests::envoy::{Chain, Envoy, Filter, Guard, GuardConfig, Listener, Transport, VirtualHost};
use tests::module;

use self::Gateway::{Guarded, Merged, Plain, Reporting};
use self::visit::visit;

const A: &str = "a.example.com";
const B: &str = "b.example.com";

/// A page of `a`, on a gateway of its own.
struct Row {
    gateway: Gateway,
    /// What the page does: `navigate`, `fetch`, or `post` with 200,000 octets.
    action: &'static str,
    /// To which path of `b`.
    path: &'static str,
    /// What `b` is answered, and on whose connection.
    answers: &'static str,
    /// What the page reads of that: the status, and how many octets the backend got. It reads
    /// `nothing` of an answer that does not let pages of others read it.
    read: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gateway {
    /// Two servers without the filter.
    Plain,
    /// The same with it.
    Guarded,
    /// The same with `action: report`.
    Reporting,
    /// One server for both, with the filter.
    Merged,
}

const fn row(
    gateway: Gateway,
    action: &'static str,
    path: &'static str,
    answers: &'static str,
    read: &'static str,
) -> Row {
    Row {
        gateway,
        action,
        path,
        answers,
        read,
    }
}

const ROWS: &[Row] = &[
    // The defect: the connection is reused, for the next page as for what a page asks for.
    row(Plain, "navigate", "/page", "404 on a", ""),
    row(Plain, "fetch", "/page", "404 on a", "nothing"),
    row(Plain, "post", "/page", "404 on a", "nothing"),
    // The filter answers 421, and the browser repeats the request on a new connection.
    row(Guarded, "navigate", "/page", "421 on a, 200 on b", ""),
    row(Guarded, "fetch", "/page", "421 on a, 200 on b", "200 0"),
    row(Guarded, "post", "/page", "421 on a, 200 on b", "200 200000"),
    // Reporting changes nothing, and counts.
    row(Reporting, "navigate", "/page", "404 on a", ""),
    row(Reporting, "fetch", "/page", "404 on a", "nothing"),
    // One server for both: the filter has nothing to do, and the connection is shared.
    row(Merged, "navigate", "/page", "200 on a", ""),
    row(Merged, "fetch", "/page", "200 on a", "200 0"),
    row(Merged, "post", "/page", "200 on a", "200 200000"),
    // A backend that always answers 421: browsers repeat the request once, and not for ever.
    row(
        Guarded,
        "navigate",
        "/misdirected",
        "421 on a, 421 on b",
        "",
    ),
    row(
        Guarded,
        "fetch",
        "/misdirected",
        "421 on a, 421 on b",
        "421 0",
    ),
    row(
        Guarded,
        "post",
        "/misdirected",
        "421 on a, 421 on b",
        "421 200000",
    ),
];

#[test]
fn chromium_does_what_the_rows_say() {
    check(Browser::Chromium);
}

#[test]
fn firefox_does_what_the_rows_say() {
    check(Browser::Firefox);
}

#[track_caller]
fn check(browser: Browser) {
    let backend = backend::start().unwrap();
    let listeners: Vec<Listener> = ROWS.iter().map(|row| row.gateway(backend)).collect();
    let envoy = Envoy::start(&listeners).unwrap();
    for (row, visit) in ROWS.iter().zip(visit(&envoy, browser, ROWS)) {
        let seen = format!("{browser:?}, {}: {visit:#?}", row.listener());
        assert_eq!(visit.answers(), row.answers, "{seen}");
        assert_eq!(visit.read(), row.read, "{seen}");
        // A second connection is there where it is needed, and only there.
        let answers: Vec<&str> = row.answers.split(", ").collect();
        let second = answers
            .iter()
            .filter(|answer| answer.ends_with("on b"))
            .count();
        assert_eq!(visit.connections_for(B), second, "{seen}");
        // Firefox uses a connection that was answered 421 no more.
        let left = browser == Browser::Firefox && second > 0 && !row.read.is_empty();
        assert_eq!(visit.connections_for(A), 1 + usize::from(left), "{seen}");
        // So says Envoy. Firefox opens some in advance as well.
        let counter = |name| {
            let name = format!("http.{}.{name}", row.listener());
            usize::try_from(envoy.statistic(&name).unwrap()).unwrap()
        };
        let connections = counter("downstream_cx_http2_total");
        assert!(connections > second, "{seen}");
        assert!(
            browser == Browser::Firefox || connections == 1 + second,
            "{seen}"
        );
        let errors = answers
            .iter()
            .filter(|answer| answer.starts_with('4'))
            .count();
        assert_eq!(counter("downstream_rq_4xx"), errors, "{seen}");
    }
    let metrics = envoy.metrics().unwrap();
    let of = |gateway| ROWS.iter().filter(|row| row.gateway == gateway).count();
    let counted = |action: &str| {
        metrics
            .get(&format!("sni_guard.{action}.other_server"))
            .copied()
    };
    assert_eq!(counted("enforced"), u64::try_from(of(Guarded)).ok());
    assert_eq!(counted("reported"), u64::try_from(of(Reporting)).ok());
}

impl Row {
    /// The name of its gateway.
    fn listener(&self) -> String {
        format!(
            "{:?}-{}-{}",
            self.gateway,
            self.action,
            self.path.trim_start_matches('/')
        )
    }

    /// Its gateway: both hosts with one certificate.
    fn gateway(&self, backend: SocketAddr) -> Listener {
        let apart = json!({ "one": [A], "two": [B] });
        let (servers, config): (&[&[&str]], _) = match self.gateway {
            Plain => (&[&[A], &[B]], None),
            Guarded => (&[&[A], &[B]], Some(json!({ "servers": apart }))),
            Reporting => (
                &[&[A], &[B]],
                Some(json!({ "servers": apart, "action": "report" })),
            ),
            Merged => (&[&[A, B]], Some(json!({ "servers": { "both": [A, B] } }))),
        };
        gateway(self.listener(), backend, servers, config)
    }
}

fn gateway(
    name: String,
    backend: SocketAddr,
    servers: &[&[&str]],
    config: Option<Value>,
) -> Listener {
    let host = |host: &&str| VirtualHost {
        backend: Some(backend),
        ..VirtualHost::of(host)
    };
    let chain = |hosts: &&[&str]| Chain {
        server_names: hosts.iter().map(|host| (*host).to_owned()).collect(),
        virtual_hosts: hosts.iter().map(host).collect(),
    };
    let guard = |config| Guard {
        module: module::build().unwrap(),
        config: GuardConfig::Inline(Some(config)),
    };
    Listener {
        name,
        transport: Transport::Tls,
        chains: servers.iter().map(chain).collect(),
        filters: config.map(guard).map(Filter::Guard).into_iter().collect(),
    }
}
