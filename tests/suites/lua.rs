//! The rule as a Lua script, `rule::lua`, held to the decision table and to `rule` itself: in a real Envoy, and in
//! `LuaJIT`, which Envoy runs scripts with.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod decisions;
mod hostile;
mod large;
mod random;

use std::collections::BTreeMap;

use rule::{Config, Decision, Facts, Gateway, Pass, Route};
use serde_json::Value;
use tests::envoy::{Chain, Filter, Listener, Transport, VirtualHost};
use tests::script::script;

/// What a script decides. It cannot see the virtual host, so it takes every request for one that has a virtual host
/// and no route for its path.
fn decide(config: &Config, facts: Facts<'_>) -> Decision {
    let facts = Facts {
        route: Route::Matched,
        has_route: false,
        ..facts
    };
    // The kind of gateway matters only for requests with a route.
    let Ok(decision) = config.decide(Gateway::Other, &facts);
    decision
}

/// The counter of a decision. A script does not count the most frequent requests that pass: with equal names, with
/// two names of one server, or with a name that the table does not have.
fn counter(decision: Decision) -> Option<String> {
    let (result, reason) = match decision {
        Decision::Pass(Pass::Equal | Pass::SameServer | Pass::Routed | Pass::RouteFound) => {
            return None;
        }
        Decision::Pass(pass) => ("passed", pass.name()),
        Decision::Report(misdirection) => ("reported", misdirection.name()),
        Decision::Reject(misdirection) => ("enforced", misdirection.name()),
    };
    Some(format!("sni_guard.{result}.{reason}"))
}

/// The reason that access logs show; `-` for a request that is not misdirected.
fn logged_reason(decision: Decision) -> &'static str {
    match decision {
        Decision::Pass(_) => "-",
        Decision::Report(misdirection) | Decision::Reject(misdirection) => misdirection.name(),
    }
}

/// Whether a version of Envoy has counters for scripts.
fn has_counters(version: &str) -> bool {
    let minor = version
        .split('.')
        .nth(1)
        .and_then(|minor| minor.parse::<u32>().ok());
    minor.unwrap() >= 38
}

/// How often each name occurs, without `None`.
fn tally(names: impl IntoIterator<Item = Option<String>>) -> BTreeMap<String, u64> {
    let mut tally = BTreeMap::new();
    for name in names.into_iter().flatten() {
        *tally.entry(name).or_default() += 1;
    }
    tally
}

/// A listener for every SNI that answers 200 to every authority, unless the script answers first.
fn open_listener(name: &str, configuration: &Value) -> Listener {
    Listener {
        name: name.into(),
        transport: Transport::Tls,
        chains: vec![Chain {
            server_names: vec!["*".into()],
            virtual_hosts: vec![VirtualHost::of("*")],
        }],
        filters: vec![Filter::Lua(script(configuration).unwrap())],
    }
}
