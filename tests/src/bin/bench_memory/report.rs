//! The table, and whether the targets are met.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use tests::tools::{ENVOY_VERSION, run};

use crate::Memory;
use crate::variants::Variant;

/// One Envoy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) chains: usize,
    pub(crate) variant: Variant,
    /// The length of the configuration.
    pub(crate) octets: usize,
    pub(crate) memory: Memory,
}

/// The most memory, settled and at the peak, as multiples of what no configuration takes: where no
/// servers overlap, and where a wildcard covers all of [`CHAINS`] hosts.
const MOST_DISJOINT: f64 = 1.05;
const MOST_WILDCARD: f64 = 1.6;
/// How many filter chains the target for a wildcard is for.
const CHAINS: usize = 1_500;

/// The text, and the targets that are missed.
pub(crate) fn write(rows: &[Row]) -> Result<(String, Vec<String>)> {
    let (mut text, mut missed) = (head()?, Vec::new());
    for row in rows {
        let Row {
            chains,
            variant,
            octets,
            memory,
        } = row;
        let base = base(rows, *chains)?;
        let ratio = memory.settled / base.settled;
        let (name, settled) = (variant.name(), memory.settled);
        let peaks = memory.peak.zip(base.peak);
        let peak_ratio = peaks.map(|(peak, base)| peak / base);
        writeln!(
            text,
            "| {chains} | {name} | {} | {settled:.0} | {ratio:.2} | {} | {} | {} | {} |",
            octets.div_ceil(1_000),
            shown(memory.peak, 0),
            shown(peak_ratio, 2),
            shown(copies(row, memory.settled - base.settled), 1),
            shown(peaks.and_then(|(peak, base)| copies(row, peak - base)), 1),
        )?;
        if let Some(most) = most(row) {
            judge(&mut missed, row, "settled", ratio, most);
            judge(
                &mut missed,
                row,
                "peak",
                peak_ratio.unwrap_or_default(),
                most,
            );
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
/// is too short to tell.
fn copies(row: &Row, mebibytes: f64) -> Option<f64> {
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
         configuration, by the octets of its configuration and by the filter chains. Machine: Linux {}.\n\n\
         Targets: without overlaps, {MOST_DISJOINT} × no configuration; with a wildcard over all hosts \
         of {CHAINS} filter chains, {MOST_WILDCARD} ×.\n\n\
         | filter chains | variant | kB | settled MiB | × | peak MiB | × | copies | at the peak |\n\
         |---:|---|---:|---:|---:|---:|---:|---:|---:|\n",
        kernel.trim()
    ))
}
