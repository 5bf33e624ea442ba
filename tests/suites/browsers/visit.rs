//! Pages in one browser, and what gateways saw of them.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tests::browser::Browser;
use tests::envoy::{Envoy, Logged};

use super::{A, B, Row};

/// How long a browser may take until it has asked for everything.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long it asks for nothing more before it is done: a circle would go round many times.
const QUIET: Duration = Duration::from_secs(2);

/// What a gateway saw of a page.
#[derive(Debug)]
pub(crate) struct Visit {
    log: Vec<Logged>,
}

/// Opens a page of `a` on every row's gateway, each of which does something to a path of `b`, and waits
/// until all have.
pub(crate) fn visit(envoy: &Envoy, browser: Browser, rows: &[Row]) -> Vec<Visit> {
    let ports: Vec<u16> = rows
        .iter()
        .map(|row| envoy.listener(&row.listener()).unwrap().port())
        .collect();
    let page = |(row, port): (&Row, &u16)| {
        format!(
            "https://{A}:{port}/start?do={}&path={}",
            row.action, row.path
        )
    };
    let pages: Vec<String> = rows.iter().zip(&ports).map(page).collect();
    let window = browser.open(&pages, envoy.authority()).unwrap();
    let (start, mut changed, mut log) = (Instant::now(), Instant::now(), Vec::new());
    let is_done = |log: &[Logged]| {
        rows.iter()
            .zip(&ports)
            .all(|(row, port)| log.iter().any(|line| row.ends_with(*port, line)))
    };
    while !is_done(&log) || changed.elapsed() < QUIET {
        assert!(
            start.elapsed() < PATIENCE,
            "{browser:?}: {log:#?}\n{}",
            window.log()
        );
        let now = envoy.access_log().unwrap();
        if now.len() > log.len() {
            (changed, log) = (Instant::now(), now);
        }
        sleep(Duration::from_millis(50));
    }
    let of = |port: &u16| Visit {
        log: log
            .iter()
            .filter(|line| line.port() == Some(*port))
            .cloned()
            .collect(),
    };
    ports.iter().map(of).collect()
}

impl Row {
    /// Whether a request to the gateway at this port is the last of its page.
    fn ends_with(&self, port: u16, line: &Logged) -> bool {
        let is_last = match self.action {
            "navigate" => line.host() == B,
            _ => line.path.starts_with("/saw?"),
        };
        line.port() == Some(port) && is_last
    }
}

impl Visit {
    /// What `b` was answered, and on whose connections, in order.
    pub(crate) fn answers(&self) -> String {
        let answer = |line: &Logged| {
            let owner = line.sni.trim_end_matches(".example.com");
            format!("{} on {owner}", line.status)
        };
        let answers: Vec<String> = self
            .log
            .iter()
            .filter(|line| line.host() == B)
            .map(answer)
            .collect();
        answers.join(", ")
    }

    /// How many connections with the SNI of this host had requests.
    pub(crate) fn connections_for(&self, host: &str) -> usize {
        let lines = self.log.iter().filter(|line| line.sni == host);
        lines
            .map(|line| line.connection)
            .collect::<BTreeSet<_>>()
            .len()
    }

    /// What the page could read of it.
    pub(crate) fn read(&self) -> String {
        let saw = |line: &Logged| line.path.strip_prefix("/saw?").map(str::to_owned);
        self.log
            .iter()
            .find_map(saw)
            .unwrap_or_default()
            .replace("%20", " ")
    }
}
