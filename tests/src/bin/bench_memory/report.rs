//! The table, and whether the targets are met.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use tests::tools::{ENVOY_VERSION, run};

use crate::Memory;
use crate::variants::Variant;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) chains: usize,
    pub(crate) variant: Variant,
    /// The length of the configuration.
    pub(crate) octets: usize,
    pub(crate) memory: Memory,
    /// What `manifest` warns of: MiB that it adds, settled and at the peak.
    pub(crate) estimate: Option<(f64, f64)>,
}

/// The most memory, settled and at the peak, as multiples of what no configuration takes: where no
/// servers overlap, and where a wildcard covers all of [`CHAINS`] hosts.
const MOST_DISJOINT: f64 = 1.05;
const MOST_WILDCARD: f64 = 1.6;
/// The most by which the warning of `manifest` may differ from what is measured.
const MOST_ERROR: f64 = 0.2;
/// How many filter chains the target for a wildcard is for.
const CHAINS: usize = 1_500;

/// The text, and the targets that are missed.
pub(crate) fn write(rows: &[Row]) -> Result<(String, Vec<String>)> {
    let (mut text, mut missed) = (head()?, Vec::new());
    for row in rows {
        let base = base(rows, row.chains)?;
        writeln!(text, "{}", line(row, base))?;
        if let Some(most) = most(row) {
            let peak = peak_ratio(row, base).unwrap_or_default();
            judge(
                &mut missed,
                row,
                "settled",
                row.memory.settled / base.settled,
                most,
            );
            judge(&mut missed, row, "peak", peak, most);
        }
    }
    writeln!(text)?;
    for row in rows {
        if let Some(estimate) = row.estimate {
            compare(
                &mut text,
                &mut missed,
                row,
                base(rows, row.chains)?,
                estimate,
            )?;
        }
    }
    let verdict = if missed.is_empty() {
        "none".into()
    } else {
        missed.join("; ")
    };
    writeln!(text, "\nTargets missed: {verdict}.")?;
    Ok((text, missed))
}

fn line(row: &Row, base: Memory) -> String {
    let Memory { settled, peak } = row.memory;
    let added = peak.zip(base.peak).map(|(peak, base)| peak - base);
    format!(
        "| {} | {} | {} | {settled:.0} | {:.2} | {} | {} | {} | {} |",
        row.chains,
        row.variant.name(),
        (row.octets + 500) / 1_000,
        settled / base.settled,
        shown(peak, 0),
        shown(peak_ratio(row, base), 2),
        shown(copies(row, settled - base.settled), 1),
        shown(added.and_then(|added| copies(row, added)), 1),
    )
}

fn peak_ratio(row: &Row, base: Memory) -> Option<f64> {
    let (peak, base) = row.memory.peak.zip(base.peak)?;
    Some(peak / base)
}

/// Sets what `manifest` warns of beside what was measured.
fn compare(
    text: &mut String,
    missed: &mut Vec<String>,
    row: &Row,
    base: Memory,
    (settled, peak): (f64, f64),
) -> Result<()> {
    let (Some(row_peak), Some(base_peak)) = (row.memory.peak, base.peak) else {
        return Ok(());
    };
    let (found, found_peak) = (row.memory.settled - base.settled, row_peak - base_peak);
    writeln!(
        text,
        "{} filter chains, {}: `manifest` warns of {settled:.0} MiB, {peak:.0} MiB at the peak; \
         measured beyond no configuration: {found:.0} MiB, {found_peak:.0} MiB.",
        row.chains,
        row.variant.name(),
    )?;
    let error = (found / settled - 1.0).abs();
    let error_of_peak = (found_peak / peak - 1.0).abs();
    let most = MOST_ERROR;
    judge(missed, row, "error of the warning", error, most);
    judge(
        missed,
        row,
        "error of the warning's peak",
        error_of_peak,
        most,
    );
    Ok(())
}

fn most(row: &Row) -> Option<f64> {
    match row.variant {
        Variant::Disjoint => Some(MOST_DISJOINT),
        Variant::Wildcard if row.chains == CHAINS => Some(MOST_WILDCARD),
        _ => None,
    }
}

fn judge(missed: &mut Vec<String>, row: &Row, when: &str, ratio: f64, most: f64) {
    if ratio > most {
        missed.push(format!(
            "{} filter chains, {}, {when}: {ratio:.2}, at most {most}",
            row.chains,
            row.variant.name()
        ));
    }
}

/// What no configuration takes with so many filter chains.
fn base(rows: &[Row], chains: usize) -> Result<Memory> {
    let base = rows
        .iter()
        .find(|row| row.chains == chains && row.variant == Variant::NoConfiguration);
    Ok(base.context("no configuration is not measured")?.memory)
}

/// How often a configuration is kept for each filter chain, if it takes so many MiB. `None` where it
/// is too short for a result.
fn copies(row: &Row, mebibytes: f64) -> Option<f64> {
    // Most of what a script takes are the states of Lua.
    if matches!(row.variant, Variant::Script | Variant::ScriptInUse) {
        return None;
    }
    let octets = f64::from(u32::try_from(row.octets * row.chains).ok()?);
    (row.octets > 1_000).then(|| mebibytes * 1_048_576.0 / octets)
}

fn shown(number: Option<f64>, digits: usize) -> String {
    number.map_or_else(String::new, |number| format!("{number:.digits$}"))
}

fn head() -> Result<String> {
    let kernel = run("uname", &["-rm"])?;
    Ok(format!(
        "# The memory that a configuration takes\n\n\
         Written by `make bench-memory`. Resident memory of an Envoy {ENVOY_VERSION} with two workers \
         and so many filter chains, each with a host, a route table and the filter. Envoy gets the \
         filter's configuration by ECDS, as from istiod, and keeps it for each filter chain. Each row is an \
         Envoy of its own. Settled: the least in 4 s without change. Peak: the most while a \
         configuration with another `action` replaces it, as the kernel counts it (`VmHWM`). × is a \
         multiple of the row without configuration. Copies: what a row takes beyond the one without \
         configuration, by the octets of its configuration and by the filter chains. A Lua script is part of the \
         filter chain, and has a state of Lua in the main thread and in each worker. Machine: Linux {}.\n\n\
         Targets: without overlaps, {MOST_DISJOINT} × no configuration; with a wildcard over all hosts \
         of {CHAINS} filter chains, {MOST_WILDCARD} ×; the warning of `manifest` is within {:.0} % of \
         what is measured.\n\n\
         | filter chains | variant | kB | settled MiB | × | peak MiB | × | copies | at the peak |\n\
         |---:|---|---:|---:|---:|---:|---:|---:|---:|\n",
        kernel.trim(),
        MOST_ERROR * 100.0,
    ))
}
