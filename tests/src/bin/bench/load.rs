//! Load, and what it costs Envoy.
//!
//! The unit is instructions in user space: unlike time, they are the same on a busy machine. Few
//! virtual machines let a program count them, so Envoy runs under Callgrind, which counts them itself.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rule::Gateway;
use tempfile::TempDir;
use tests::envoy::{Envoy, Launch, Listener};
use tests::tools::run;

use crate::variants::{SNI, Variant};

/// An Envoy whose instructions are counted.
pub(crate) struct CountedEnvoy {
    envoy: Envoy,
    dumps: TempDir,
}

impl CountedEnvoy {
    pub(crate) fn start(gateway: Gateway, listeners: &[Listener]) -> Result<Self> {
        let dumps = TempDir::new()?;
        let out = format!("--callgrind-out-file={}/dump", dumps.path().display());
        // V8 writes the code that it runs.
        let callgrind = [
            "valgrind",
            "--tool=callgrind",
            "--smc-check=all-non-file",
            &out,
        ];
        let launch = Launch {
            gateway,
            program: &callgrind,
            ..Launch::default()
        };
        Ok(Self {
            envoy: Envoy::start_as(&launch, listeners)?,
            dumps,
        })
    }

    /// Sends so many requests that V8 has compiled what it will compile.
    pub(crate) fn warm_up(&self, variant: &Variant) -> Result<()> {
        load(variant, self.envoy.listener(&variant.listener.name)?, 1_000)
    }

    /// What one more request of a variant costs, after some to warm up: the difference between many
    /// and few on one connection, so that the connection itself does not count.
    pub(crate) fn cost_of(&self, variant: &Variant, requests: u32) -> Result<f64> {
        let address = self.envoy.listener(&variant.listener.name)?;
        let few = requests / 5;
        load(variant, address, few)?;
        self.count()?;
        load(variant, address, few)?;
        let cost_of_few = self.count()?;
        load(variant, address, few + requests)?;
        Ok((self.count()? - cost_of_few) / f64::from(requests))
    }

    /// The instructions since it was last asked.
    fn count(&self) -> Result<f64> {
        run(
            "callgrind_control",
            &["--dump", &self.envoy.id().to_string()],
        )?;
        let mut dumps: Vec<PathBuf> = fs::read_dir(self.dumps.path())?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        // dump.1, dump.2, and so on; each is read once.
        dumps.retain(|path| path.extension().is_some());
        ensure!(dumps.len() == 1, "callgrind wrote {} dumps", dumps.len());
        let dump = dumps.first().context("no dump")?;
        let text = fs::read_to_string(dump)?;
        fs::remove_file(dump)?;
        let total = text
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("totals: "));
        Ok(total
            .context("callgrind printed no total")?
            .trim()
            .parse()?)
    }
}

/// The load counts only when every answer is the expected one.
fn load(variant: &Variant, address: SocketAddr, requests: u32) -> Result<()> {
    let mut command = Command::new("h2load");
    command.arg(format!("--requests={requests}"));
    // One at a time: with many, how many Envoy finds in one read moves a request by two thousand
    // instructions for as long as it runs.
    command.args(["--clients=1", "--max-concurrent-streams=1"]);
    command.arg(format!("--connect-to={address}"));
    if let Some(authority) = variant.authority {
        command.arg(format!("--header=:authority: {authority}"));
    }
    let output = command
        .arg(format!("https://{SNI}/"))
        .output()
        .context("running h2load: `make setup` installs it")?;
    let output = String::from_utf8_lossy(&output.stdout);
    let expected = format!("{requests} {}xx", variant.status / 100);
    ensure!(
        output.contains(&expected),
        "{}: not {expected}:\n{output}",
        variant.name
    );
    Ok(())
}
