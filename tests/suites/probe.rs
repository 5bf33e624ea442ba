//! `packager probe` on a real Envoy, whose listeners are those of the model, and on servers that
//! behave badly.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod gateways;
mod live;
mod rude;

use serde_json::Value;
use tests::process::{Run, packager, packager_with_input};

const A: &str = "a.example.com";
const B: &str = "b.example.com";

/// Probes without trusting anybody in particular.
fn probe(connect: &str, sni: &str, authorities: &[&str], more: &[&str]) -> Run {
    let head = [
        "probe",
        "--connect",
        connect,
        "--sni",
        sni,
        "--insecure-skip-tls-verify",
    ];
    packager(&[&head, more, &["--authority"], authorities].concat())
}

/// The same, and the report.
#[track_caller]
fn report(connect: &str, sni: &str, authorities: &[&str], more: &[&str]) -> (Run, Value) {
    let run = probe(
        connect,
        sni,
        authorities,
        &[more, &["--output", "json"]].concat(),
    );
    let report = serde_json::from_str(&run.out);
    let report = report.unwrap_or_else(|error| panic!("{error}: {}{}", run.out, run.talk));
    (run, report)
}

/// The authorities with their verdicts, in order.
fn verdicts(report: &Value) -> Vec<(&str, &str)> {
    let text = |value: &'_ Value| value.as_str().unwrap_or("unknown").to_owned().leak() as &str;
    report["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| (text(&result["authority"]), text(&result["verdict"])))
        .collect()
}
