//! The decision table on a real Envoy, the oldest and the newest: one test per section of
//! `decisions.md`, kind of gateway and version. Each row is sent without the filter and with it: where
//! the row passes, the answer is Envoy's own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::{Result, bail, ensure};
use libtest_mimic::Trial;
use rule::{Gateway, Host};
use serde_json::Value;
use tests::backend;
use tests::client::Response;
use tests::decisions::{Answer, Method, Origin, Protocol, Route, Row, rows, section};
use tests::envoy::{
    Chain, Envoy, Filter, Guard, GuardConfig, Launch, Listener, Transport, VirtualHost,
};
use tests::module;
use tests::tools::envoy_versions;

use crate::trials;

pub(crate) fn all() -> Result<Vec<Trial>> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for version in envoy_versions() {
        for row in rows()? {
            let gateway = row.gateway;
            let kind = match gateway {
                Gateway::Istio => "istio",
                Gateway::Other => "other",
            };
            let name = format!("{}::{kind}-{version}", section(row.line));
            let group = groups.entry(name).or_insert_with(|| Group {
                version: version.clone(),
                gateway,
                rows: Vec::new(),
            });
            group.rows.push(row);
        }
    }
    trials(
        "decisions-on-envoy",
        15,
        groups.into_iter().collect(),
        Group::check,
    )
}

/// The rows of a section for one Envoy.
struct Group {
    version: String,
    gateway: Gateway,
    rows: Vec<Row>,
}

type Metrics = BTreeMap<String, u64>;

impl Group {
    /// Checks each row, and reports all that fail.
    fn check(&self) -> Result<()> {
        let launch = Launch {
            version: &self.version,
            gateway: self.gateway,
            ..Launch::default()
        };
        let envoy = Envoy::start_as(&launch, &self.listeners()?)?;
        // The rows of one Envoy run one after the other: the counters are its own, not a row's.
        let mut before = envoy.metrics()?;
        let mut failures = Vec::new();
        for row in &self.rows {
            let exchange = Exchange::of(&envoy, row)?;
            let after = envoy.metrics()?;
            let counted = changed(&before, &after);
            before = after;
            let Some(exchange) = exchange else { continue };
            if let Err(error) = exchange.check(row, &counted) {
                failures.push(format!("{row}: {error:#}"));
            }
        }
        ensure!(
            failures.is_empty(),
            "{} of {} rows fail:\n{}",
            failures.len(),
            self.rows.len(),
            failures.join("\n")
        );
        Ok(())
    }

    /// Rows with the same configuration and the same routes share a listener.
    fn listeners(&self) -> Result<Vec<Listener>> {
        let module = module::build()?;
        let backend = backend::start()?;
        let mut listeners = BTreeMap::new();
        for row in &self.rows {
            for guarded in [false, true] {
                let guard = guarded.then(|| Guard {
                    module: module.clone(),
                    config: GuardConfig::Inline(Some(row.config.clone())),
                });
                listeners
                    .entry(listener_name(row, guarded))
                    .or_insert_with_key(|name| listener(row, name.clone(), guard, backend));
            }
        }
        Ok(listeners.into_values().collect())
    }
}

/// The counters of the filter that a request changed.
fn changed(before: &Metrics, after: &Metrics) -> BTreeSet<String> {
    after
        .iter()
        .filter(|(name, value)| before.get(*name).copied().unwrap_or_default() != **value)
        .map(|(name, _)| name.clone())
        .filter(|name| !name.ends_with("config_invalid"))
        .collect()
}

/// What Envoy answered to one request.
struct Exchange {
    without_filter: Response,
    with_filter: Response,
}

impl Exchange {
    /// `None` where Envoy refuses the authority before the filter sees it, as some versions do.
    fn of(envoy: &Envoy, row: &Row) -> Result<Option<Self>> {
        let without_filter = row.send(envoy.listener(&listener_name(row, false))?);
        let with_filter = row.send(envoy.listener(&listener_name(row, true))?);
        let exchange = match (without_filter, with_filter) {
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

    fn check(&self, row: &Row, counted: &BTreeSet<String>) -> Result<()> {
        let Self {
            without_filter,
            with_filter,
        } = self;
        // Otherwise the row would show a request for another route than it names.
        check_routing(row, without_filter)?;
        match row.answer {
            Answer::Misdirected(_) => check_reply(row, with_filter)?,
            Answer::Pass(_) | Answer::Reported(_) => ensure!(
                (with_filter.status, &with_filter.body)
                    == (without_filter.status, &without_filter.body),
                "{with_filter:?} with the filter, {without_filter:?} without it"
            ),
        }
        // One counter for the reason of the row, or none.
        let expected: BTreeSet<String> = row.metric().into_iter().collect();
        ensure!(
            *counted == expected,
            "counted {counted:?}, expected {expected:?}, answered {with_filter:?}"
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

fn listener_name(row: &Row, guarded: bool) -> String {
    let config: String = row.config.to_string().chars().take(1_000).collect();
    let (tls, routes) = (row.request.tls, virtual_hosts(row, None));
    let is_quic = row.request.protocol == Protocol::H3;
    let is_rewritten = rewrite(row).is_some();
    format!("{guarded} {tls} {is_quic} {is_rewritten} {config} {routes:?}")
}

fn listener(row: &Row, name: String, guard: Option<Guard>, backend: SocketAddr) -> Listener {
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
        filters: rewrite(row)
            .into_iter()
            .chain(guard.map(Filter::Guard))
            .collect(),
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
