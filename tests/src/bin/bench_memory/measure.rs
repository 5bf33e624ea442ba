//! The resident memory of an Envoy.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rule::Gateway;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::client::get;
use tests::envoy::VirtualHost;
use tests::envoy::{Chain, Envoy, Filter, Guard, GuardConfig, Launch, Listener, Transport};

use crate::variants::host;

/// Memory counts as settled when it stayed within [`STEADY`] for so long.
const QUIET: Duration = Duration::from_secs(4);
/// In KiB.
const STEADY: u64 = 512;
/// The most that Envoy may take for an update, and to settle.
const LIMIT: Duration = Duration::from_mins(3);
/// How often Envoy has taken up a configuration.
const RELOADS: &str = "extension_config_discovery.http_filter.sni-guard.config_reload";

/// In MiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) settled: f64,
    /// At the peak of an update. `None` without the filter.
    pub(crate) peak: Option<f64>,
}

/// Runs an Envoy with so many filter chains, and updates the filter's configuration once. `None` is
/// no filter.
pub(crate) fn measure(
    module: &Path,
    chains: usize,
    plugin_config: Option<&Value>,
) -> Result<Memory> {
    let folder = TempDir::new()?;
    let file = folder.path().join("filter.json");
    let guard = Guard {
        module: module.into(),
        config: GuardConfig::Discovered(file.clone()),
    };
    let Some(plugin_config) = plugin_config else {
        let envoy = start(chains, None)?;
        return Ok(Memory {
            settled: settled(envoy.id())?,
            peak: None,
        });
    };
    guard.deliver(&file, &plugin_config.to_string())?;
    let envoy = start(chains, Some(Filter::Guard(guard.clone())))?;
    let settled_before = settled(envoy.id())?;
    // Deliver the same with another action, and wait until Envoy has put it in place.
    let reloads = envoy.statistic(RELOADS)?;
    reset_peak(envoy.id())?;
    guard.deliver(&file, &with_other_action(plugin_config).to_string())?;
    wait_until("the update is not taken up", || {
        Ok(envoy.statistic(RELOADS)? > reloads)
    })?;
    settled(envoy.id())?;
    Ok(Memory {
        settled: settled_before,
        peak: Some(mebibytes(status(envoy.id(), "VmHWM:")?)?),
    })
}

/// How many connections are opened to each filter chain, so that nearly every one has a connection in both workers.
const CONNECTIONS: usize = 6;

/// Runs an Envoy with so many filter chains, each with a script. A script that is in use has answered a request on
/// each filter chain.
pub(crate) fn measure_script(chains: usize, script: String, is_in_use: bool) -> Result<Memory> {
    let envoy = start(chains, Some(Filter::Lua(script)))?;
    if is_in_use {
        let server = envoy.listener("gateway")?;
        for number in (0..chains).cycle().take(chains * CONNECTIONS) {
            let authority = host((number + 1) % chains);
            let status = get(server, &host(number), &authority)?.status;
            ensure!(status == 421, "{authority}: {status}");
        }
    }
    Ok(Memory {
        settled: settled(envoy.id())?,
        peak: None,
    })
}

fn start(chains: usize, filter: Option<Filter>) -> Result<Envoy> {
    let chain = |number| Chain {
        server_names: vec![host(number)],
        virtual_hosts: vec![VirtualHost::of(&host(number))],
    };
    let listener = Listener {
        name: "gateway".into(),
        transport: Transport::Tls,
        chains: (0..chains).map(chain).collect(),
        filters: filter.into_iter().collect(),
    };
    let launch = Launch {
        gateway: Gateway::Istio,
        workers: 2,
        ..Launch::default()
    };
    Envoy::start_as(&launch, &[listener])
}

fn with_other_action(plugin_config: &Value) -> Value {
    let mut changed = plugin_config.clone();
    if let Some(map) = changed.as_object_mut() {
        map.insert("action".into(), json!("report"));
    }
    changed
}

/// The least memory of a process once it is quiet, in MiB.
fn settled(process: u32) -> Result<f64> {
    let mut least = u64::MAX;
    let mut first = status(process, "VmRSS:")?;
    let mut since = Instant::now();
    wait_until("the memory does not settle", || {
        let now = status(process, "VmRSS:")?;
        // Anything that moves begins a new period.
        if now.abs_diff(first) > STEADY {
            (first, since, least) = (now, Instant::now(), now);
        }
        least = least.min(now);
        Ok(since.elapsed() > QUIET)
    })?;
    mebibytes(least)
}

fn wait_until(fault: &str, mut is_over: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while !is_over()? {
        if Instant::now() > deadline {
            bail!("{fault} in {} s", LIMIT.as_secs());
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Has the kernel forget the most memory that a process ever had (`proc_pid_clear_refs(5)`). The
/// kernel misses no peak, as samples would.
fn reset_peak(process: u32) -> Result<()> {
    fs::write(format!("/proc/{process}/clear_refs"), "5").context("resetting the peak of memory")
}

/// A field of `/proc/PID/status`, in KiB.
fn status(process: u32, field: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))
        .context("Envoy has ended, or the system has no /proc")?;
    let digits = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|line| line.split_whitespace().next());
    Ok(digits
        .with_context(|| format!("no {field} of process {process}"))?
        .parse()?)
}

fn mebibytes(kibibytes: u64) -> Result<f64> {
    Ok(f64::from(u32::try_from(kibibytes)?) / 1024.0)
}
