//! Clients that ask for hosts all the time, while something is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::certificate::Certificate;
use crate::client::{Connection, GET, Response, Transport, block_on};

/// Requests one after the other on new connections, and on kept ones, for each of some hosts.
#[derive(Debug)]
pub struct Traffic {
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Tally>>,
}

#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Answers as they should be, on new connections.
    pub fresh: usize,
    /// Answers as they should be, on connections that were used before.
    pub kept: usize,
    /// Kept connections that the server closed between two requests; the request was then sent
    /// again on a new one, as browsers do.
    pub closed: usize,
    /// Everything else: when, the host, and what came.
    pub failures: Vec<(Duration, String, String)>,
}

impl Tally {
    #[must_use]
    pub fn requests(&self) -> usize {
        self.fresh + self.kept + self.failures.len()
    }

    /// The failures by what came, and the time between the first and the last.
    #[must_use]
    pub fn outage(&self) -> (BTreeMap<&str, usize>, Duration) {
        let mut kinds = BTreeMap::new();
        for (_, _, what) in &self.failures {
            *kinds.entry(what.as_str()).or_default() += 1;
        }
        let times: BTreeSet<Duration> = self.failures.iter().map(|(time, ..)| *time).collect();
        let between = match (times.first(), times.last()) {
            (Some(first), Some(last)) => last.saturating_sub(*first),
            _ => Duration::ZERO,
        };
        (kinds, between)
    }

    fn add(&mut self, other: Self) {
        self.fresh += other.fresh;
        self.kept += other.kept;
        self.closed += other.closed;
        self.failures.extend(other.failures);
    }
}

/// How long a client waits between two requests.
const PAUSE: Duration = Duration::from_millis(3);

/// How many requests a kept connection gets.
const KEPT: usize = 200;

impl Traffic {
    /// Starts two clients for each host, which is the body of its answers.
    #[must_use]
    pub fn start(server: SocketAddr, hosts: &[&str]) -> Self {
        Self::start_with(server, hosts, PAUSE, None)
    }

    /// The same with another wait between two requests of a client, and for clients that have a certificate for
    /// the servers that demand one.
    #[must_use]
    pub fn start_with(
        server: SocketAddr,
        hosts: &[&str],
        pause: Duration,
        certificate: Option<&Certificate>,
    ) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let start = Instant::now();
        let mut clients = Vec::new();
        for host in hosts {
            for is_kept in [false, true] {
                let client = Client {
                    server,
                    host: (*host).to_owned(),
                    pause,
                    certificate: certificate.cloned(),
                    is_over: Arc::clone(&is_over),
                    start,
                    tally: Tally::default(),
                };
                clients.push(thread::spawn(move || client.run(is_kept)));
            }
        }
        Self { is_over, clients }
    }

    /// Ends the clients, and returns what they saw.
    ///
    /// # Errors
    /// One of them panicked.
    pub fn end(self) -> Result<Tally> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut tally = Tally::default();
        for client in self.clients {
            tally.add(client.join().map_err(|_| anyhow!("a client panicked"))?);
        }
        tally.failures.sort();
        Ok(tally)
    }
}

struct Client {
    server: SocketAddr,
    host: String,
    pause: Duration,
    certificate: Option<Certificate>,
    is_over: Arc<AtomicBool>,
    start: Instant,
    tally: Tally,
}

impl Client {
    fn run(mut self, is_kept: bool) -> Tally {
        while !self.is_over.load(Ordering::Relaxed) {
            if is_kept {
                self.keep();
            } else {
                self.ask_fresh();
            }
            thread::sleep(self.pause);
        }
        self.tally
    }

    /// Requests on one connection, until it is closed.
    fn keep(&mut self) {
        let host = self.host.clone();
        let opened = block_on(async {
            let mut connection = self.connect().await?;
            for _ in 0..KEPT {
                let Ok(response) = connection.send(&GET, &host).await else {
                    self.tally.closed += 1;
                    return Ok(());
                };
                if self.is_right(&response, "kept") {
                    self.tally.kept += 1;
                }
                if self.is_over.load(Ordering::Relaxed) {
                    break;
                }
                tokio::time::sleep(self.pause).await;
            }
            Ok(())
        });
        match opened {
            Ok(()) => self.ask_fresh(),
            Err(error) => self.fail(format!("{error:#}")),
        }
    }

    fn ask_fresh(&mut self) {
        let response = block_on(async { self.connect().await?.send(&GET, &self.host).await });
        match response {
            Ok(response) => {
                if self.is_right(&response, "fresh") {
                    self.tally.fresh += 1;
                }
            }
            Err(error) => self.fail(format!("{error:#}")),
        }
    }

    async fn connect(&self) -> Result<Connection> {
        let transport = match &self.certificate {
            Some(certificate) => Transport::MutualTls(Some(&self.host), certificate),
            None => Transport::Tls(Some(&self.host)),
        };
        Connection::h2(self.server, transport).await
    }

    fn is_right(&mut self, response: &Response, connection: &str) -> bool {
        let is_right = response.status == 200 && response.body == self.host.as_bytes();
        if !is_right {
            self.fail(format!("{connection} {}", response.status));
        }
        is_right
    }

    fn fail(&mut self, what: String) {
        self.tally
            .failures
            .push((self.start.elapsed(), self.host.clone(), what));
    }
}
