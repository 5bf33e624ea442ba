//! The table, and whether the targets are met.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Result, ensure};
use tests::tools::{ENVOY_VERSION, run};

use crate::variants::{
    FAST, FAST_MANY, LUA, NONE, ONCE, ONCE_MANY, SCRIPT_OWN, SCRIPT_OWN_MANY, SCRIPT_REUSE,
    SCRIPT_REUSE_MANY, Variant,
};
use crate::{REQUESTS, ROUNDS};

pub(crate) struct Results {
    pub(crate) text: String,
    failures: Vec<String>,
}

type Costs = BTreeMap<&'static str, Vec<f64>>;

pub(crate) fn write(
    variants: &[Variant],
    costs: &Costs,
    module_size: u64,
    loading: &[(usize, f64, u64)],
) -> Result<Results> {
    let mut text = head(module_size)?;
    let mut failures = Vec::new();
    table(&mut text, &mut failures, variants, costs)?;
    writeln!(
        text,
        "\nA request costs what it cost in the best round: whatever disturbs a round adds to it.\n"
    )?;
    comparisons(&mut text, &mut failures, costs)?;
    let missed = match failures.as_slice() {
        [] => "none".to_owned(),
        failures => failures.join("; "),
    };
    writeln!(text, "\nTargets missed: {missed}.")?;
    writeln!(
        text,
        "\nTo start Envoy with one listener, and the memory it then has:\n"
    )?;
    writeln!(text, "| servers | seconds | MiB |\n|---:|---:|---:|")?;
    for (servers, seconds, memory) in loading {
        let servers = if *servers == 0 {
            "no filter".into()
        } else {
            servers.to_string()
        };
        writeln!(
            text,
            "| {servers} | {seconds:.2} | {:.0} |",
            f64::from(u32::try_from(*memory)?) / 1024.0
        )?;
    }
    Ok(Results { text, failures })
}

/// The cost of a request under each variant, beside what the short Lua script adds.
fn table(
    text: &mut String,
    failures: &mut Vec<String>,
    variants: &[Variant],
    costs: &Costs,
) -> Result<()> {
    writeln!(
        text,
        "| variant | a request | at most seen | added | as a multiple of Lua | at most |"
    )?;
    writeln!(text, "|---|---:|---:|---:|---:|---|")?;
    let lua = least(costs, LUA) - least(costs, NONE);
    for variant in variants
        .iter()
        .filter(|variant| costs.contains_key(variant.name))
    {
        let (cost, most) = (least(costs, variant.name), greatest(costs, variant.name));
        let added = cost - least(costs, variant.baseline);
        let ratio = added / lua;
        let target = variant
            .target
            .map_or_else(String::new, |target| format!("{target}"));
        let is_baseline = variant.name == variant.baseline;
        let shown = if is_baseline {
            String::new()
        } else {
            format!("{ratio:.2}")
        };
        let name = variant.name;
        writeln!(
            text,
            "| {name} | {cost:.0} | {most:.0} | {added:.0} | {shown} | {target} |"
        )?;
        if let Some(target) = variant.target.filter(|target| ratio > *target) {
            failures.push(format!("{name}: {ratio:.2}, at most {target}"));
        }
    }
    Ok(())
}

/// Prints the costs of some variants.
pub(crate) fn print_costs(variants: &[Variant], costs: &Costs) -> Result<()> {
    let mut text = String::new();
    table(&mut text, &mut Vec::new(), variants, costs)?;
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// Prints the table; fails when a target is missed.
pub(crate) fn print(results: &Results) -> Result<()> {
    std::io::stdout().write_all(results.text.as_bytes())?;
    ensure!(
        results.failures.is_empty(),
        "missed: {}",
        results.failures.join("; ")
    );
    Ok(())
}

fn head(module_size: u64) -> Result<String> {
    let valgrind = run("valgrind", &["--version"])?;
    let h2load = run("h2load", &["--version"])?;
    let wasm_opt = run("wasm-opt", &["--version"])?;
    let kernel = run("uname", &["-rm"])?;
    Ok(format!(
        "# What a request costs\n\n\
         Written by `make bench`. Unit: instructions in user space per request, counted by {valgrind}, \
         Callgrind.\n\n\
         Envoy {ENVOY_VERSION} with one worker and a listener per variant. Each configuration of the filter \
         has a VM of its own, as on a gateway with one plugin. Per variant, after \
         1,000 requests to warm up, the difference that {requests} more requests make on a connection, \
         by {h2load} (HTTP/2, one request at a time, a direct response). {ROUNDS} rounds, each in new Envoys with \
         the listeners in another order. Module: {module_size} \
         bytes, by {wasm_opt}. Machine: Linux {kernel}.\n\n",
        valgrind = valgrind.trim(),
        requests = REQUESTS,
        h2load = h2load.trim(),
        wasm_opt = wasm_opt.trim(),
        kernel = kernel.trim(),
    ))
}

/// Thousands of servers may cost this much more of a request than five.
const MOST_FOR_SERVERS: f64 = 1.02;
/// The same for a script. Between two runs, what Lua compiles and when it collects garbage move a request by 3 %.
const MOST_FOR_SERVERS_OF_SCRIPT: f64 = 1.03;
/// What the targets say about two variants and not about one and Lua.
fn comparisons(text: &mut String, failures: &mut Vec<String>, costs: &Costs) -> Result<()> {
    for (many, few, most) in [
        (FAST_MANY, FAST, MOST_FOR_SERVERS),
        (ONCE_MANY, ONCE, MOST_FOR_SERVERS),
        (SCRIPT_OWN_MANY, SCRIPT_OWN, MOST_FOR_SERVERS_OF_SCRIPT),
        (SCRIPT_REUSE_MANY, SCRIPT_REUSE, MOST_FOR_SERVERS_OF_SCRIPT),
    ] {
        let ratio = least(costs, many) / least(costs, few);
        let line = format!(
            "{many} against {few}: {:+.1} % of a request",
            (ratio - 1.0) * 100.0
        );
        writeln!(text, "- {line}")?;
        if ratio > most {
            failures.push(line);
        }
    }
    Ok(())
}

fn least(costs: &Costs, name: &str) -> f64 {
    rounds(costs, name).fold(f64::INFINITY, f64::min)
}

fn greatest(costs: &Costs, name: &str) -> f64 {
    rounds(costs, name).fold(f64::NEG_INFINITY, f64::max)
}

fn rounds<'c>(costs: &'c Costs, name: &str) -> impl Iterator<Item = f64> + use<'c> {
    costs.get(name).into_iter().flatten().copied()
}
