//! Every row of `decisions.md` whose configuration is valid, on the script in the oldest and the newest Envoy.

use std::collections::BTreeMap;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rule::{Config, Decision, Document};
use serde::Deserialize as _;
use tests::backend;
use tests::decisions::{Answer, Exchange, Method, Row, TABLE, listener, listener_name, rows};
use tests::envoy::{Envoy, Filter, Launch, Listener};
use tests::tools::envoy_versions;

use super::{counter, decide, has_counters, logged_reason, tally};

/// The reply of the module.
const BODY: &str = "421 Misdirected Request\n\
    This connection belongs to another server. Repeat the request on a new connection.\n";

/// A row on the script.
struct ScriptRow {
    row: Row,
    script: String,
    decision: Decision,
}

/// How the answer of a script is related to the answer that a row names, by the words of the table in `decisions.md`.
fn relation(row: &Row, decision: Option<Decision>) -> &'static str {
    let Some(decision) = decision else {
        assert_eq!(row.answer, Answer::Pass("invalid_config".into()), "{row}");
        return "`pass invalid_config`";
    };
    match (&row.answer, decision) {
        (answer, decision) if *answer == answer_of(decision) => "any other answer",
        (Answer::Misdirected(reason) | Answer::Reported(reason), Decision::Pass(_))
            if reason == "unrouted" =>
        {
            "`421 unrouted`, `reported unrouted`"
        }
        (Answer::Pass(reason), Decision::Pass(_)) if reason == "routed" => {
            "`pass routed`, where the names or the table decide the same"
        }
        (Answer::Pass(reason), Decision::Reject(_) | Decision::Report(_)) if reason == "routed" => {
            "`pass routed`, where the table decides otherwise"
        }
        (answer, decision) => panic!("{row}: {answer}, but the script has {decision:?}"),
    }
}

fn answer_of(decision: Decision) -> Answer {
    match decision {
        Decision::Pass(pass) => Answer::Pass(pass.name().into()),
        Decision::Report(misdirection) => Answer::Reported(misdirection.name().into()),
        Decision::Reject(misdirection) => Answer::Misdirected(misdirection.name().into()),
    }
}

/// The configuration of a row; `None` if it is invalid.
fn config(row: &Row) -> Option<Config> {
    let document = Document::deserialize(&row.config).unwrap();
    Config::parse(&document).ok()
}

/// `decisions.md` states how many rows a script cannot answer, and why.
#[test]
fn the_table_states_what_a_script_cannot_answer() {
    let rows = rows().unwrap();
    let relations = rows.iter().map(|row| {
        let decision = config(row).map(|config| decide(&config, row.facts()));
        Some(relation(row, decision).to_owned())
    });
    let (_, section) = TABLE
        .split_once("\n## What the Lua script cannot answer\n")
        .unwrap();
    let stated: BTreeMap<String, u64> = section
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split(" | ").collect();
            let [relation, count, _] = cells.as_slice() else {
                return None;
            };
            Some((
                relation.trim_start_matches("| ").to_owned(),
                count.parse().ok()?,
            ))
        })
        .collect();
    assert_eq!(
        stated,
        tally(relations),
        "left: decisions.md, right: the rows"
    );
}

#[test]
fn the_script_answers_every_row_that_it_can() {
    let rows: Vec<ScriptRow> = distinct_rows();
    assert!(rows.len() > 200, "{} rows", rows.len());
    thread::scope(|scope| {
        for version in envoy_versions() {
            let rows = &rows;
            scope.spawn(move || {
                for rows in rows.chunks(ROWS) {
                    check_rows(&version, rows);
                }
            });
        }
    });
}

/// How many rows share an Envoy. With more listeners, Envoy needs longer to find the counters among its own.
const ROWS: usize = 60;

/// A script does the same on both kinds of gateway, so each request is sent once.
fn distinct_rows() -> Vec<ScriptRow> {
    let mut distinct: Vec<ScriptRow> = Vec::new();
    for row in rows().unwrap() {
        let Some(config) = config(&row) else {
            continue;
        };
        let is_known = distinct
            .last()
            .is_some_and(|last| (last.row.line, &last.row.config) == (row.line, &row.config));
        if !is_known {
            distinct.push(ScriptRow {
                script: rule::lua::write(&config),
                decision: decide(&config, row.facts()),
                row,
            });
        }
    }
    distinct
}

fn check_rows(version: &str, rows: &[ScriptRow]) {
    let launch = Launch {
        version,
        ..Launch::default()
    };
    let envoy = Envoy::start_as(&launch, &listeners(rows)).unwrap();
    let mut failures = Vec::new();
    let mut answered = Vec::new();
    let mut before = envoy.script_metrics().unwrap();
    for ScriptRow { row, decision, .. } in rows {
        let [without_filter, with_filter] = [false, true]
            .map(|is_guarded| envoy.listener(&listener_name(row, is_guarded)).unwrap());
        let exchange = Exchange::new(row, without_filter, with_filter).unwrap();
        let after = envoy.script_metrics().unwrap();
        let counted = difference(&before, &after);
        before = after;
        let Some(exchange) = exchange else { continue };
        answered.push(*decision);
        if let Err(error) = exchange.check(row, decision.status().is_some()) {
            failures.push(format!("{row}: {decision:?}: {error:#}"));
        }
        let expected = tally([counter(*decision).filter(|_| has_counters(version))]);
        if counted != expected {
            failures.push(format!("{row}: {decision:?}: counted {counted:?}"));
        }
        if decision.status().is_some() {
            check_body(row, &exchange.with_filter.body);
        }
    }
    assert!(
        failures.is_empty(),
        "Envoy {version}, {} of {} rows:\n{}",
        failures.len(),
        rows.len(),
        failures.join("\n")
    );
    check_access_log(&envoy, &answered);
}

/// Rows with the same configuration and the same routes share a listener.
fn listeners(rows: &[ScriptRow]) -> Vec<Listener> {
    let backend = backend::start().unwrap();
    let mut listeners = BTreeMap::new();
    for ScriptRow { row, script, .. } in rows {
        for is_guarded in [false, true] {
            let filter = is_guarded.then(|| Filter::Lua(script.clone()));
            listeners
                .entry(listener_name(row, is_guarded))
                .or_insert_with_key(|name| listener(row, name.clone(), filter, backend));
        }
    }
    listeners.into_values().collect()
}

/// The counters that changed, with by how much.
fn difference(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    after
        .iter()
        .map(|(name, count)| {
            let old = before.get(name).copied().unwrap_or_default();
            (name.clone(), count - old)
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[track_caller]
fn check_body(row: &Row, body: &[u8]) {
    // To HEAD there is no body. To gRPC, Envoy puts it into a header.
    if row.request.method != Method::Head && !row.facts().grpc {
        assert_eq!(String::from_utf8_lossy(body), BODY, "{row}");
    }
}

/// The access log has the reason of each misdirected request.
#[track_caller]
fn check_access_log(envoy: &Envoy, answered: &[Decision]) {
    let reasons = answered
        .iter()
        .map(|decision| match logged_reason(*decision) {
            "-" => None,
            reason => Some(reason.to_owned()),
        });
    let expected = tally(reasons);
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let log = envoy.access_log().unwrap();
        let logged = tally(log.into_iter().map(|line| match line.misdirected.as_str() {
            "-" => None,
            reason => Some(reason.to_owned()),
        }));
        if logged == expected {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{logged:?}, expected {expected:?}"
        );
        sleep(Duration::from_millis(50));
    }
}
