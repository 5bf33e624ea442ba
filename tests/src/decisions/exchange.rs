//! A row of the table on a real Envoy: the listener that it needs, and the answers without and with a filter.

use std::net::SocketAddr;

use anyhow::{Result, bail, ensure};
use rule::Host;
use serde_json::Value;

use super::{Method, Origin, Protocol, Route, Row};
use crate::client::Response;
use crate::envoy::{Chain, Filter, Listener, Transport, VirtualHost};

/// What Envoy answered to the request of a row, sent to a listener without a filter and to one with it.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub without_filter: Response,
    pub with_filter: Response,
}

impl Exchange {
    /// Sends the request of a row to both listeners. `None` where Envoy refuses the authority before a filter sees
    /// it, as some versions do.
    ///
    /// # Errors
    /// One of the listeners answered and the other one did not.
    pub fn new(
        row: &Row,
        without_filter: SocketAddr,
        with_filter: SocketAddr,
    ) -> Result<Option<Self>> {
        let exchange = match (row.send(without_filter), row.send(with_filter)) {
            (Ok(without_filter), Ok(with_filter)) => Self {
                without_filter,
                with_filter,
            },
            (Err(_), Err(_)) if has_odd_authority(row) => return Ok(None),
            (without_filter, with_filter) => {
                bail!("{row}: {without_filter:?} without the filter, {with_filter:?} with it")
            }
        };
        let is_bad_request =
            exchange.without_filter.status == 400 && exchange.with_filter.status == 400;
        Ok((!is_bad_request || !has_odd_authority(row)).then_some(exchange))
    }

    /// Checks that the filter answered 421, or that the request passed it.
    ///
    /// # Errors
    /// It did not; the error holds the answers.
    pub fn check(&self, row: &Row, is_rejected: bool) -> Result<()> {
        let Self {
            without_filter,
            with_filter,
        } = self;
        // Otherwise the row would show a request for another route than it names.
        check_routing(row, without_filter)?;
        if is_rejected {
            return check_reply(row, with_filter);
        }
        ensure!(
            (with_filter.status, &with_filter.body)
                == (without_filter.status, &without_filter.body),
            "{with_filter:?} with the filter, {without_filter:?} without it"
        );
        Ok(())
    }
}

/// Whether an authority has characters that no client sends in one.
fn has_odd_authority(row: &Row) -> bool {
    let authority = &row.authority;
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    let has_odd_port = !port
        .trim_end_matches(']')
        .bytes()
        .all(|byte| byte.is_ascii_digit());
    let has_odd_byte = !authority
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-:_[]".contains(&byte));
    has_odd_port
        || has_odd_byte
        || authority.starts_with('.')
        || authority.contains("..")
        || authority.matches(['[', ']']).count() == 1
}

/// Without the filter, Envoy has the route for the authority that the row names.
fn check_routing(row: &Row, plain: &Response) -> Result<()> {
    match row.request.method {
        // Envoy answers a tunnel by what the upstream does.
        Method::Connect | Method::WebSocket => return Ok(()),
        Method::Get | Method::Head | Method::Post => {}
    }
    // To gRPC, Envoy answers everything with a 200: a direct response has the gRPC status UNKNOWN (2), a
    // missing route UNIMPLEMENTED (12).
    let is_found = plain.status == 200 && matches!(plain.header("grpc-status"), "" | "2");
    ensure!(
        is_found == row.request.is_found(),
        "without the filter {plain:?}"
    );
    Ok(())
}

fn check_reply(row: &Row, response: &Response) -> Result<()> {
    if row.facts().grpc {
        let status = response.header("grpc-status");
        ensure!(status == "14", "gRPC status {status}");
        return Ok(());
    }
    ensure!(response.status == 421, "{response:?}");
    for (name, expected) in [
        ("content-type", "text/plain; charset=utf-8"),
        ("cache-control", "no-store"),
    ] {
        let value = response.header(name);
        ensure!(value == expected, "{name} is {value}");
    }
    let body = String::from_utf8_lossy(&response.body);
    if row.request.method == Method::Head {
        ensure!(body.is_empty(), "a body after HEAD: {body}");
        return Ok(());
    }
    ensure!(body.starts_with("421 Misdirected Request\n"), "{body}");
    ensure!(!body.contains(&row.authority), "{body}");
    Ok(())
}

/// The name of the listener for a row. Rows with the same configuration and the same routes share a listener.
#[must_use]
pub fn listener_name(row: &Row, is_guarded: bool) -> String {
    let config: String = row.config.to_string().chars().take(1_000).collect();
    let (tls, routes) = (row.request.tls, virtual_hosts(row, None));
    let is_quic = row.request.protocol == Protocol::H3;
    let is_rewritten = rewrite(row).is_some();
    format!("{is_guarded} {tls} {is_quic} {is_rewritten} {config} {routes:?}")
}

/// A listener for a row, with a filter or without one. The backend answers what is redirected.
#[must_use]
pub fn listener(row: &Row, name: String, filter: Option<Filter>, backend: SocketAddr) -> Listener {
    let table = virtual_hosts(row, Some(backend));
    // Thousands of chains would test Envoy, and not the filter.
    let mut chains: Vec<Chain> = servers(row)
        .into_iter()
        .take(10)
        .map(|server_names| Chain {
            server_names,
            virtual_hosts: table.clone(),
        })
        .collect();
    // An SNI of no server has to reach the filter too.
    let has_default = chains
        .iter()
        .any(|chain| chain.server_names.iter().any(|name| name == "*"));
    if !has_default {
        chains.push(Chain {
            server_names: vec!["*".into()],
            virtual_hosts: table,
        });
    }
    let transport = match (row.request.protocol, row.request.tls) {
        (Protocol::H3, _) => Transport::Quic,
        (Protocol::H1 | Protocol::H2, true) => Transport::Tls,
        (Protocol::H1 | Protocol::H2, false) => Transport::Plaintext,
    };
    Listener {
        name,
        transport,
        chains,
        filters: rewrite(row).into_iter().chain(filter).collect(),
    }
}

/// The earlier filter that writes the authority, where the row has one.
fn rewrite(row: &Row) -> Option<Filter> {
    if row.request.origin != Origin::Filter {
        return None;
    }
    let authority = &row.authority;
    Some(Filter::Lua(format!(
        "function envoy_on_request(handle)
           handle:headers():replace(\":authority\", \"{authority}\")
           handle:clearRouteCache()
         end"
    )))
}

/// The hosts of each server of the configuration, in the form that Envoy matches.
fn servers(row: &Row) -> Vec<Vec<String>> {
    let Some(Value::Object(servers)) = row.config.get("servers") else {
        return vec![];
    };
    servers
        .values()
        .map(|hosts| {
            hosts
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(|host| host.rsplit('/').next().unwrap_or_default())
                .map(|host| host.trim_end_matches('.').to_lowercase())
                .filter(|host| !host.contains("*foo"))
                .collect()
        })
        .filter(|hosts: &Vec<String>| !hosts.is_empty())
        .collect()
}

/// The route table of every chain.
fn virtual_hosts(row: &Row, backend: Option<SocketAddr>) -> Vec<VirtualHost> {
    let host = Host::from_authority(row.authority.as_bytes()).to_string();
    let mut table = match &row.request.route {
        Route::Blackhole => vec![VirtualHost::blackhole()],
        Route::Unmatched => vec![VirtualHost::of("unrelated.invalid")],
        Route::Matched => vec![VirtualHost::of(&host)],
        Route::NoPath => vec![VirtualHost {
            prefix: Some("/elsewhere".into()),
            ..VirtualHost::of(&host)
        }],
        Route::Domain(domain) => vec![VirtualHost::of(domain)],
        Route::Shared => servers(row)
            .into_iter()
            .flatten()
            .map(|host| VirtualHost::of(&host))
            .collect(),
    };
    if row.request.origin == Origin::Redirect {
        let sni = row.sni.as_deref().unwrap_or_default();
        table.push(VirtualHost {
            backend,
            follows_redirects: true,
            ..VirtualHost::of(sni)
        });
    }
    table
}
