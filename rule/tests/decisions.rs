//! The decision table, on the rule itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../tests/src/decisions/table.rs"]
#[expect(unreachable_pub, reason = "the tests of the module use more of it")]
mod table;

use rule::{Config, Decision, Document, Policy};
use serde::Deserialize as _;

use table::{Answer, Row, rows};

#[test]
fn every_row_holds() {
    let rows = rows().unwrap();
    assert!(rows.len() > 300, "{} rows", rows.len());
    for row in rows {
        assert_eq!(answer(&row), row.answer, "{row}");
    }
}

fn answer(row: &Row) -> Answer {
    let document = Document::deserialize(&row.config).unwrap();
    let policy = Policy::from(Config::parse(&document));
    let Ok(decision) = policy.decide(row.gateway, &row.facts());
    let (answer, status) = match decision {
        Decision::Pass(pass) => (Answer::Pass(pass.name().into()), None),
        Decision::Report(reason) => (Answer::Reported(reason.name().into()), None),
        Decision::Reject(reason) => (Answer::Misdirected(reason.name().into()), Some(421)),
    };
    assert_eq!(decision.status(), status, "{row}");
    let reason = match &answer {
        Answer::Pass(reason) | Answer::Misdirected(reason) => reason.as_str(),
        Answer::Reported(_) => "reported",
    };
    assert_eq!(decision.reason(), reason, "{row}");
    answer
}
