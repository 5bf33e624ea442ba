//! `packager build`: compiles the source of the filter to the module that gateways load.

mod cargo;
mod optimizer;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use self::optimizer::Optimizer;
use super::files;
use crate::console::{Console, ExitStatus};
use crate::module;

/// Compile, trim, optimise and check the module of the filter
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # Build dist/sni-guard.wasm
  packager build
  # Build to another file, and fail if the module is too large
  packager build --out /tmp/sni-guard.wasm --max-size 120KiB

Run it in a checkout of sni-guard. The bytes of the module do not depend on the folder.")]
pub(crate) struct Args {
    /// The file that the module is written to
    #[arg(long, value_name = "FILE", default_value = "dist/sni-guard.wasm")]
    out: PathBuf,
    /// The wasm-opt program
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::ExecutablePath)]
    #[arg(default_value = "wasm-opt")]
    wasm_opt: PathBuf,
    /// Do not run wasm-opt
    #[arg(long, conflicts_with = "wasm_opt")]
    no_optimize: bool,
    /// The largest size of the module, such as 122880, 120KiB or 1MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_size: Option<usize>,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    let optimizer = if args.no_optimize {
        None
    } else {
        Some(Optimizer::find(&args.wasm_opt)?)
    };
    let wasm = build(optimizer.as_ref(), console)?;
    let mut report = module::inspect(&wasm).context("inspecting the built module")?;
    if let Some(max_size) = args.max_size
        && report.size > max_size
    {
        report.problems.push(format!(
            "it has {} bytes, more than {max_size}",
            report.size
        ));
    }
    if !report.problems.is_empty() {
        for problem in &report.problems {
            console.message(format_args!("not written: {problem}"));
        }
        return Ok(ExitStatus::Failure);
    }
    files::write(&args.out, &wasm)?;
    console.message(format_args!("{} {}", report.sha256, args.out.display()));
    Ok(ExitStatus::Success)
}

/// Builds the module with the `wasm-opt` of the PATH, for commands that need a module.
pub(crate) fn build_default(console: &mut Console<'_>) -> Result<Vec<u8>> {
    build(Some(&Optimizer::find(Path::new("wasm-opt"))?), console)
}

fn build(optimizer: Option<&Optimizer>, console: &mut Console<'_>) -> Result<Vec<u8>> {
    // Envoy calls every callback that the module exports, so the SDK's unused ones have to go.
    let compiled = cargo::compile(console)?;
    let trimmed = module::trim_exports(&compiled)?;
    let mut sizes = vec![
        ("compiled", compiled.len()),
        ("exports trimmed", trimmed.len()),
    ];
    let built = match optimizer {
        None => trimmed,
        Some(optimizer) => {
            let smaller = optimizer.run(&trimmed)?;
            sizes.push(("optimised", smaller.len()));
            // The version is an annotation of the image: another version makes other bytes.
            module::add_producer(&smaller, "wasm-opt", optimizer.version())?
        }
    };
    sizes.push(("module", built.len()));
    for (step, size) in sizes {
        console.message(format_args!("{step:<16}{size:>9} bytes"));
    }
    Ok(built)
}

fn parse_size(text: &str) -> Result<usize> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let factor: usize = match unit {
        "" | "B" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        _ => bail!("{unit:?} is not a unit, use KiB or MiB"),
    };
    let number: usize = digits
        .parse()
        .with_context(|| format!("{digits:?} is not a number"))?;
    number.checked_mul(factor).context("the size is too large")
}
