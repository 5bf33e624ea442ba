//! One connection: TLS with a server name, and requests for any authority on it.

mod body;
mod observed;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use gateway::Certificate;
use gateway::probe::{Answer, Body, is_identifying};
use http::{HeaderValue, Request, Response, Version, header};
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
/// How many octets of headers are taken.
const MAX_HEADERS: u32 = 64 << 10;

/// A connection.
pub(super) struct Connection {
    http: Http,
    /// The protocol that was agreed on.
    pub(super) alpn: Option<String>,
    /// The server's certificate, where it can be read.
    pub(super) certificate: Option<Certificate>,
    /// Whether the server was shown a client certificate.
    shown: Arc<AtomicBool>,
    ending: Arc<OnceLock<Ending>>,
}

enum Http {
    H2(h2::client::SendRequest<Bytes>),
    H1(hyper::client::conn::http1::SendRequest<String>),
}

impl Connection {
    /// Opens one. Call it within the runtime that drives it.
    pub(super) async fn open(target: &Target, name: &HostName) -> Result<Self, Failure> {
        let opened = timeout(target.timeout, Self::open_at_leisure(target, name)).await;
        opened.unwrap_or_else(|_| Err(Failure::timeout(target.timeout)))
    }

    async fn open_at_leisure(target: &Target, name: &HostName) -> Result<Self, Failure> {
        let endpoint = (target.endpoint.host.as_str(), target.endpoint.port);
        let stream = TcpStream::connect(endpoint).await;
        let stream = stream.map_err(|error| Failure::of_connecting(&error))?;
        // Requests are small and waited for.
        let _ = stream.set_nodelay(true);
        let (config, shown) = noting_certificate(&target.tls);
        let connector = TlsConnector::from(config);
        let stream = connector.connect(name.server_name.clone(), stream).await;
        let stream = stream.map_err(|error| Failure::of_handshake(&error))?;
        let (_, session) = stream.get_ref();
        let alpn = session
            .alpn_protocol()
            .map(|alpn| String::from_utf8_lossy(alpn).into_owned());
        let first = session.peer_certificates().and_then(|chain| chain.first());
        let certificate = first.and_then(|der| Certificate::parse_der(der).ok());
        let ending = Arc::new(OnceLock::new());
        let stream = Observed::new(stream, Arc::clone(&ending));
        let http = Http::open(stream, alpn.as_deref() == Some("h2"), &ending).await?;
        Ok(Self {
            http,
            alpn,
            certificate,
            shown,
            ending,
        })
    }

    /// Whether it carries several requests, so that clients may use it for other hosts.
    pub(super) fn is_h2(&self) -> bool {
        matches!(self.http, Http::H2(_))
    }

    /// The same connection for one more request; `None` where it can carry only one.
    pub(super) fn reuse(&self) -> Option<Self> {
        let Http::H2(sender) = &self.http else {
            return None;
        };
        Some(Self {
            http: Http::H2(sender.clone()),
            alpn: self.alpn.clone(),
            certificate: self.certificate.clone(),
            shown: Arc::clone(&self.shown),
            ending: Arc::clone(&self.ending),
        })
    }

    /// Asks for an authority. Of a body whose end does not come in time only the head counts.
    pub(super) async fn ask(self, target: &Target, wanted: &Ask) -> Result<Answer, Failure> {
        let deadline = Instant::now() + target.timeout;
        let late = |_| Failure::timeout(target.timeout);
        match self.http {
            Http::H2(sender) => {
                let asked = timeout_at(deadline, ask_h2(sender, target, wanted));
                let (head, body) = asked
                    .await
                    .map_err(late)?
                    .map_err(|error| Failure::of_h2(&error, &self.ending))?
                    .into_parts();
                Ok(answer(
                    &head,
                    Reader::H2(body).read(deadline).await,
                    &self.shown,
                ))
            }
            Http::H1(sender) => {
                let asked = timeout_at(deadline, ask_h1(sender, target, wanted));
                let (head, body) = asked
                    .await
                    .map_err(late)?
                    .map_err(|error| Failure::of_h1(&error, &self.ending))?
                    .into_parts();
                Ok(answer(
                    &head,
                    Reader::H1(body).read(deadline).await,
                    &self.shown,
                ))
            }
        }
    }
}

impl Http {
    async fn open(
        stream: Observed,
        is_h2: bool,
        ending: &Arc<OnceLock<Ending>>,
    ) -> Result<Self, Failure> {
        if is_h2 {
            let mut builder = h2::client::Builder::new();
            builder.max_header_list_size(MAX_HEADERS).enable_push(false);
            let opened = builder.handshake(stream).await;
            let (sender, connection) = opened.map_err(|error| Failure::of_h2(&error, ending))?;
            // Its errors show in the requests.
            tokio::spawn(async move { connection.await.ok() });
            return Ok(Self::H2(sender));
        }
        let opened = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(|error| Failure::of_h1(&error, ending))?;
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
        .insert(header::HOST, wanted.header.clone());
    request.headers_mut().insert(header::USER_AGENT, USER_AGENT);
    sender.ready().await?;
    sender.send_request(request).await
}

fn answer(head: &http::response::Parts, body: Body, shown: &AtomicBool) -> Answer {
    let told = head
        .headers
        .iter()
        .filter(|(name, _)| is_identifying(name.as_str()));
    let headers = told.map(|(name, value)| {
        let value = value.as_bytes().escape_ascii().to_string();
        // What follows may hold secrets, and is often new each time.
        let end = value.find(['?', '#']).filter(|_| *name == header::LOCATION);
        let value = end.and_then(|end| value.get(..end)).unwrap_or(&value);
        (name.as_str().to_owned(), value.to_owned())
    });
    Answer {
        status: head.status.as_u16(),
        headers: headers.collect(),
        body,
        client_certificate: shown.load(Ordering::Relaxed),
    }
}
