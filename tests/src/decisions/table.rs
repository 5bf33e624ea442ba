//! The rows of `decisions.md`. The tests of `rule` include this file too, so it uses nothing else of
//! this crate.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, bail};
use rule::request::is_grpc;
use rule::{Facts, Gateway};
use serde_json::{Map, Value};

pub const TABLE: &str = include_str!("../../decisions.md");

/// One row, with one gateway and one configuration.
#[derive(Clone, Debug)]
pub struct Row {
    /// The line of the table.
    pub line: usize,
    /// The server name of the connection.
    pub sni: Option<String>,
    /// The authority that Envoy routes by.
    pub authority: String,
    pub gateway: Gateway,
    pub config: Value,
    /// What else is true of the request.
    pub request: Request,
    /// The answer and its reason.
    pub answer: Answer,
}

/// A request, but for its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The version of HTTP.
    pub protocol: Protocol,
    /// Whether the connection uses TLS.
    pub tls: bool,
    pub method: Method,
    /// The content type, if the request has one.
    pub content_type: Option<String>,
    /// What the route table of the connection has for the authority.
    pub route: Route,
    /// Where the authority comes from.
    pub origin: Origin,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    H1,
    H2,
    H3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    /// CONNECT, without `:protocol`.
    Connect,
    /// An extended CONNECT for a WebSocket. Envoy hands it to filters as a GET with an upgrade.
    WebSocket,
}

/// What the route table of a connection has for an authority.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// A virtual host for its host, with a route.
    Matched,
    /// A virtual host for its host, with a route for another path.
    NoPath,
    Unmatched,
    Blackhole,
    /// A virtual host with this domain, with a route.
    Domain(String),
    /// A virtual host of a route table for all filter chains, with a route.
    Shared,
}

/// Where the authority of a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Client,
    /// A redirect that Envoy followed.
    Redirect,
    Filter,
}

/// What a row expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The request passes, for this reason.
    Pass(String),
    /// It is misdirected for this reason, and passes all the same.
    Reported(String),
    /// It is answered 421, for this reason.
    Misdirected(String),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass(reason) => write!(f, "pass {reason}"),
            Self::Reported(reason) => write!(f, "reported {reason}"),
            Self::Misdirected(reason) => write!(f, "421 {reason}"),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.config.to_string();
        let config: String = config.chars().take(120).collect();
        let (line, sni, authority) = (self.line, self.sni.as_deref(), &self.authority);
        write!(
            f,
            "decisions.md:{line}: {:?} {sni:?} {authority:?} {config} {:?}",
            self.gateway, self.request
        )
    }
}

/// The rows of the table: a row without a gateway once for each gateway, a row of `any` once for each
/// configuration.
///
/// # Errors
/// The table is not of the form that its head describes.
pub fn rows() -> Result<Vec<Row>> {
    let configurations = configurations()?;
    let mut rows = Vec::new();
    for (line, text) in (1..).zip(TABLE.lines()) {
        let cells: Vec<&str> = text.split('|').map(str::trim).collect();
        let [_, sni, authority, gateway, config, request, answer, _] = cells.as_slice() else {
            continue;
        };
        if *sni == "SNI" || sni.starts_with("---") {
            continue;
        }
        let context = || format!("decisions.md:{line}");
        for config in named(config, &configurations).with_context(context)? {
            for gateway in gateways(gateway).with_context(context)? {
                rows.push(Row {
                    line,
                    sni: (*sni != "–").then(|| (*sni).to_owned()),
                    authority: (*authority).to_owned(),
                    gateway: *gateway,
                    config: config.clone(),
                    request: Request::parse(request).with_context(context)?,
                    answer: Answer::parse(answer).with_context(context)?,
                });
            }
        }
    }
    Ok(rows)
}

fn gateways(cell: &str) -> Result<&[Gateway]> {
    match cell {
        "" => Ok(&[Gateway::Istio, Gateway::Other]),
        "istio" => Ok(&[Gateway::Istio]),
        "other" => Ok(&[Gateway::Other]),
        _ => bail!("{cell:?} is no gateway"),
    }
}

type Configurations = BTreeMap<String, Map<String, Value>>;

fn configurations() -> Result<Configurations> {
    TABLE
        .split("\n### ")
        .skip(1)
        .map(|section| {
            let (name, rest) = section
                .split_once('\n')
                .context("a configuration has no name")?;
            let yaml = rest
                .strip_prefix("```yaml\n")
                .and_then(|rest| rest.split("```").next())
                .with_context(|| format!("configuration {name} has no YAML"))?;
            Ok((name.to_owned(), serde_saphyr::from_str(yaml)?))
        })
        .collect()
}

fn named(cell: &str, configurations: &Configurations) -> Result<Vec<Value>> {
    if cell == "any" {
        return Ok(configurations
            .values()
            .cloned()
            .map(Value::Object)
            .collect());
    }
    let (name, keys) = cell.split_once(' ').unwrap_or((cell, "{}"));
    let mut config = match name {
        "many" => many(),
        _ => configurations
            .get(name)
            .with_context(|| format!("no configuration {name}"))?
            .clone(),
    };
    config.extend(serde_saphyr::from_str::<Map<String, Value>>(keys)?);
    Ok(vec![Value::Object(config)])
}

fn many() -> Map<String, Value> {
    let mut servers: BTreeMap<String, Vec<String>> = (2..5_000)
        .map(|n| (format!("server-{n}"), vec![format!("host-{n}.example.com")]))
        .collect();
    servers.insert("one".into(), vec!["service1.test.com".into()]);
    servers.insert("two".into(), vec!["service2.test.com".into()]);
    Map::from_iter([("servers".to_owned(), serde_json::json!(servers))])
}

impl Request {
    fn parse(cell: &str) -> Result<Self> {
        let mut request = Self {
            protocol: Protocol::H2,
            tls: true,
            method: Method::Get,
            content_type: None,
            route: Route::Unmatched,
            origin: Origin::Client,
        };
        for word in cell.split_whitespace() {
            match word {
                "h1" => request.protocol = Protocol::H1,
                "h3" => request.protocol = Protocol::H3,
                "plaintext" => request.tls = false,
                "routed" => request.route = Route::Matched,
                "no-path" => request.route = Route::NoPath,
                "blackhole" => request.route = Route::Blackhole,
                "shared" => request.route = Route::Shared,
                "HEAD" => request.method = Method::Head,
                "POST" => request.method = Method::Post,
                "CONNECT" => request.method = Method::Connect,
                "websocket" => request.method = Method::WebSocket,
                // Nothing is left to redirect or to rewrite to where there is no route.
                "redirected" => {
                    (request.origin, request.route) = (Origin::Redirect, Route::Matched);
                }
                "rewritten" => {
                    (request.origin, request.route) = (Origin::Filter, Route::Matched);
                }
                _ => match word.strip_prefix("domain=") {
                    Some(domain) => request.route = Route::Domain(domain.into()),
                    None if word.contains('/') => request.content_type = Some(word.into()),
                    None => bail!("unknown word {word} in the request"),
                },
            }
        }
        Ok(request)
    }

    /// Whether Envoy shows the filter a route for it. It shows none after an earlier filter cleared it,
    /// and finds one afterwards.
    #[must_use]
    pub fn is_routed(&self) -> bool {
        self.origin != Origin::Filter && self.is_found()
    }

    /// Whether Envoy finds a route for it in the end.
    #[must_use]
    pub fn is_found(&self) -> bool {
        matches!(
            self.route,
            Route::Matched | Route::Domain(_) | Route::Shared
        )
    }
}

impl Answer {
    fn parse(cell: &str) -> Result<Self> {
        match cell.split_once(' ') {
            Some(("pass", reason)) => Ok(Self::Pass(reason.into())),
            Some(("reported", reason)) => Ok(Self::Reported(reason.into())),
            Some(("421", reason)) => Ok(Self::Misdirected(reason.into())),
            _ => bail!("{cell:?} is no answer"),
        }
    }
}

impl Row {
    /// What the rule asks about the request.
    #[must_use]
    pub fn facts(&self) -> Facts<'_> {
        let request = &self.request;
        Facts {
            sni: self.sni.as_deref().unwrap_or_default().as_bytes(),
            authority: self.authority.as_bytes(),
            route: match request.route {
                _ if request.origin == Origin::Filter => rule::Route::Unmatched,
                Route::Matched | Route::NoPath | Route::Domain(_) | Route::Shared => {
                    rule::Route::Matched
                }
                Route::Unmatched => rule::Route::Unmatched,
                Route::Blackhole => rule::Route::Blackhole,
            },
            has_route: request.is_routed(),
            tls: request.tls,
            internal_redirect: request.origin == Origin::Redirect,
            connect: request.method == Method::Connect,
            protocol: Some(match request.protocol {
                Protocol::H1 => rule::Protocol::Http1,
                Protocol::H2 => rule::Protocol::Http2,
                Protocol::H3 => rule::Protocol::Http3,
            }),
            grpc: request
                .content_type
                .as_ref()
                .is_some_and(|content_type| is_grpc(content_type.as_bytes())),
        }
    }
}
