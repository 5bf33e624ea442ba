//! `make bench-merge`: how long `packager merge` takes to plan and prove merges of many servers, how much
//! memory, and how long the plans take to carry out. Writes bench/MERGE.md, and fails when a target is missed.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use gateway::merge::{DRAIN_SECONDS, SYNC_SECONDS};
use serde_json::Value;
use tests::tools::{checkout, run, run_in};

/// The numbers of servers that become one.
const SIZES: [usize; 3] = [100, 300, 1_000];
/// The targets for the largest size.
const MAX_SECONDS: f64 = 10.0;
const MAX_MEBIBYTES: f64 = 300.0;
/// The best of several runs counts, because other programs only add to the time of a run.
const ROUNDS: usize = 3;
const LIMIT: Duration = Duration::from_mins(5);

/// What a run took.
#[derive(Clone, Copy)]
struct Cost {
    seconds: f64,
    mebibytes: f64,
}

fn main() -> Result<()> {
    let arguments = [
        "build",
        "--locked",
        "--quiet",
        "--release",
        "--package",
        "packager",
    ];
    run_in(&checkout(), "cargo", &arguments)?;
    let folder = tempfile::tempdir()?;
    let mut text = head()?;
    let mut missed = Vec::new();
    for size in SIZES {
        let input = folder.path().join("input.yaml");
        fs::write(&input, input_of(size)?)?;
        for kind in ["seamless", "short"] {
            let cost = best(&input, kind, folder.path())?;
            let plan = only_plan(folder.path(), kind)?;
            let takes = |field: &str| {
                plan.pointer(&format!("/takes/{field}"))
                    .and_then(Value::as_u64)
                    .context("the plan does not state how long it takes")
            };
            let minutes = takes("seconds")?.div_ceil(60);
            writeln!(
                text,
                "| {size} | {kind} | {:.2} | {:.0} | {} | {} | {} h {} min |",
                cost.seconds,
                cost.mebibytes,
                takes("steps")?,
                takes("drains")?,
                minutes / 60,
                minutes % 60
            )?;
            if Some(&size) == SIZES.last() {
                judge(&mut missed, kind, "s", cost.seconds, MAX_SECONDS);
                judge(&mut missed, kind, "MiB", cost.mebibytes, MAX_MEBIBYTES);
            }
        }
    }
    let verdict = if missed.is_empty() {
        "none".to_owned()
    } else {
        missed.join("; ")
    };
    writeln!(text, "\nTargets missed: {verdict}.")?;
    fs::write(checkout().join("bench/MERGE.md"), &text)?;
    std::io::stdout().write_all(text.as_bytes())?;
    ensure!(missed.is_empty(), "missed: {verdict}");
    Ok(())
}

fn judge(missed: &mut Vec<String>, kind: &str, unit: &str, value: f64, max: f64) {
    if value > max {
        missed.push(format!("{kind}: {value:.2} {unit}, at most {max} {unit}"));
    }
}

fn head() -> Result<String> {
    let kernel = run("uname", &["-rm"])?;
    Ok(format!(
        "# The cost of `packager merge`\n\n\
         Written by `make bench-merge`. The input has a Gateway with one server, one host below `example.com` \
         and a VirtualService for each number. All servers become one. Seconds are the best of {ROUNDS} runs, \
         and include the proof. MiB are the largest resident memory, sampled every 2 ms. Each step is a change \
         that an operator makes; after some of them, open connections have to be drained. The duration is the \
         one that the plan states: {SYNC_SECONDS} s for each step, and {DRAIN_SECONDS} s for each drain. Machine: Linux {}.\n\n\
         Targets for {}: {MAX_SECONDS} s, {MAX_MEBIBYTES} MiB.\n\n\
         | servers | plan | s | MiB | steps | drains | duration |\n\
         |---:|---|---:|---:|---:|---:|---:|\n",
        kernel.trim(),
        SIZES.last().context("there are no sizes")?
    ))
}

/// Gateways with a server for one host each, and their VirtualServices.
fn input_of(size: usize) -> Result<String> {
    let mut text = String::new();
    for n in 0..size {
        // Age decides which server takes the hosts.
        let created = format!("2026-01-01T{:02}:{:02}:00Z", n / 60, n % 60);
        writeln!(
            text,
            "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata:\n  name: g{n}\n  \
             namespace: istio-system\n  creationTimestamp: {created:?}\nspec:\n  selector:\n    \
             istio: ingressgateway\n  servers:\n  - port:\n      number: 443\n      name: https\n      \
             protocol: HTTPS\n    hosts:\n    - h{n}.example.com\n    tls:\n      mode: SIMPLE\n      \
             credentialName: wildcard\n---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
             metadata:\n  name: v{n}\n  namespace: istio-system\nspec:\n  hosts:\n  - h{n}.example.com\n  \
             gateways:\n  - g{n}\n  http:\n  - route:\n    - destination:\n        \
             host: backend.shop.svc.cluster.local"
        )?;
    }
    Ok(text)
}

/// The only plan of the last run, which has the kind that was asked for.
fn only_plan(folder: &Path, kind: &str) -> Result<Value> {
    let report: Value = serde_json::from_str(&fs::read_to_string(folder.join("out"))?)?;
    let plans = report.pointer("/plans").and_then(Value::as_array);
    let Some([plan]) = plans.map(Vec::as_slice) else {
        bail!("not one plan: {:?}", report.pointer("/refusals"));
    };
    ensure!(
        plan.pointer("/plan").and_then(Value::as_str) == Some(kind),
        "the plan is not {kind}: {:?}",
        plan.pointer("/fallback")
    );
    Ok(plan.clone())
}

fn best(input: &Path, kind: &str, folder: &Path) -> Result<Cost> {
    let mut best: Option<Cost> = None;
    for _ in 0..ROUNDS {
        let found = cost(input, kind, folder)?;
        best = Some(best.map_or(found, |best| Cost {
            seconds: best.seconds.min(found.seconds),
            mebibytes: best.mebibytes.max(found.mebibytes),
        }));
    }
    best.context("there are no rounds")
}

/// Plans once, with the output in a file.
fn cost(input: &Path, kind: &str, folder: &Path) -> Result<Cost> {
    let start = Instant::now();
    let mut child = Command::new(checkout().join("target/release/packager"))
        .arg("merge")
        .arg(input)
        .args(["--assume-same-certificate", "--plan", kind])
        .args(["--output", "json"])
        .stdin(Stdio::null())
        .stdout(File::create(folder.join("out"))?)
        .stderr(File::create(folder.join("err"))?)
        .spawn()
        .context("starting packager")?;
    let mut kibibytes = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            bail!("packager took more than {LIMIT:?}");
        }
        kibibytes = kibibytes.max(resident(child.id()));
        sleep(Duration::from_millis(2));
    };
    let seconds = start.elapsed().as_secs_f64();
    ensure!(
        status.success(),
        "packager: {status}: {}",
        fs::read_to_string(folder.join("err"))?
    );
    Ok(Cost {
        seconds,
        mebibytes: f64::from(kibibytes) / 1024.0,
    })
}

/// The largest resident memory of a process so far, in KiB; 0 after its end.
fn resident(process: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|line| line.split_whitespace().next())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_default()
}
