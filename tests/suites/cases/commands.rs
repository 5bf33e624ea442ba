//! The cases of the command line: what the commands of a file print.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use tests::cases::{Case, check_no_stale_golden, run};

use crate::{trial, trials};

pub(crate) fn all() -> Result<Vec<Trial>> {
    let mut all = trials("cli", 25, named("cli")?, Case::check)?;
    all.extend(trials("check", 45, named("check")?, check_findings)?);
    all.extend(trials("merge", 30, named("merge")?, Case::check)?);
    // The golden files of a renamed or deleted case would stay unnoticed.
    for folder in ["cli", "check", "merge"] {
        let name = format!("{folder}::no-stale-golden-file");
        all.push(trial(&name, move || check_no_stale_golden(folder)));
    }
    Ok(all)
}

/// The cases of a folder with their names.
pub(crate) fn named(folder: &str) -> Result<Vec<(String, Case)>> {
    Ok(Case::all(folder)?
        .into_iter()
        .map(|case| (case.name.clone(), case))
        .collect())
}

/// A case of `check` prints what its golden files hold, and has the findings that it expects.
fn check_findings(case: &Case) -> Result<()> {
    // The codes first: a golden file that was blessed without reading it still fails here.
    let expected = expected_codes(case)?;
    let found = found_codes(case)?;
    ensure!(
        found == expected,
        "{} has findings {found:?}, its line `# EXPECT:` has {expected:?}",
        case.name
    );
    case.check()
}

/// The codes of the line `# EXPECT:`, which is `none` or codes separated by blanks.
pub(crate) fn expected_codes(case: &Case) -> Result<BTreeSet<String>> {
    let codes = case.expectation()?;
    if codes == "none" {
        return Ok(BTreeSet::new());
    }
    Ok(codes.split(' ').map(str::to_owned).collect())
}

/// The codes of the findings that `check` has for the input of a case, whatever the case runs.
fn found_codes(case: &Case) -> Result<BTreeSet<String>> {
    let run = run("check % --output json", &case.input()?)?;
    // An input without resources has no report.
    if run.out.is_empty() {
        return Ok(BTreeSet::new());
    }
    let report: Value = serde_json::from_str(&run.out)?;
    let findings = report.get("findings").and_then(Value::as_array);
    Ok(findings
        .into_iter()
        .flatten()
        .filter_map(|finding| finding.get("code")?.as_str())
        .map(str::to_owned)
        .collect())
}
