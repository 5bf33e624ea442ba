//! A backend behind a gateway, with a page on which a browser asks for another host.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;

use anyhow::Result;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};

/// The page: what it does is its query.
const PAGE: &str = include_str!("backend/page.html");
/// Else browsers ask for one.
const NO_ICON: &str = r#"<link rel="icon" href="data:,">"#;

/// Starts a backend that speaks HTTP/2 without TLS, for as long as the process lives.
///
/// It answers `/start` with the page, `/redirect/HOST` with a redirect to the host, and everything else
/// with the length of the request's body: `/misdirected` with 421, the rest with 200. Pages of other
/// hosts may read its answers.
///
/// # Errors
/// There is no port to listen on.
pub fn start() -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::spawn(move || {
        // Who asks sees what failed.
        drop(runtime.block_on(accept(listener)));
    });
    Ok(address)
}

async fn accept(listener: std::net::TcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move { drop(serve(stream).await) });
    }
}

async fn serve(stream: TcpStream) -> Result<()> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        tokio::spawn(async move { drop(answer(request, respond).await) });
    }
    Ok(())
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<()> {
    let (head, mut body) = request.into_parts();
    let mut length = 0;
    while let Some(part) = body.data().await {
        let part = part?;
        length += part.len();
        body.flow_control().release_capacity(part.len())?;
    }
    let path = head.uri.path();
    if let Some(host) = path.strip_prefix("/redirect/") {
        let response = Response::builder()
            .status(302)
            .header("location", format!("https://{host}/"))
            .body(())?;
        respond.send_response(response, true)?;
        return Ok(());
    }
    let (status, answer) = match path {
        "/start" => (200, Bytes::from_static(PAGE.as_bytes())),
        "/misdirected" => (421, format!("{NO_ICON}{length}").into()),
        _ => (200, format!("{NO_ICON}{length}").into()),
    };
    let mut response = Response::builder()
        .status(status)
        .header("content-type", "text/html");
    if let Some(origin) = head.headers.get("origin") {
        response = response
            .header("access-control-allow-origin", origin)
            .header("access-control-allow-credentials", "true");
    }
    respond
        .send_response(response.body(())?, false)?
        .send_data(answer, true)?;
    Ok(())
}
