//! The command line: what its cases in `cli/`, which the suite `cases` runs, do not show.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use rule::{Config, Document, Gateway};
use serde::Deserialize as _;
use serde_json::Value;
use tests::decisions::{Answer, Method, Origin, Protocol, Route, Row, rows};
use tests::process::{packager, packager_with_input};
use tests::tools::checkout;

/// `explain` decides as the table, for every row that a valid configuration decides.
#[test]
fn explain_decides_as_the_table_says() {
    let rows = rows().unwrap();
    let mut explained = 0;
    // `explain` is about TLS connections, and about requests as clients send them.
    for row in rows
        .iter()
        .filter(|row| row.request.tls && row.request.origin == Origin::Client)
    {
        if row.answer != Answer::Pass("invalid_config".into()) {
            check_explain(row);
            explained += 1;
        }
    }
    assert!(explained > 100, "{explained}");
}

#[track_caller]
fn check_explain(row: &Row) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), row.config.to_string()).unwrap();
    let config = file.path().to_str().unwrap();
    let case = case(row).to_string();
    let run = packager_with_input(&["explain", "--config", config, "--cases", "-"], &case);
    assert_eq!(run.status, 0, "{row}: {}", run.talk);
    let explanation: Value = serde_json::from_str(&run.out).unwrap();
    let answer = (
        explanation.get("status").unwrap(),
        explanation.get("reason").unwrap(),
    );
    let expected = match &row.answer {
        Answer::Pass(reason) => (Value::Null, reason.as_str()),
        Answer::Reported(_) => (Value::Null, "reported"),
        Answer::Misdirected(reason) => (421.into(), reason.as_str()),
    };
    assert_eq!(answer, (&expected.0, &expected.1.into()), "{row}");
}

fn case(row: &Row) -> Value {
    serde_json::json!({
        "sni": row.sni,
        "authority": row.authority,
        "gateway": match row.gateway {
            Gateway::Istio => "istio",
            Gateway::Other => "other",
        },
        "protocol": match row.request.protocol {
            Protocol::H1 => "h1",
            Protocol::H2 => "h2",
            Protocol::H3 => "h3",
        },
        "method": match row.request.method {
            Method::Get | Method::WebSocket => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Connect => "CONNECT",
        },
        "grpc": row.facts().grpc,
        "routed": match row.request.route {
            Route::Matched | Route::NoPath | Route::Domain(_) | Route::Shared => "yes",
            Route::Unmatched => "no",
            Route::Blackhole => "blackhole",
        },
    })
}

/// What operators copy from is valid, and so is what `manifest` writes.
#[test]
fn written_configurations_are_the_filters_own() {
    let example = checkout().join("manifests/plugin-config.yaml");
    let image = format!("registry.example.com/sni-guard:1@sha256:{}", "0".repeat(64));
    let arguments = [
        "manifest",
        "--image",
        &image,
        "--selector",
        "istio=ingressgateway",
        "--config",
    ];
    let run = packager(&[arguments.as_slice(), &[example.to_str().unwrap()]].concat());
    assert_eq!(run.status, 0, "{}", run.talk);
    let resource: Value = serde_saphyr::from_str(&run.out).unwrap();
    let written = resource.pointer("/spec/pluginConfig").unwrap();
    Config::parse(&Document::deserialize(written).unwrap()).unwrap();
}
