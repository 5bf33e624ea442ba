//! A client that does what a browser does when it reuses a connection: one connection with one SNI,
//! requests for any authority.

use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::{Buf, Bytes};
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Method, Request, Uri};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::certificate::Certificate;
use crate::raw::{content_length, parse_head};

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Whether the server closed the connection after it (HTTP/1.1 only).
    pub closed: bool,
}

impl Response {
    /// The value of a header, empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// What to ask for, but for the authority.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    pub method: &'a str,
    /// Headers of its own.
    pub headers: &'a [(&'a str, &'a str)],
}

pub const GET: Ask<'static> = Ask {
    method: "GET",
    headers: &[],
};

#[derive(Clone, Copy, Debug)]
pub enum Transport<'a> {
    /// TLS with this SNI, or without one.
    Tls(Option<&'a str>),
    /// The same, with a certificate of the client's own for servers that ask for one.
    MutualTls(Option<&'a str>, &'a Certificate),
    /// No TLS.
    Plaintext,
}

/// Runs a future to its end, on one thread, for no longer than a minute.
///
/// # Errors
/// Those of the future, or a minute passed.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        timeout(Duration::from_mins(1), future)
            .await
            .context("no end after a minute")?
    })
}

/// A connection over which requests are sent one after the other.
pub enum Connection {
    /// HTTP/2, with the scheme of its requests.
    H2(SendRequest<Bytes>, &'static str),
    H1(Box<dyn Stream>),
    /// HTTP/3, with the endpoint that it lives on.
    H3(
        h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
        quinn::Endpoint,
    ),
}

/// A stream of octets in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Connection {
    /// Opens an HTTP/2 connection. Call it within [`block_on`], which drives it.
    ///
    /// # Errors
    /// The server is not there or does not speak TLS or HTTP/2.
    pub async fn h2(server: SocketAddr, transport: Transport<'_>) -> Result<Self> {
        let stream = open(server, transport, b"h2").await?;
        let (sender, connection) = h2::client::handshake(stream).await?;
        // Its errors show in the requests.
        tokio::spawn(async move { connection.await.ok() });
        let scheme = if matches!(transport, Transport::Plaintext) {
            "http"
        } else {
            "https"
        };
        Ok(Self::H2(sender, scheme))
    }

    /// Opens an HTTP/1.1 connection.
    ///
    /// # Errors
    /// The server is not there or does not speak TLS.
    pub async fn h1(server: SocketAddr, transport: Transport<'_>) -> Result<Self> {
        Ok(Self::H1(open(server, transport, b"http/1.1").await?))
    }

    /// Opens an HTTP/3 connection. Call it within [`block_on`], which drives it.
    ///
    /// # Errors
    /// The server is not there or does not speak QUIC or HTTP/3.
    pub async fn h3(server: SocketAddr, sni: &str) -> Result<Self> {
        let tls = QuicClientConfig::try_from(tls_config(true, None, b"h3")?)?;
        let mut endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
        let connection = endpoint
            .connect(server, sni)?
            .await
            .context("QUIC handshake")?;
        let connection = h3_quinn::Connection::new(connection);
        let (mut driver, sender) = h3::client::new(connection).await?;
        // Its errors show in the requests.
        tokio::spawn(async move { poll_fn(|context| driver.poll_close(context)).await });
        Ok(Self::H3(sender, endpoint))
    }

    /// Sends a request for an authority, just as it is written, and waits for the answer.
    ///
    /// # Errors
    /// The connection or the stream was reset.
    pub async fn send(&mut self, ask: &Ask<'_>, authority: &str) -> Result<Response> {
        self.send_path(ask, authority, "/").await
    }

    /// Sends a POST with a body of so many octets, over HTTP/2.
    ///
    /// # Errors
    /// The connection or the stream was reset before an answer came.
    pub async fn upload(&mut self, authority: &str, size: usize) -> Result<Response> {
        let Self::H2(sender, scheme) = self else {
            bail!("uploads are for HTTP/2")
        };
        let uri = Uri::builder()
            .scheme(*scheme)
            .authority(authority)
            .path_and_query("/");
        upload_h2(sender, uri.build()?, size).await
    }

    /// Asks for a WebSocket over HTTP/2, by an extended CONNECT (RFC 8441 §4).
    ///
    /// # Errors
    /// The connection or the stream was reset, or the server takes no extended CONNECT.
    pub async fn websocket(&mut self, authority: &str) -> Result<Response> {
        let Self::H2(sender, scheme) = self else {
            bail!("this WebSocket is for HTTP/2")
        };
        let uri = Uri::builder()
            .scheme(*scheme)
            .authority(authority)
            .path_and_query("/")
            .build()?;
        let protocol = h2::ext::Protocol::from_static("websocket");
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri(uri)
            .extension(protocol);
        let request = request.header("sec-websocket-version", "13").body(())?;
        let mut ready = sender.clone().ready().await?;
        // The stream stays open: what is sent on it is the WebSocket.
        let (response, _stream) = ready.send_request(request, false)?;
        receive(response).await
    }

    /// The same as [`Self::send`] for a path other than `/`.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_path(
        &mut self,
        ask: &Ask<'_>,
        authority: &str,
        path: &str,
    ) -> Result<Response> {
        match self {
            Self::H2(sender, scheme) => {
                let uri = Uri::builder().authority(authority);
                let uri = match ask.method {
                    "CONNECT" => uri,
                    _ => uri.scheme(*scheme).path_and_query(path),
                };
                send_h2(sender, ask, uri.build()?).await
            }
            Self::H1(stream) => send_h1(stream, ask, authority, path).await,
            Self::H3(sender, _) => {
                let uri = Uri::builder()
                    .scheme("https")
                    .authority(authority)
                    .path_and_query(path);
                send_h3(sender, ask, uri.build()?).await
            }
        }
    }
}

/// One `GET /` on a connection of its own, over HTTP/2.
///
/// # Errors
/// The server is not there, or the connection was reset.
pub fn get(server: SocketAddr, sni: &str, authority: &str) -> Result<Response> {
    block_on(async {
        Connection::h2(server, Transport::Tls(Some(sni)))
            .await?
            .send(&GET, authority)
            .await
    })
}

async fn open(
    server: SocketAddr,
    transport: Transport<'_>,
    alpn: &[u8],
) -> Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(server)
        .await
        .with_context(|| format!("connecting {server}"))?;
    stream.set_nodelay(true)?;
    let (sni, certificate) = match transport {
        Transport::Plaintext => return Ok(Box::new(stream)),
        Transport::Tls(sni) => (sni, None),
        Transport::MutualTls(sni, certificate) => (sni, Some(certificate)),
    };
    let config = tls_config(sni.is_some(), certificate, alpn)?;
    let name = ServerName::try_from(sni.unwrap_or("none.invalid").to_owned())?;
    let connector = TlsConnector::from(Arc::new(config));
    Ok(Box::new(
        connector
            .connect(name, stream)
            .await
            .context("TLS handshake")?,
    ))
}

fn tls_config(
    enable_sni: bool,
    certificate: Option<&Certificate>,
    alpn: &[u8],
) -> Result<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate));
    let mut config = match certificate {
        None => config.with_no_client_auth(),
        Some(files) => config.with_client_auth_cert(
            vec![CertificateDer::from_pem_file(&files.certificate)?],
            PrivateKeyDer::from_pem_file(&files.key)?,
        )?,
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    config.enable_sni = enable_sni;
    Ok(config)
}

async fn send_h3(
    sender: &mut h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    ask: &Ask<'_>,
    uri: Uri,
) -> Result<Response> {
    let mut request = Request::builder().method(ask.method).uri(uri);
    for (name, value) in ask.headers {
        request = request.header(*name, *value);
    }
    let mut stream = sender.send_request(request.body(())?).await?;
    stream.finish().await?;
    let head = stream.recv_response().await?;
    let mut body = Vec::new();
    while let Some(mut data) = stream.recv_data().await? {
        body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
    }
    let (status, headers) = (head.status().as_u16(), head.headers().clone());
    Ok(Response {
        status,
        headers,
        body,
        closed: false,
    })
}

async fn send_h2(sender: &mut SendRequest<Bytes>, ask: &Ask<'_>, uri: Uri) -> Result<Response> {
    let method: Method = ask.method.parse()?;
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in ask.headers {
        request = request.header(*name, *value);
    }
    let mut ready = sender.clone().ready().await?;
    let (response, _) = ready.send_request(request.body(())?, true)?;
    receive(response).await
}

/// Sends a body in pieces for as long as the server takes it, and returns the answer, which may come
/// before the end.
async fn upload_h2(sender: &mut SendRequest<Bytes>, uri: Uri, size: usize) -> Result<Response> {
    let request = Request::builder().method(Method::POST).uri(uri).body(())?;
    let mut ready = sender.clone().ready().await?;
    let (response, mut body) = ready.send_request(request, false)?;
    let mut left = size;
    while left > 0 {
        body.reserve_capacity(left);
        match poll_fn(|context| body.poll_capacity(context)).await {
            Some(Ok(granted)) => {
                let piece = granted.min(left);
                left -= piece;
                // The server may have ended the stream in the meantime.
                if body
                    .send_data(Bytes::from(vec![0; piece]), left == 0)
                    .is_err()
                {
                    break;
                }
            }
            None | Some(Err(_)) => break,
        }
    }
    receive(response).await
}

async fn receive(response: ResponseFuture) -> Result<Response> {
    let (head, mut body) = response.await?.into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(Response {
        status: head.status.as_u16(),
        headers: head.headers,
        body: bytes,
        closed: false,
    })
}

async fn send_h1(
    stream: &mut Box<dyn Stream>,
    ask: &Ask<'_>,
    authority: &str,
    path: &str,
) -> Result<Response> {
    let headers: Vec<_> = ask
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let headers = headers.concat();
    let method = ask.method;
    let request = format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut received = Vec::new();
    let (head, mut body) = loop {
        if read_more(stream, &mut received).await? == 0 {
            bail!("closed before an answer came");
        }
        if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            let (head, body) = received.split_at(end);
            break (
                String::from_utf8(head.to_vec())?,
                body.get(4..).unwrap_or_default().to_vec(),
            );
        }
    };
    let (status, headers) = parse_head(&head)?;
    let length = content_length(&headers)?;
    while body.len() < length {
        if read_more(stream, &mut body).await? == 0 {
            bail!("closed within the body");
        }
    }
    let closed = closes(stream).await;
    Ok(Response {
        status,
        headers,
        body,
        closed,
    })
}

async fn read_more(stream: &mut Box<dyn Stream>, buffer: &mut Vec<u8>) -> Result<usize> {
    Ok(stream.read_buf(buffer).await?)
}

/// Whether the server ends the connection shortly.
async fn closes(stream: &mut Box<dyn Stream>) -> bool {
    let mut byte = [0];
    matches!(
        timeout(Duration::from_millis(200), stream.read(&mut byte)).await,
        Ok(Ok(0) | Err(_))
    )
}

/// Trusts whatever it is shown: these tests are about names, and not about trust.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
