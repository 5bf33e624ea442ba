//! The decision table on the module under a fake host: one test per line of `decisions.md`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use anyhow::{Context, Result, anyhow, bail, ensure};
use libtest_mimic::Trial;
use tests::decisions::{Answer, Method, Origin, Protocol, Route, Row, rows};
use tests::fake_host::{Facts, FakeHost, LocalResponse, Module};
use tests::module;

use crate::trials;

static MODULE: LazyLock<Result<Module, String>> =
    LazyLock::new(|| load_module().map_err(|error| format!("{error:#}")));

pub(crate) fn all() -> Result<Vec<Trial>> {
    let mut by_line: BTreeMap<usize, Vec<Row>> = BTreeMap::new();
    for row in rows()? {
        by_line.entry(row.line).or_default().push(row);
    }
    let named = by_line
        .into_iter()
        .map(|(line, rows)| (format!("line-{line}"), rows))
        .collect();
    trials("decisions", 150, named, |rows| {
        rows.iter().try_for_each(check)
    })
}

fn load_module() -> Result<Module> {
    Module::load(&module::build()?)
}

fn check(row: &Row) -> Result<()> {
    let module = MODULE.as_ref().map_err(|error| anyhow!("{error}"))?;
    let config = row.config.to_string();
    let mut host = FakeHost::start_on(module, row.gateway, config.as_bytes())?;
    let outcome = host.request(&facts(row))?;
    check_response(row, outcome.response.as_ref()).with_context(|| row.to_string())?;
    check_metrics(row, &host).with_context(|| row.to_string())
}

/// The attributes and headers of a row, as Envoy has them.
fn facts(row: &Row) -> Facts {
    let request = &row.request;
    let protocol = match request.protocol {
        Protocol::H1 => "HTTP/1.1",
        Protocol::H2 => "HTTP/2",
        Protocol::H3 => "HTTP/3",
    };
    let mut properties = vec![("request.protocol", protocol)];
    if let Some(sni) = &row.sni {
        properties.push(("connection.requested_server_name", sni));
    }
    if request.tls {
        properties.push(("connection.tls_version", "TLSv1.3"));
    }
    if request.origin == Origin::Redirect {
        properties.push(("filter_state.num_internal_redirects", "1"));
    }
    if request.is_routed() {
        properties.push(("xds.route_name", ""));
    }
    // A filter that cleared the route cleared the virtual host too.
    if request.origin != Origin::Filter {
        match request.route {
            Route::Unmatched => {}
            Route::Blackhole => properties.push(("xds.virtual_host_name", "blackhole:443")),
            Route::Matched | Route::NoPath | Route::Domain(_) | Route::Shared => {
                properties.push(("xds.virtual_host_name", "some host"));
            }
        }
    }
    // Envoy hands an extended CONNECT to filters as a GET with an upgrade.
    let method = match request.method {
        Method::Get | Method::WebSocket => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Connect => "CONNECT",
    };
    // HTTP/1 has the authority in `Host`; Envoy hands it to filters as `:authority` too.
    let mut headers = vec![(":authority", row.authority.as_str()), (":method", method)];
    if let Some(content_type) = &request.content_type {
        headers.push(("content-type", content_type));
    }

    let mut facts = Facts::default();
    for (path, value) in properties {
        facts.properties.insert(path.into(), value.into());
    }
    for (name, value) in headers {
        facts.headers.insert(name.into(), value.into());
    }
    facts
}

fn check_response(row: &Row, response: Option<&LocalResponse>) -> Result<()> {
    let (reason, response) = match (&row.answer, response) {
        (Answer::Pass(_) | Answer::Reported(_), None) => return Ok(()),
        (Answer::Misdirected(reason), Some(response)) => (reason, response),
        (expected, response) => bail!("{response:?}, expected {expected}"),
    };
    let grpc_status = if row.facts().grpc { 14 } else { -1 };
    ensure!(
        response.status == 421 && response.grpc_status == grpc_status,
        "{response:?}"
    );
    ensure!(
        response.details == format!("sni_guard_{reason}"),
        "{response:?}"
    );
    let headers = [
        ("content-type", "text/plain; charset=utf-8"),
        ("cache-control", "no-store"),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    ensure!(response.headers == headers, "{response:?}");
    // A reply with the names of the request could be used to attack who reads it.
    ensure!(!response.body.contains("test.com"), "{response:?}");
    Ok(())
}

/// The filter counts the decision once, and nothing else.
fn check_metrics(row: &Row, host: &FakeHost) -> Result<()> {
    let expected = row.metric();
    if let Some(metric) = &expected {
        let counted = host.metric(metric);
        ensure!(counted == Some(1), "{metric} is {counted:?}");
    }
    let total = host.counted();
    ensure!(
        total == i64::from(expected.is_some()),
        "{total} in all counters, expected {expected:?}"
    );
    // The gauge for invalid configurations is apart from the decisions.
    let is_invalid = row.answer == Answer::Pass("invalid_config".into());
    let invalid = host.metric("sni_guard.config_invalid");
    ensure!(
        invalid == Some(i64::from(is_invalid)),
        "config_invalid is {invalid:?}"
    );
    // Access logs read the reason of a reported request from this property.
    let reported = match &row.answer {
        Answer::Reported(reason) => Some(reason.as_str()),
        Answer::Pass(_) | Answer::Misdirected(_) => None,
    };
    let property = host.property("sni_guard_reported");
    ensure!(
        property == reported,
        "sni_guard_reported is {property:?}, expected {reported:?}"
    );
    Ok(())
}
