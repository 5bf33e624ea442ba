//! `make bench-check`: how long `packager check` takes for a large cluster in one YAML stream, and how much
//! memory, beside `istioctl analyze` on the same file; then the same with one certificate for all, where
//! every pair of servers is a defect. Writes bench/CHECK.md, and fails when a target is missed.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tests::istio::istio_file;
use tests::secrets::Pair;
use tests::tools::{checkout, run, run_in};

/// How many Gateways; there are twice as many VirtualServices, and two Secrets for five Gateways.
const SIZES: [usize; 3] = [1_250, 2_500, 5_000];
/// The most seconds and MiB for the largest, as a part of istioctl's time and as they are.
const MOST_OF_ISTIOCTL: f64 = 0.2;
const MOST_MEBIBYTES: f64 = 300.0;
const MOST_SECONDS_FOR_ONE: f64 = 5.0;
/// Twice the input may take so many times as long.
const MOST_GROWTH: f64 = 2.8;
/// Some are run more than once, and the best counts: whatever disturbs a run adds to it.
const ROUNDS: usize = 3;
const LIMIT: Duration = Duration::from_mins(5);

/// What a program took.
#[derive(Clone, Copy)]
struct Cost {
    seconds: f64,
    mebibytes: f64,
}

fn main() -> Result<()> {
    let istioctl = istio_file("istioctl").context("`make bench-check` compares with istioctl")?;
    run_in(
        &checkout(),
        "cargo",
        &[
            "build",
            "--locked",
            "--quiet",
            "--release",
            "--package",
            "packager",
        ],
    )?;
    let packager = checkout().join("target/release/packager");
    let folder = tempfile::tempdir()?;
    let (mut text, mut missed) = (head()?, Vec::new());
    let mut before: Option<(f64, f64)> = None;
    for size in SIZES {
        let [many, one] = [false, true].map(|one| write_input(folder.path(), size, one));
        let (many, one) = (many?, one?);
        let own = best(
            &packager,
            &["check", &many, "--output", "json"],
            folder.path(),
        )?;
        let single = best(
            &packager,
            &["check", &one, "--output", "json"],
            folder.path(),
        )?;
        check_report(folder.path(), size)?;
        let theirs = ["analyze", "--use-kube=false", "--all-namespaces", &many];
        let theirs = cost(&istioctl, &theirs, folder.path())?;
        let findings = fs::read_to_string(folder.path().join("out"))?
            .matches("IST0138")
            .count();
        ensure!(
            findings > 0,
            "istioctl found no duplicate certificates: it did not do its work"
        );
        let part = own.seconds / theirs.seconds;
        writeln!(
            text,
            "| {size} | {:.2} | {:.0} | {:.1} | {:.0} | {findings} | {part:.3} | {:.2} | {:.0} |",
            own.seconds,
            own.mebibytes,
            theirs.seconds,
            theirs.mebibytes,
            single.seconds,
            single.mebibytes
        )?;
        if let Some((many, one)) = before {
            judge(&mut missed, "growth", own.seconds / many, MOST_GROWTH);
            judge(
                &mut missed,
                "growth with one certificate",
                single.seconds / one,
                MOST_GROWTH,
            );
        }
        before = Some((own.seconds, single.seconds));
        if Some(&size) == SIZES.last() {
            judge(
                &mut missed,
                "part of istioctl's time",
                part,
                MOST_OF_ISTIOCTL,
            );
            judge(
                &mut missed,
                "MiB",
                own.mebibytes.max(single.mebibytes),
                MOST_MEBIBYTES,
            );
            judge(
                &mut missed,
                "seconds with one certificate",
                single.seconds,
                MOST_SECONDS_FOR_ONE,
            );
        }
    }
    let verdict = if missed.is_empty() {
        "none".into()
    } else {
        missed.join("; ")
    };
    writeln!(text, "\nTargets missed: {verdict}.")?;
    fs::write(checkout().join("bench/CHECK.md"), &text)?;
    std::io::stdout().write_all(text.as_bytes())?;
    ensure!(missed.is_empty(), "missed: {}", missed.join("; "));
    Ok(())
}

fn judge(missed: &mut Vec<String>, what: &str, value: f64, most: f64) {
    if value > most {
        missed.push(format!("{what}: {value:.2}, at most {most}"));
    }
}

fn head() -> Result<String> {
    let kernel = run("uname", &["-rm"])?;
    Ok(format!(
        "# What `packager check` takes\n\n\
         Written by `make bench-check`. So many Gateways on one workload, each with a host, a \
         server and two VirtualServices, and 2 Secrets for 5 Gateways, in one YAML stream. Seconds are \
         the best of {ROUNDS} runs, of one for istioctl; MiB are the most resident memory, looked at every 2 ms. \
         `istioctl analyze --use-kube=false --all-namespaces` has the same file. Then the same \
         with one certificate for all, where all pairs of servers are defects; istioctl \
         is not run on that, since it prints a line for each pair. Machine: Linux {}.\n\n\
         Targets for 5,000: a fifth of istioctl's time, {MOST_MEBIBYTES} MiB, {MOST_SECONDS_FOR_ONE} \
         s with one certificate; twice the input takes at most {MOST_GROWTH} times as long.\n\n\
         | Gateways | s | MiB | istioctl: s | MiB | IST0138 | part | one certificate: s | MiB |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        kernel.trim()
    ))
}

/// Writes a file and returns its path.
fn write_input(folder: &Path, size: usize, one: bool) -> Result<String> {
    let secrets = if one { 1 } else { size * 2 / 5 };
    let mut text = String::new();
    for n in 0..secrets {
        let own = (n..size)
            .step_by(secrets)
            .map(|n| format!("h{n}.example.com"));
        let names: Vec<String> = if one {
            vec!["*.example.com".into()]
        } else {
            own.collect()
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        text += &Pair::generate(&names, 2100)?.secret(&format!("istio-system/s{n}"))?;
    }
    for n in 0..size {
        writeln!(
            text,
            "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata:\n  name: g{n}\n  \
             namespace: istio-system\nspec:\n  selector:\n    istio: ingressgateway\n  servers:\n  \
             - port:\n      number: 443\n      name: https\n      protocol: HTTPS\n    hosts:\n    \
             - h{n}.example.com\n    tls:\n      mode: SIMPLE\n      credentialName: s{}",
            n % secrets
        )?;
    }
    for n in 0..2 * size {
        let gateway = n / 2;
        writeln!(
            text,
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: v{n}\n  \
             namespace: istio-system\nspec:\n  hosts:\n  - h{gateway}.example.com\n  gateways:\n  \
             - g{gateway}\n  http:\n  - match:\n    - uri:\n        prefix: /{n}\n    route:\n    \
             - destination:\n        host: backend.shop.svc.cluster.local"
        )?;
    }
    let path = folder.join(format!("input-{one}.yaml"));
    fs::write(&path, text)?;
    Ok(path
        .to_str()
        .context("the folder for temporary files is not UTF-8")?
        .to_owned())
}

/// The last report stands for all pairs, in one finding that a program can load.
fn check_report(folder: &Path, size: usize) -> Result<()> {
    let report: Value = serde_json::from_str(&fs::read_to_string(folder.join("out"))?)?;
    let pairs = report
        .pointer("/findings/0/pairCount")
        .and_then(Value::as_u64);
    ensure!(
        pairs == Some((size * (size - 1)) as u64),
        "not all pairs: {pairs:?}"
    );
    Ok(())
}

fn best(program: &Path, arguments: &[&str], folder: &Path) -> Result<Cost> {
    let mut best: Option<Cost> = None;
    for _ in 0..ROUNDS {
        let found = cost(program, arguments, folder)?;
        best = Some(best.map_or(found, |best| Cost {
            seconds: best.seconds.min(found.seconds),
            mebibytes: best.mebibytes.max(found.mebibytes),
        }));
    }
    best.context("no rounds")
}

/// Runs a program, which may say yes or no, with its output in a file.
fn cost(program: &Path, arguments: &[&str], folder: &Path) -> Result<Cost> {
    let name = program.display();
    let start = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(File::create(folder.join("out"))?)
        .stderr(File::create(folder.join("talk"))?)
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    let mut kibibytes = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            bail!("{name} took more than {LIMIT:?}");
        }
        kibibytes = kibibytes.max(resident(child.id()));
        sleep(Duration::from_millis(2));
    };
    let seconds = start.elapsed().as_secs_f64();
    let talk = fs::read_to_string(folder.join("talk"))?;
    ensure!(
        matches!(status.code(), Some(0 | 1)),
        "{name}: {status}: {talk}"
    );
    Ok(Cost {
        seconds,
        mebibytes: f64::from(kibibytes) / 1024.0,
    })
}

/// The most memory that a process had, in KiB; 0 when it has ended.
fn resident(process: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let digits = line.and_then(|line| line.split_whitespace().next());
    digits
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_default()
}
