//! The reports of `check` in SARIF: each is valid by the schema of OASIS, and names the file and line
//! of the resources that it is about.
//!
//! The schema is the one of `oasis-tcs/sarif-spec`, as the crate `serde-sarif` 0.8.0 (MIT) has it.

use std::collections::BTreeSet;
use std::fs;
use std::sync::LazyLock;

use anyhow::{Context, Result, anyhow, ensure};
use jsonschema::Validator;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tests::cases::{Case, run};

use crate::commands::{expected_codes, named};
use crate::{trial, trials};

/// Findings about one server or a pair of servers, each of which is in a file.
const WITH_LOCATION: [&str; 4] = ["SG101", "SG102", "SG103", "SG201"];

static VALIDATOR: LazyLock<Result<Validator, String>> =
    LazyLock::new(|| load_validator().map_err(|error| format!("{error:#}")));

pub(crate) fn all() -> Result<Vec<Trial>> {
    let mut all = trials("sarif", 45, named("check")?, check_sarif)?;
    all.push(trial(
        "sarif::the-schema-refuses-a-run-without-a-tool",
        || {
            let log = json!({ "version": "2.1.0", "runs": [{}] });
            ensure!(!validator()?.is_valid(&log), "the schema accepts {log}");
            Ok(())
        },
    ));
    Ok(all)
}

fn validator() -> Result<&'static Validator> {
    VALIDATOR.as_ref().map_err(|error| anyhow!("{error}"))
}

fn load_validator() -> Result<Validator> {
    // One of its patterns, for a language, has a bracket too many and does not compile.
    let schema = fs::read_to_string("schemas/sarif-2.1.0.json")?.replace("]?$\"", "?$\"");
    Ok(jsonschema::validator_for(&serde_json::from_str(&schema)?)?)
}

fn check_sarif(case: &Case) -> Result<()> {
    let run = run("check % --output sarif", &case.input()?)?;
    // Without a resource in the input, there is no report.
    if run.out.is_empty() {
        ensure!(run.status == 2, "exit status {}", run.status);
        return Ok(());
    }

    // A percent sign alone is not a URI reference.
    let log = run.out.replace("\"uri\":\"%\"", "\"uri\":\"input.yaml\"");
    let log: Value = serde_json::from_str(&log)?;
    let errors: Vec<String> = validator()?
        .iter_errors(&log)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    ensure!(errors.is_empty(), "not SARIF: {errors:?}");

    // The results have the codes that the case expects: SARIF drops no finding.
    let results = log
        .pointer("/runs/0/results")
        .and_then(Value::as_array)
        .context("no results")?;
    let mut codes = BTreeSet::new();
    for result in results {
        let code = result
            .get("ruleId")
            .and_then(Value::as_str)
            .context("no ruleId")?;
        codes.insert(code.to_owned());
        if WITH_LOCATION.contains(&code) {
            check_location(result)?;
        }
    }
    let expected = expected_codes(case)?;
    ensure!(
        codes == expected,
        "results {codes:?}, expected {expected:?}"
    );
    Ok(())
}

fn check_location(result: &Value) -> Result<()> {
    let location = result
        .pointer("/locations/0/physicalLocation")
        .with_context(|| format!("no location: {result}"))?;
    let file = location.pointer("/artifactLocation/uri");
    ensure!(
        file.is_some_and(|file| file == "input.yaml"),
        "file {file:?}: {result}"
    );
    let line = location
        .pointer("/region/startLine")
        .and_then(Value::as_u64);
    ensure!(line.is_some_and(|line| line > 0), "line {line:?}: {result}");
    Ok(())
}
