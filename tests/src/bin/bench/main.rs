//! `make bench`: what a request costs in Envoy with the filter or the generated Lua script, beside what it costs
//! without one and with a short Lua script that compares SNI and authority. A variant is compared with the one without a filter
//! in the same Envoy, which has one worker. The addresses of objects move each by some hundred
//! instructions, so each is measured again in further Envoys, with the listeners in another order.
//!
//! With arguments, only variants are measured whose names have one of these words, and no file is written:
//! `cargo run --package tests --bin bench -- script`.

mod load;
mod report;
mod variants;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rule::Gateway;
use tests::envoy::Envoy;
use tests::process::packager;
use tests::tools::checkout;

use crate::load::CountedEnvoy;
use crate::variants::{Variant, variants};

/// How often each variant is measured, each time in another Envoy with the next listener first.
const ROUNDS: usize = 3;
/// Each configuration of the filter has a VM of its own, and Callgrind has no room for more of them.
const MOST_VMS: usize = 3;
const REQUESTS: u32 = 1_000;

fn main() -> Result<()> {
    let module = checkout().join("dist/sni-guard.wasm");
    let out = module
        .to_str()
        .context("the path of the checkout is not UTF-8")?;
    let build = packager(&["build", "--out", out]);
    ensure!(build.status == 0, "packager build: {}", build.talk);

    let words: Vec<String> = env::args().skip(1).collect();
    let variants = selected(variants(&module)?, &words);
    let costs = measure(&variants)?;
    if !words.is_empty() {
        return report::print_costs(&variants, &costs);
    }
    let loading = [0, 5, 5_000].map(|servers| loading(&module, servers));
    let loading = loading.into_iter().collect::<Result<Vec<_>>>()?;
    let size = fs::metadata(&module)?.len();
    let results = report::write(&variants, &costs, size, &loading)?;
    fs::write(checkout().join("bench/RESULTS.md"), &results.text)?;
    report::print(&results)
}

/// The variants that have one of the words in their name, and those that others are compared with. Without words, all.
fn selected(variants: Vec<Variant>, words: &[String]) -> Vec<Variant> {
    variants
        .into_iter()
        .filter(|variant| {
            variant.is_reference()
                || words.is_empty()
                || words
                    .iter()
                    .any(|word| variant.name.contains(word.as_str()))
        })
        .collect()
}

/// The cost of a request under each variant, in each round.
fn measure(variants: &[Variant]) -> Result<BTreeMap<&'static str, Vec<f64>>> {
    let mut costs: BTreeMap<_, Vec<f64>> = BTreeMap::new();
    let mut variants = variants.to_vec();
    for _ in 0..ROUNDS {
        for gateway in [Gateway::Istio, Gateway::Other] {
            let (references, others): (Vec<&Variant>, Vec<&Variant>) = variants
                .iter()
                .filter(|variant| variant.gateway == gateway)
                .partition(|variant| variant.is_reference());
            for others in others.chunks(MOST_VMS) {
                let together: Vec<&Variant> = references.iter().chain(others).copied().collect();
                for (name, cost) in measure_together(gateway, &together)? {
                    costs.entry(name).or_default().push(cost);
                }
            }
        }
        // By a number that has no part in that of the variants, so that neighbours change too.
        variants.rotate_left(5);
    }
    Ok(costs)
}

/// The cost of a request under each variant, in one Envoy.
fn measure_together(gateway: Gateway, variants: &[&Variant]) -> Result<Vec<(&'static str, f64)>> {
    let listeners: Vec<_> = variants
        .iter()
        .map(|variant| variant.listener.clone())
        .collect();
    let envoy = CountedEnvoy::start(gateway, &listeners)?;
    for variant in variants {
        envoy.warm_up(variant)?;
    }
    variants
        .iter()
        .map(|variant| Ok((variant.name, envoy.cost_of(variant, REQUESTS)?)))
        .collect()
}

/// What it takes to start Envoy with a configuration of so many servers, or without the filter for
/// none: seconds, and resident memory in KiB.
fn loading(module: &std::path::Path, servers: usize) -> Result<(usize, f64, u64)> {
    let mut times = Vec::new();
    let mut memory = 0;
    for _ in 0..3 {
        let start = Instant::now();
        let envoy = Envoy::start(&[variants::with_servers(module, servers)])?;
        times.push(start.elapsed().as_secs_f64());
        let status = fs::read_to_string(format!("/proc/{}/status", envoy.id()))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let digits = resident.and_then(|text| text.split_whitespace().next());
        memory = digits
            .context("/proc does not show Envoy's memory")?
            .parse()?;
    }
    times.sort_by(f64::total_cmp);
    Ok((servers, times.get(1).copied().unwrap_or_default(), memory))
}
