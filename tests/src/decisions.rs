//! `decisions.md`, read as the table that it is.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use rule::facts::is_grpc;
use rule::{Config, Document, Facts, Path};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use crate::client::{Ask, Connection, Response, Transport, block_on};

/// The table.
pub const TABLE: &str = include_str!("../decisions.md");

/// One row, with one configuration.
#[derive(Clone, Debug)]
pub struct Row {
    /// The line of the table.
    pub line: usize,
    /// The server name of the connection.
    pub sni: Option<String>,
    /// The authority of the request, as it is sent.
    pub authority: String,
    /// The plugin's configuration.
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
    /// Whether the connection is a TLS one.
    pub tls: bool,
    /// The method.
    pub method: String,
    /// The content type, if the request has one.
    pub content_type: Option<String>,
    /// What the gateway has to route by, where the configuration does not say.
    pub route: Route,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    H1,
    /// HTTP/2.
    H2,
    /// HTTP/3.
    H3,
}

/// What the gateway's route table has for the authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// A route.
    Matched,
    /// A virtual host, but no route of it.
    NoPath,
    /// None.
    Unmatched,
    /// Istio's placeholder.
    Blackhole,
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
            "decisions.md:{line}: {sni:?} {authority:?} {config} {:?}",
            self.request
        )
    }
}

/// The rows of the table, those of `any` once for each configuration.
///
/// # Errors
/// The table is not of the form that its head describes.
pub fn rows() -> Result<Vec<Row>> {
    let configurations = configurations()?;
    let mut rows = Vec::new();
    for (line, text) in (1..).zip(TABLE.lines()) {
        let cells: Vec<&str> = text.split('|').map(str::trim).collect();
        let [_, sni, authority, config, request, answer, _] = cells.as_slice() else {
            continue;
        };
        if *sni == "SNI" || sni.starts_with("---") {
            continue;
        }
        let context = || format!("decisions.md:{line}");
        for config in named(config, &configurations).with_context(context)? {
            rows.push(Row {
                line,
                sni: (*sni != "–").then(|| (*sni).to_owned()),
                authority: (*authority).to_owned(),
                config,
                request: Request::parse(request).with_context(context)?,
                answer: Answer::parse(answer).with_context(context)?,
            });
        }
    }
    Ok(rows)
}

type Configurations = BTreeMap<String, Map<String, Value>>;

fn configurations() -> Result<Configurations> {
    let sections = TABLE.split("\n### ").skip(1);
    sections
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
            method: "GET".into(),
            content_type: None,
            route: Route::Unmatched,
        };
        for word in cell.split_whitespace() {
            match word {
                "h1" => request.protocol = Protocol::H1,
                "h3" => request.protocol = Protocol::H3,
                "plaintext" => request.tls = false,
                "routed" => request.route = Route::Matched,
                "no-path" => request.route = Route::NoPath,
                "blackhole" => request.route = Route::Blackhole,
                "HEAD" | "POST" | "CONNECT" => request.method = word.into(),
                _ if word.contains('/') => request.content_type = Some(word.into()),
                _ => bail!("unknown word {word} in the request"),
            }
        }
        Ok(request)
    }

    /// What the rule asks about it.
    #[must_use]
    pub fn facts(&self) -> Facts {
        Facts {
            tls: self.tls,
            route: match self.route {
                Route::Matched | Route::NoPath => rule::Route::Matched,
                Route::Unmatched => rule::Route::Unmatched,
                Route::Blackhole => rule::Route::Blackhole,
            },
            connect: self.method == "CONNECT",
            protocol: Some(match self.protocol {
                Protocol::H1 => rule::Protocol::Http1,
                Protocol::H2 => rule::Protocol::Http2,
                Protocol::H3 => rule::Protocol::Http3,
            }),
            grpc: self
                .content_type
                .as_ref()
                .is_some_and(|content_type| is_grpc(content_type.as_bytes())),
        }
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
    /// Sends its request, on a connection of its own.
    ///
    /// # Errors
    /// The server is not there, or what it was sent made it reset the connection or the stream.
    pub fn send(&self, server: SocketAddr) -> Result<Response> {
        let request = &self.request;
        let sni = self.sni.as_deref();
        let transport = if request.tls {
            Transport::Tls(sni)
        } else {
            Transport::Plaintext
        };
        let content_type = request
            .content_type
            .as_deref()
            .map(|value| ("content-type", value));
        let headers: Vec<_> = content_type.into_iter().collect();
        let ask = Ask {
            method: &request.method,
            headers: &headers,
        };
        block_on(async {
            let mut connection = match request.protocol {
                Protocol::H1 => Connection::h1(server, transport).await?,
                Protocol::H2 => Connection::h2(server, transport).await?,
                Protocol::H3 => Connection::h3(server, sni.unwrap_or_default()).await?,
            };
            connection.send(&ask, &self.authority).await
        })
    }

    /// The metric that the filter adds one to; `None` where it counts nothing.
    ///
    /// `routed` says whether the gateway found a route: under some configurations the filter then
    /// looks no further.
    #[must_use]
    pub fn metric(&self, routed: bool) -> Option<String> {
        let config = Document::deserialize(&self.config)
            .ok()
            .and_then(|document| Config::parse(&document).ok())?;
        if routed && config.path() == Path::Fast {
            return None;
        }
        match &self.answer {
            Answer::Misdirected(reason) => Some(format!("sni_guard.enforced.{reason}")),
            Answer::Reported(reason) => Some(format!("sni_guard.reported.{reason}")),
            Answer::Pass(reason) if ["equal", "no_sni"].contains(&reason.as_str()) => None,
            Answer::Pass(reason) => Some(format!("sni_guard.passed.{reason}")),
        }
    }
}
