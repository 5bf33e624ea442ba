//! Load, and what it costs the one worker of Envoy.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::variants::{SNI, Variant};

/// How the cost of a request is told.
#[derive(Clone, Debug)]
pub(crate) enum Counter {
    /// Instructions in user space, where the machine counts them.
    Instructions { process: u32 },
    /// Nanoseconds that the worker's thread was on a processor.
    Nanoseconds { schedstat: String },
}

impl Counter {
    pub(crate) fn for_process(process: u32) -> Result<Self> {
        let probe =
            Command::new("perf").args(["stat", "-x,", "-e", "instructions:u", "true"]).output();
        if probe.is_ok_and(|probe| parse_instructions(&probe.stderr).is_ok()) {
            return Ok(Self::Instructions { process });
        }
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            let task = task?.path();
            if fs::read_to_string(task.join("comm"))?.starts_with("wrk:worker") {
                let schedstat = task.join("schedstat").to_string_lossy().into_owned();
                return Ok(Self::Nanoseconds { schedstat });
            }
        }
        bail!("Envoy has no worker thread")
    }

    pub(crate) fn unit(&self) -> &'static str {
        match self {
            Self::Instructions { .. } => "instructions in user space",
            Self::Nanoseconds { .. } => "nanoseconds of CPU time of the worker",
        }
    }

    /// What a request of a variant costs, on average over so many.
    pub(crate) fn cost_of(
        &self,
        variant: &Variant,
        address: SocketAddr,
        requests: u32,
    ) -> Result<f64> {
        let mut load = vec![
            "h2load".to_owned(),
            format!("--requests={requests}"),
            "--clients=4".into(),
            "--max-concurrent-streams=32".into(),
            format!("--connect-to={address}"),
        ];
        if let Some(authority) = variant.authority {
            load.push(format!("--header=:authority: {authority}"));
        }
        load.push(format!("https://{SNI}/"));
        let cost = match self {
            Self::Instructions { process } => {
                let mut command = Command::new("perf");
                command.args(["stat", "-x,", "-e", "instructions:u", "-p", &process.to_string()]);
                let output = command.arg("--").args(&load).output().context("running perf")?;
                check(&output.stdout, variant, requests)?;
                parse_instructions(&output.stderr)?
            }
            Self::Nanoseconds { schedstat } => {
                let before = on_processor(schedstat)?;
                let (program, arguments) = load.split_first().context("no program")?;
                let output = Command::new(program).args(arguments).output();
                let output = output.context("running h2load: `make setup` installs it")?;
                check(&output.stdout, variant, requests)?;
                on_processor(schedstat)? - before
            }
        };
        Ok(cost / f64::from(requests))
    }
}

/// The load counts only when every answer is the expected one.
fn check(output: &[u8], variant: &Variant, requests: u32) -> Result<()> {
    let output = String::from_utf8_lossy(output);
    let class = variant.status / 100;
    let expected = format!("{requests} {class}xx");
    ensure!(output.contains(&expected), "{}: not {expected}:\n{output}", variant.name);
    Ok(())
}

fn on_processor(schedstat: &str) -> Result<f64> {
    let text = fs::read_to_string(schedstat)?;
    Ok(text.split_whitespace().next().context("schedstat is empty")?.parse()?)
}

fn parse_instructions(stderr: &[u8]) -> Result<f64> {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().find(|line| line.contains("instructions")).context("no count")?;
    Ok(line.split(',').next().unwrap_or_default().parse()?)
}
