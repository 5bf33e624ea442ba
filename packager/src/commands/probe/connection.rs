//! One TLS connection with a server name, and requests for any authority on it.

mod body;
mod observed;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use gateway::Certificate;
use gateway::probe::{Answer, Body, is_identifying};
use http::{HeaderName, HeaderValue, Request, Response, Version, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use self::body::Reader;
use self::observed::Observed;
use super::ending::Ending;
use super::failure::Failure;
use super::target::{Ask, HostName, Target};
use super::trust::noting_certificate;

const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("sni-guard-packager/", env!("CARGO_PKG_VERSION")));
/// The largest size of the headers of an answer, in octets.
const MAX_HEADERS: u32 = 64 << 10;

/// A connection with HTTP/2 or HTTP/1.1.
pub(super) struct Connection {
    http: Http,
    /// The protocol that ALPN selected; `None` if the server selected none.
    pub(super) alpn: Option<String>,
    /// The server's certificate; `None` if it cannot be parsed.
    pub(super) certificate: Option<Certificate>,
    /// Whether the client presented its certificate.
    presented: Arc<AtomicBool>,
    ending: Arc<OnceLock<Ending>>,
}

enum Http {
    H2(h2::client::SendRequest<Bytes>),
    H1(hyper::client::conn::http1::SendRequest<String>),
}

impl Connection {
    /// Opens a connection. Call this within the runtime that drives the connection.
    pub(super) async fn open(target: &Target, name: &HostName) -> Result<Self, Failure> {
        timeout(target.timeout, Self::open_without_timeout(target, name))
            .await
            .unwrap_or_else(|_| Err(Failure::timeout(target.timeout)))
    }

    async fn open_without_timeout(target: &Target, name: &HostName) -> Result<Self, Failure> {
        let endpoint = (target.endpoint.host.as_str(), target.endpoint.port);
        let stream = TcpStream::connect(endpoint)
            .await
            .map_err(|error| Failure::from_connect(&error))?;
        // Requests are small, and the probe waits for each answer.
        let _ = stream.set_nodelay(true);

        // Each connection records for itself whether the client certificate was presented.
        let (config, presented) = noting_certificate(&target.tls);
        let stream = TlsConnector::from(config)
            .connect(name.server_name.clone(), stream)
            .await
            .map_err(|error| Failure::from_handshake(&error))?;

        // Clients decide by the certificate for which hosts they reuse the connection.
        let (_, session) = stream.get_ref();
        let alpn = session
            .alpn_protocol()
            .map(|alpn| String::from_utf8_lossy(alpn).into_owned());
        let certificate = session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .and_then(|der| Certificate::parse_der(der).ok());

        let ending = Arc::new(OnceLock::new());
        let stream = Observed::new(stream, Arc::clone(&ending));
        let http = Http::open(stream, alpn.as_deref() == Some("h2"), &ending).await?;
        Ok(Self {
            http,
            alpn,
            certificate,
            presented,
            ending,
        })
    }

    /// Whether the connection carries several requests, so that clients may reuse it for other hosts.
    pub(super) fn is_h2(&self) -> bool {
        matches!(self.http, Http::H2(_))
    }

    /// The same connection for one more request; `None` for HTTP/1.1, which carries one at a time.
    pub(super) fn reuse(&self) -> Option<Self> {
        let Http::H2(sender) = &self.http else {
            return None;
        };
        Some(Self {
            http: Http::H2(sender.clone()),
            alpn: self.alpn.clone(),
            certificate: self.certificate.clone(),
            presented: Arc::clone(&self.presented),
            ending: Arc::clone(&self.ending),
        })
    }

    /// Sends a request for an authority. If the body does not end in time, the answer is its head.
    pub(super) async fn ask(self, target: &Target, wanted: &Ask) -> Result<Answer, Failure> {
        let deadline = Instant::now() + target.timeout;
        let (head, reader) = match self.http {
            Http::H2(sender) => {
                let (head, body) = timeout_at(deadline, ask_h2(sender, target, wanted))
                    .await
                    .map_err(|_| Failure::timeout(target.timeout))?
                    .map_err(|error| Failure::from_h2(&error, &self.ending))?
                    .into_parts();
                (head, Reader::H2(body))
            }
            Http::H1(sender) => {
                let (head, body) = timeout_at(deadline, ask_h1(sender, target, wanted))
                    .await
                    .map_err(|_| Failure::timeout(target.timeout))?
                    .map_err(|error| Failure::from_h1(&error, &self.ending))?
                    .into_parts();
                (head, Reader::H1(body))
            }
        };
        let body = reader.read(deadline).await;
        Ok(answer(&head, body, &self.presented))
    }
}

impl Http {
    async fn open(
        stream: Observed,
        is_h2: bool,
        ending: &Arc<OnceLock<Ending>>,
    ) -> Result<Self, Failure> {
        if is_h2 {
            // Server push would be answers that nobody requested.
            let mut builder = h2::client::Builder::new();
            builder.max_header_list_size(MAX_HEADERS).enable_push(false);
            let (sender, connection) = builder
                .handshake(stream)
                .await
                .map_err(|error| Failure::from_h2(&error, ending))?;
            // An error of the connection is also the error of its requests.
            tokio::spawn(async move { connection.await.ok() });
            return Ok(Self::H2(sender));
        }
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::from_h1(&error, ending))?;
        tokio::spawn(async move { connection.await.ok() });
        Ok(Self::H1(sender))
    }
}

async fn ask_h2(
    sender: h2::client::SendRequest<Bytes>,
    target: &Target,
    wanted: &Ask,
) -> Result<Response<h2::RecvStream>, h2::Error> {
    let mut request = Request::new(());
    *request.method_mut() = target.method.clone();
    // In HTTP/2 the authority of the URI becomes the pseudo-header :authority.
    *request.uri_mut() = wanted.uri.clone();
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().insert(header::USER_AGENT, USER_AGENT);
    let (response, _) = sender.ready().await?.send_request(request, true)?;
    response.await
}

async fn ask_h1(
    mut sender: hyper::client::conn::http1::SendRequest<String>,
    target: &Target,
    wanted: &Ask,
) -> Result<Response<hyper::body::Incoming>, hyper::Error> {
    let mut request = Request::new(String::new());
    *request.method_mut() = target.method.clone();
    *request.uri_mut() = wanted.path.clone();
    request
        .headers_mut()
        // In HTTP/1.1 the authority is the header Host.
        .insert(header::HOST, wanted.header.clone());
    request.headers_mut().insert(header::USER_AGENT, USER_AGENT);
    sender.ready().await?;
    sender.send_request(request).await
}

fn answer(head: &http::response::Parts, body: Body, presented: &AtomicBool) -> Answer {
    Answer {
        status: head.status.as_u16(),
        headers: head
            .headers
            .iter()
            .filter(|(name, _)| is_identifying(name.as_str()))
            .map(|(name, value)| (name.as_str().to_owned(), header_text(name, value)))
            .collect(),
        body,
        client_certificate: presented.load(Ordering::Relaxed),
    }
}

/// The value of a header in printable ASCII. A location has no query and no fragment: they may hold
/// secrets, and often differ between two answers.
fn header_text(name: &HeaderName, value: &HeaderValue) -> String {
    let mut text = value.as_bytes().escape_ascii().to_string();
    if *name == header::LOCATION
        && let Some(end) = text.find(['?', '#'])
    {
        text.truncate(end);
    }
    text
}
