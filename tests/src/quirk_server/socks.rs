//! A SOCKS5 proxy (RFC 1928) that connects every client to one server, whatever the client asks for.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A proxy that runs until the end of this process.
#[derive(Debug)]
pub struct SocksServer {
    address: SocketAddr,
    /// The names that clients asked for.
    names: Arc<Mutex<Vec<String>>>,
}

impl SocksServer {
    /// Starts one in front of a server.
    ///
    /// # Errors
    /// There is no port to listen on.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let names: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&names);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                thread::spawn(move || {
                    let name = greet(&client)?;
                    seen.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(name);
                    connect(&client, upstream)
                });
            }
        });
        Ok(Self { address, names })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The names that clients asked for so far.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.names
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Reads the greeting and the request of a client. Returns the name in the request; empty for an address.
fn greet(mut client: &TcpStream) -> io::Result<String> {
    let [_, methods] = read(client)?;
    client.read_exact(&mut vec![0; usize::from(methods)])?;
    client.write_all(&[5, 0])?;

    // The version, the command, a reserved octet, and the kind of the address.
    let [_, _, _, kind] = read(client)?;
    let name = if kind == 3 {
        let [length] = read(client)?;
        let mut name = vec![0; usize::from(length)];
        client.read_exact(&mut name)?;
        String::from_utf8_lossy(&name).into_owned()
    } else {
        client.read_exact(&mut vec![0; if kind == 1 { 4 } else { 16 }])?;
        String::new()
    };
    let [_, _] = read(client)?;
    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0])?;
    Ok(name)
}

fn read<const N: usize>(mut client: &TcpStream) -> io::Result<[u8; N]> {
    let mut octets = [0; N];
    client.read_exact(&mut octets)?;
    Ok(octets)
}

/// Copies octets in both directions until both sides end.
fn connect(client: &TcpStream, upstream: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(upstream)?;
    thread::scope(|scope| {
        scope.spawn(|| copy(client, &server));
        copy(&server, client);
    });
    Ok(())
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    // A broken connection ends like a complete one.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
