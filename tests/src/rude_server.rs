//! A server that does to clients what broken and busy gateways do.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use h2::server::SendResponse;
use http::Response;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::certificate::Certificate;

/// What it does to every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Silent,
    /// It writes bytes that are not TLS.
    Garbage,
    /// It writes nothing after the TLS handshake.
    Stalling,
    /// It writes bytes that are not HTTP/2 after the TLS handshake.
    GarbageInside,
    /// It ends the connection after the TLS handshake.
    Closing,
    /// It resets every HTTP/2 stream.
    Resetting,
    /// It answers with a body that never ends.
    Endless,
    /// It answers with a body that begins and does not go on.
    Trickling,
    /// It takes its time with each answer.
    Slow,
    /// It speaks HTTP/1.1 alone, and answers with the `Host`.
    Old,
}

#[derive(Debug, Default)]
struct Seen {
    ended: AtomicBool,
    octets: AtomicUsize,
    requests: AtomicUsize,
    at_a_time: AtomicUsize,
}

/// A server, ended with this value.
#[derive(Debug)]
pub struct RudeServer {
    address: SocketAddr,
    seen: Arc<Seen>,
}

impl RudeServer {
    /// Starts one with a certificate.
    ///
    /// # Errors
    /// There is no port to listen on, or the certificate cannot be read.
    pub fn start(manner: Manner, certificate: &Certificate) -> Result<Self> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_file(&certificate.certificate)?],
                PrivateKeyDer::from_pem_file(&certificate.key)?,
            )?;
        let protocol: &[u8] = if manner == Manner::Old {
            b"http/1.1"
        } else {
            b"h2"
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let server = Self {
            address: listener.local_addr()?,
            seen: Arc::default(),
        };
        let seen = Arc::clone(&server.seen);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::spawn(move || {
            // It ends with the value, or fails with the client.
            drop(runtime.block_on(accept(listener, manner, acceptor, seen)));
        });
        Ok(server)
    }

    /// Where it listens, as the command line has it.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// How many octets of bodies it has sent.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.seen.octets.load(Ordering::SeqCst)
    }

    /// How many requests were under way at a time, at most.
    #[must_use]
    pub fn at_a_time(&self) -> usize {
        self.seen.at_a_time.load(Ordering::SeqCst)
    }
}

impl Drop for RudeServer {
    fn drop(&mut self) {
        self.seen.ended.store(true, Ordering::SeqCst);
        // Wakes the listener, which may be gone already.
        let _ = TcpStream::connect(self.address);
    }
}

async fn accept(
    listener: std::net::TcpListener,
    manner: Manner,
    acceptor: TlsAcceptor,
    seen: Arc<Seen>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        if seen.ended.load(Ordering::SeqCst) {
            return Ok(());
        }
        let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
        // A connection that fails is what this is for.
        tokio::spawn(async move { drop(serve(stream, manner, acceptor, seen).await) });
    }
}

/// Longer than any test waits.
const LONG: Duration = Duration::from_mins(1);

async fn serve(
    mut stream: tokio::net::TcpStream,
    manner: Manner,
    acceptor: TlsAcceptor,
    seen: Arc<Seen>,
) -> Result<()> {
    match manner {
        Manner::Silent => {
            sleep(LONG).await;
            return Ok(());
        }
        Manner::Garbage => return Ok(stream.write_all(b"220 mail.example.com ESMTP\r\n").await?),
        _ => {}
    }
    let mut stream = acceptor.accept(stream).await?;
    match manner {
        Manner::Stalling => sleep(LONG).await,
        Manner::GarbageInside => {
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await?;
            // The client is to see it, and no reset.
            sleep(LONG).await;
        }
        Manner::Closing => stream.shutdown().await?,
        Manner::Old => answer_h1(stream).await?,
        _ => answer_h2(stream, manner, seen).await?,
    }
    Ok(())
}

async fn answer_h1<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    mut stream: S,
) -> Result<()> {
    use tokio::io::AsyncReadExt as _;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await? > 0 {}
    let head = String::from_utf8(head)?;
    let host = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map_or("", |(_, host)| host);
    let length = host.len();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{host}");
    stream.write_all(answer.as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

async fn answer_h2<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    stream: S,
    manner: Manner,
    seen: Arc<Seen>,
) -> Result<()> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (_, respond) = accepted?;
        let seen = Arc::clone(&seen);
        tokio::spawn(async move { drop(answer(respond, manner, &seen).await) });
    }
    Ok(())
}

async fn answer(mut respond: SendResponse<Bytes>, manner: Manner, seen: &Seen) -> Result<()> {
    if manner == Manner::Resetting {
        respond.send_reset(h2::Reason::INTERNAL_ERROR);
        return Ok(());
    }
    if manner == Manner::Slow {
        let now = seen.requests.fetch_add(1, Ordering::SeqCst) + 1;
        seen.at_a_time.fetch_max(now, Ordering::SeqCst);
        sleep(Duration::from_millis(50)).await;
        seen.requests.fetch_sub(1, Ordering::SeqCst);
    }
    let ends = manner == Manner::Slow;
    let mut body = respond.send_response(Response::new(()), ends)?;
    if ends {
        return Ok(());
    }
    let part = Bytes::from(vec![b'x'; 16 << 10]);
    loop {
        body.reserve_capacity(part.len());
        let room = std::future::poll_fn(|context| body.poll_capacity(context)).await;
        let Some(Ok(room)) = room else { return Ok(()) };
        let part = part.slice(..room.min(part.len()));
        seen.octets.fetch_add(part.len(), Ordering::SeqCst);
        body.send_data(part, false)?;
        if manner == Manner::Trickling {
            sleep(LONG).await;
        }
    }
}
