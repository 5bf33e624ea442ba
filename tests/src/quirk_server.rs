//! A reverse proxy in front of a real registry that imitates one quirk of networks, of registries of
//! vendors, or of proxies.

mod exchange;
mod quirk;
mod socks;

use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

pub use self::exchange::{Answer, Request};
use self::quirk::{Action, act};
pub use self::quirk::{Encoding, Fault, Plan, Quirk, TOKEN, encode};
pub use self::socks::SocksServer;

/// A server, ended with this value.
#[derive(Debug)]
pub struct QuirkServer {
    address: SocketAddr,
    state: Arc<State>,
}

/// What the server saw so far.
#[derive(Debug)]
struct State {
    quirk: Quirk,
    upstream: SocketAddr,
    port: u16,
    ended: AtomicBool,
    seen: Mutex<Vec<Request>>,
    /// The number of requests that had the quirk.
    odd: Mutex<usize>,
}

impl State {
    /// Counts a request with the quirk, if there were fewer than a number of them.
    fn is_among_first(&self, times: usize) -> bool {
        let mut odd = self.odd.lock().unwrap_or_else(PoisonError::into_inner);
        if *odd >= times {
            return false;
        }
        *odd += 1;
        true
    }

    /// The status with which the registry behind answers a request for a path.
    fn upstream_status(&self, path: &str) -> u16 {
        let head = format!(
            "HEAD {path} HTTP/1.1\r\nhost: localhost\r\naccept: */*\r\n\
             accept: application/vnd.oci.image.manifest.v1+json\r\nconnection: close\r\n\r\n"
        );
        exchange::send(self.upstream, head.as_bytes(), &[])
            .ok()
            .and_then(|answer| String::from_utf8_lossy(&answer).get(9..12)?.parse().ok())
            .unwrap_or_default()
    }
}

impl QuirkServer {
    /// Starts one in front of a registry without TLS.
    ///
    /// # Errors
    /// There is no port to listen on.
    pub fn start(upstream: SocketAddr, quirk: Quirk) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            quirk,
            upstream,
            port: address.port(),
            ended: AtomicBool::new(false),
            seen: Mutex::default(),
            odd: Mutex::default(),
        });
        let server = Self {
            address,
            state: Arc::clone(&state),
        };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if state.ended.load(Ordering::SeqCst) {
                    return;
                }
                let state = Arc::clone(&state);
                // A connection that fails is what this is for.
                thread::spawn(move || drop(serve(&client, &state)));
            }
        });
        Ok(server)
    }

    /// `localhost` and the port, as references begin.
    #[must_use]
    pub fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests had the quirk.
    #[must_use]
    pub fn odd(&self) -> usize {
        *self
            .state
            .odd
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The requests that arrived.
    #[must_use]
    pub fn seen(&self) -> Vec<Request> {
        let seen = &self.state.seen;
        seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for QuirkServer {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        // Wakes the listener, which may be gone already.
        let _ = TcpStream::connect(self.address);
    }
}

/// One request per connection: that is all a proxy needs to know which request it is.
fn serve(client: &TcpStream, state: &State) -> io::Result<()> {
    let mut reader = BufReader::new(client);
    let mut request = match exchange::read_head(&mut reader) {
        Ok(request) => request,
        Err(error) => {
            // As servers of plain HTTP answer TLS.
            let mut client = client;
            client.write_all(&Answer::new(400, "").to_bytes(false))?;
            return Err(error);
        }
    };
    let action = act(state, &request);
    // A connection that ends inside the body must not wait for all of it.
    let limit = match action {
        Action::DropAfter(octets) => octets,
        _ => usize::MAX,
    };
    exchange::read_body(&mut reader, &mut request, limit)?;
    let seen = &state.seen;
    seen.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(request.clone());
    let mut client = client;
    match action {
        Action::Forward(pause) => {
            thread::sleep(pause);
            client.write_all(&exchange::forward(state.upstream, &request)?)
        }
        Action::ForwardWithoutAnswer => {
            exchange::forward(state.upstream, &request)?;
            client.shutdown(Shutdown::Both)
        }
        Action::ForwardAnd(change) => {
            let answer = exchange::forward(state.upstream, &request)?;
            client.write_all(&change(answer))
        }
        Action::Answer(answer) => client.write_all(&answer.to_bytes(request.method == "HEAD")),
        Action::DropAfter(_) => client.shutdown(Shutdown::Both),
        Action::Trickle(pause) => {
            let answer = exchange::forward(state.upstream, &request)?;
            let end = answer
                .windows(4)
                .position(|octets| octets == b"\r\n\r\n")
                .map_or(answer.len(), |end| end + 4);
            let (head, body) = answer.split_at(end);
            client.write_all(head)?;
            // The client may end the connection at any octet.
            for octet in body {
                client.write_all(&[*octet])?;
                thread::sleep(pause);
            }
            Ok(())
        }
    }
}
