//! A proxy in front of a registry that does to requests what networks and busy registries do.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It is answered with this status, and `Retry-After` in seconds where given.
    Status(u16, Option<u64>),
    /// The connection ends after so many octets of its body.
    Drop(usize),
    /// It takes this long.
    Slow(Duration),
}

/// A proxy, ended with this value.
#[derive(Debug)]
pub struct FaultyProxy {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    faults: Arc<AtomicUsize>,
}

/// The first requests whose request line begins so have a fault.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Such as `PUT /v2/x/manifests/`.
    pub line: &'static str,
    /// What happens to them.
    pub fault: Fault,
    /// How many of them.
    pub times: usize,
}

impl FaultyProxy {
    /// Starts one in front of a plaintext server.
    ///
    /// # Errors
    /// There is no port to listen on.
    pub fn start(upstream: SocketAddr, plan: Plan) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (ended, faults) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let proxy = Self {
            address,
            ended: Arc::clone(&ended),
            faults: Arc::clone(&faults),
        };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let faults = Arc::clone(&faults);
                // A connection that fails is what this is for.
                thread::spawn(move || drop(serve(&client, upstream, plan, &faults)));
            }
        });
        Ok(proxy)
    }

    /// `localhost` and the port, as references begin.
    #[must_use]
    pub fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// How many requests had the fault.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.faults.load(Ordering::SeqCst)
    }
}

impl Drop for FaultyProxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the listener, which may be gone already.
        let _ = TcpStream::connect(self.address);
    }
}

/// One request per connection: that is all a proxy needs to say which request it is.
fn serve(
    client: &TcpStream,
    upstream: SocketAddr,
    plan: Plan,
    faults: &AtomicUsize,
) -> io::Result<()> {
    let mut reader = BufReader::new(client);
    let head = read_head(&mut reader)?;
    let has_fault = head.starts_with(plan.line)
        && faults
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| {
                (n < plan.times).then_some(n + 1)
            })
            .is_ok();
    let length = content_length(&head);
    let mut body = Vec::new();
    match plan.fault {
        Fault::Drop(octets) if has_fault => {
            reader
                .take(octets.min(length) as u64)
                .read_to_end(&mut body)?;
            return client.shutdown(std::net::Shutdown::Both);
        }
        _ => reader.take(length as u64).read_to_end(&mut body)?,
    };
    match plan.fault {
        Fault::Status(status, after) if has_fault => return answer(client, status, after),
        Fault::Slow(time) if has_fault => thread::sleep(time),
        _ => {}
    }
    let mut server = TcpStream::connect(upstream)?;
    server.write_all(
        head.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")
            .as_bytes(),
    )?;
    server.write_all(&body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let mut client = client;
    client.write_all(&answer)
}

fn answer(mut client: &TcpStream, status: u16, after: Option<u64>) -> io::Result<()> {
    let after = after
        .map(|seconds| format!("retry-after: {seconds}\r\n"))
        .unwrap_or_default();
    write!(
        client,
        "HTTP/1.1 {status} Fault\r\n{after}content-length: 0\r\nconnection: close\r\n\r\n"
    )
}

fn read_head(reader: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

fn content_length(head: &str) -> usize {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or_default()
}
