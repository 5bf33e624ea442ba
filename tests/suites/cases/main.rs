//! One test per case. A case is a file of `cli`, `check`, `merge` or `gateways`, or a line of
//! `decisions.md`. This program makes a trial of each, so that one case can be run, blessed and seen to
//! fail alone: `cargo test -p tests --test cases -- check::12-dropped`.

mod commands;
mod decisions;
mod decisions_on_envoy;
mod merge_on_envoy;
mod merge_plans;
mod model;
mod model_on_envoy;
mod sarif;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use libtest_mimic::{Arguments, Trial};

fn main() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    let trials: Vec<Trial> = [
        commands::all()?,
        sarif::all()?,
        model::all()?,
        merge_plans::all()?,
        decisions::all()?,
        // The slow ones, which start an Envoy each, are last.
        model_on_envoy::all()?,
        merge_on_envoy::all()?,
        decisions_on_envoy::all()?,
    ]
    .into_iter()
    .flatten()
    .collect();
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

/// One trial for each case, named `GROUP::NAME`.
///
/// # Errors
/// There are fewer cases than `at_least`: a folder that was moved must not pass because it is empty.
fn trials<C: Send + 'static>(
    group: &str,
    at_least: usize,
    cases: Vec<(String, C)>,
    check: fn(&C) -> Result<()>,
) -> Result<Vec<Trial>> {
    ensure!(
        cases.len() >= at_least,
        "{group} has {} cases, expected at least {at_least}",
        cases.len()
    );
    // A trial reads its case itself, so that an invalid case fails alone.
    let trials = cases
        .into_iter()
        .map(|(name, case)| trial(&format!("{group}::{name}"), move || check(&case)))
        .collect();
    Ok(trials)
}

/// A trial whose failure shows the error with its causes.
fn trial(name: &str, check: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    Trial::test(name, move || {
        check().map_err(|error| format!("{error:#}").into())
    })
}
