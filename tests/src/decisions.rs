//! The rows of `decisions.md`, and the requests that they stand for.

mod exchange;
mod table;

use std::net::SocketAddr;

use anyhow::{Context, Result};
use rule::Gateway;

use crate::client::{Ask, Connection, Response, Transport, block_on};
use crate::raw::{RawConnection, Version};
pub use exchange::{Exchange, listener, listener_name};
pub use table::{Answer, Method, Origin, Protocol, Request, Route, Row, TABLE, rows};

impl Row {
    /// Sends its request, on a connection of its own.
    ///
    /// # Errors
    /// The server is not there, or what it was sent made it reset the connection or the stream.
    pub fn send(&self, server: SocketAddr) -> Result<Response> {
        // Where another program writes the authority, the client asks for the host of its connection.
        let sni = self.sni.as_deref();
        let (authority, path) = match self.request.origin {
            Origin::Client => (self.authority.as_str(), "/".to_owned()),
            Origin::Redirect => (
                sni.unwrap_or_default(),
                format!("/redirect/{}", self.authority),
            ),
            Origin::Filter => (sni.unwrap_or_default(), "/".to_owned()),
        };
        if self.request.protocol == Protocol::H2 && self.needs_raw_connection(authority) {
            let mut connection = RawConnection::open(server, sni, Version::Http2, None)?;
            return connection
                .get_h2(authority.as_bytes(), &[])?
                .context("the stream was reset");
        }
        block_on(self.send_by_library(server, authority, &path))
    }

    /// The library removes the dot at the end of a server name, and rejects an authority that a URI cannot
    /// have.
    fn needs_raw_connection(&self, authority: &str) -> bool {
        let has_dot = self.sni.as_ref().is_some_and(|sni| sni.ends_with('.'));
        has_dot || authority.parse::<http::uri::Authority>().is_err()
    }

    async fn send_by_library(
        &self,
        server: SocketAddr,
        authority: &str,
        path: &str,
    ) -> Result<Response> {
        let request = &self.request;
        let sni = self.sni.as_deref();
        let transport = if request.tls {
            Transport::Tls(sni)
        } else {
            Transport::Plaintext
        };
        let headers: Vec<_> = request
            .content_type
            .iter()
            .map(|value| ("content-type", value.as_str()))
            .collect();
        let ask = Ask {
            method: match request.method {
                Method::Get | Method::WebSocket => "GET",
                Method::Head => "HEAD",
                Method::Post => "POST",
                Method::Connect => "CONNECT",
            },
            headers: &headers,
        };
        let mut connection = match request.protocol {
            Protocol::H1 => Connection::h1(server, transport).await?,
            Protocol::H2 => Connection::h2(server, transport).await?,
            Protocol::H3 => Connection::h3(server, sni.unwrap_or_default()).await?,
        };
        if request.method == Method::WebSocket {
            return connection.websocket(authority).await;
        }
        connection.send_path(&ask, authority, path).await
    }

    /// The metric that the filter adds one to; `None` where it counts nothing.
    #[must_use]
    pub fn metric(&self) -> Option<String> {
        match &self.answer {
            Answer::Misdirected(reason) => Some(format!("sni_guard.enforced.{reason}")),
            Answer::Reported(reason) => Some(format!("sni_guard.reported.{reason}")),
            Answer::Pass(reason) if reason == "equal" => None,
            // A route that was enough is not counted; a virtual host that was, after both names were
            // read, is.
            Answer::Pass(reason) if reason == "routed" && !self.is_compared() => None,
            Answer::Pass(reason) => Some(format!("sni_guard.passed.{reason}")),
        }
    }

    /// Whether the rule compares the names of this row, although it passes as `routed`.
    fn is_compared(&self) -> bool {
        if !self.request.is_routed() {
            return true;
        }
        // Only on an Envoy of istiod does a route prove that the connection's server has the host.
        let is_other = self.gateway == Gateway::Other;
        let lists_servers = self.config.get("servers").is_some();
        self.rejects("missingSni") || self.rejects("unlistedSni") || (is_other && lists_servers)
    }

    fn rejects(&self, key: &str) -> bool {
        self.config.get(key).is_some_and(|value| value == "reject")
    }
}

/// The section of `decisions.md` that a line is in, such as `what-a-route-proves`.
#[must_use]
pub fn section(line: usize) -> String {
    TABLE
        .lines()
        .take(line)
        .filter_map(|text| text.strip_prefix("## "))
        .last()
        .unwrap_or_default()
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("-")
        .to_ascii_lowercase()
}
