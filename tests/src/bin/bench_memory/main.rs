//! `make bench-memory`: the resident memory of an Envoy with many filter chains, settled and at the peak
//! of an update of the filter's configuration. Envoy gets the configuration by ECDS, as from istiod.
//! Each variant runs in an Envoy of its own, one after another. Writes bench/MEMORY.md, and fails when
//! a target is missed.

mod measure;
mod report;
mod variants;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tests::module;
use tests::tools::checkout;

use crate::measure::{Memory, measure, measure_script};
use crate::report::Row;
use crate::variants::{Variant, wildcard_script};

/// How many filter chains.
const SIZES: [usize; 3] = [500, 1_500, 4_000];

fn main() -> Result<()> {
    let module = module::build()?;
    let mut rows: Vec<Row> = Vec::new();
    for chains in SIZES {
        for variant in Variant::of_size(chains) {
            rows.push(
                row(&module, chains, variant)
                    .with_context(|| format!("{chains} filter chains, {}", variant.name()))?,
            );
        }
    }
    let (text, missed) = report::write(&rows)?;
    fs::write(checkout().join("bench/MEMORY.md"), &text)?;
    std::io::stdout().write_all(text.as_bytes())?;
    ensure!(missed.is_empty(), "missed: {}", missed.join("; "));
    Ok(())
}

/// Measures one Envoy.
fn row(module: &Path, chains: usize, variant: Variant) -> Result<Row> {
    match variant {
        Variant::Script | Variant::ScriptInUse => script_row(chains, variant),
        Variant::NoFilter
        | Variant::NoConfiguration
        | Variant::Disjoint
        | Variant::Wildcard
        | Variant::Readable => filter_row(module, chains, variant),
    }
}

/// Measures an Envoy with the generated Lua script.
fn script_row(chains: usize, variant: Variant) -> Result<Row> {
    let script = wildcard_script(chains)?;
    Ok(Row {
        chains,
        variant,
        octets: script.len(),
        memory: measure_script(chains, script, variant == Variant::ScriptInUse)?,
        estimate: None,
    })
}

/// Measures an Envoy with the filter, or with no filter at all.
fn filter_row(module: &Path, chains: usize, variant: Variant) -> Result<Row> {
    let plugin_config = variant.plugin_config(chains)?;
    let value = plugin_config.as_ref().map(|config| &config.value);
    Ok(Row {
        chains,
        variant,
        octets: value.map_or(0, |value| value.to_string().len()),
        memory: measure(module, chains, value)?,
        estimate: plugin_config.and_then(|config| config.estimate),
    })
}
