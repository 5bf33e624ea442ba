//! Several rounds: the first is reported in full, the others only if something changed.

use std::time::Duration;

use anyhow::Result;
use clap::value_parser;
use gateway::probe::Report;
use tokio::time::{Instant, sleep};

use super::round::{self, Round};
use super::sites::Sites;
use super::target::Target;
use crate::commands::ReportFormat;
use crate::console::{Console, ExitStatus};
use crate::render;

#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Rounds")]
pub(super) struct RoundsArgs {
    /// The number of rounds; changes between them are reported
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=1_000_000))]
    repeat: u32,
    /// Repeat for the time of --duration, and report changes
    #[arg(long, conflicts_with = "repeat")]
    watch: bool,
    /// The duration of --watch in seconds
    #[arg(long, alias = "for", value_name = "SECONDS", default_value = "300", requires = "watch", value_parser = value_parser!(u64).range(1..=86_400))]
    duration: u64,
    /// The pause between two rounds in seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = value_parser!(u64).range(..=3_600))]
    interval: u64,
}

/// The state between rounds.
pub(super) struct Rounds {
    args: RoundsArgs,
    output: ReportFormat,
    began: Instant,
    /// The last report that was printed.
    reported: Option<Report>,
    done: u32,
    changes: u32,
}

impl Rounds {
    pub(super) fn new(args: RoundsArgs, output: ReportFormat) -> Self {
        Self {
            args,
            output,
            began: Instant::now(),
            reported: None,
            done: 0,
            changes: 0,
        }
    }

    /// Runs all rounds. With `--watch` the last round determines the exit status, else the worst round.
    pub(super) async fn run(
        mut self,
        target: &Target,
        sites: &Sites,
        console: &mut Console<'_>,
    ) -> Result<ExitStatus> {
        let mut status = self.first(target, sites, console).await?;
        while self.goes_on() {
            sleep(Duration::from_secs(self.args.interval)).await;
            let latest = self.next(target, sites, console).await?;
            status = if self.args.watch {
                latest
            } else {
                worse(status, latest)
            };
        }
        // A single round has nothing to summarise.
        if self.done > 1 {
            let Self { done, changes, .. } = self;
            console.message(format_args!(
                "{done} rounds in {}, changes in {changes}",
                self.when()
            ));
        }
        Ok(status)
    }

    /// Runs the first round. If it fails, the target is probably wrong, so the command ends.
    async fn first(
        &mut self,
        target: &Target,
        sites: &Sites,
        console: &mut Console<'_>,
    ) -> Result<ExitStatus> {
        // The resources of --from do not change between rounds, so the choice is noted once.
        let Round { report, choice } = round::run(target, sites).await?;
        sites.note(&choice, &target.sni.text, console);
        self.done += 1;
        match self.output {
            ReportFormat::Text => render::probe::write(&report, console.out)?,
            ReportFormat::Json => write_json(&report, console)?,
        }
        print_errors(&report, console);
        Ok(status(self.reported.insert(report)))
    }

    async fn next(
        &mut self,
        target: &Target,
        sites: &Sites,
        console: &mut Console<'_>,
    ) -> Result<ExitStatus> {
        let round = round::run(target, sites).await;
        self.done += 1;
        let report = match round {
            Ok(Round { report, .. }) => report,
            // A gateway may be unavailable for a moment, so later rounds still run.
            Err(error) => {
                console.message(format_args!("{}", self.when()));
                return Ok(console.failure(&error));
            }
        };
        let status = status(&report);
        if let Some(before) = &self.reported
            && !before.is_unchanged(&report)
        {
            match self.output {
                ReportFormat::Text => {
                    render::probe::write_changes(before, &report, &self.when(), console.out)?;
                }
                ReportFormat::Json => write_json(&report, console)?,
            }
            print_errors(&report, console);
            console.out.flush()?;
            self.changes += 1;
            self.reported = Some(report);
        }
        Ok(status)
    }

    /// Whether another round follows.
    fn goes_on(&self) -> bool {
        let next = self.began.elapsed() + Duration::from_secs(self.args.interval);
        if self.args.watch {
            next < Duration::from_secs(self.args.duration)
        } else {
            self.done < self.args.repeat
        }
    }

    fn when(&self) -> String {
        format!("{:.1} s", self.began.elapsed().as_secs_f64())
    }
}

fn write_json(report: &Report, console: &mut Console<'_>) -> Result<()> {
    writeln!(console.out, "{}", serde_json::to_string(report)?)?;
    Ok(console.out.flush()?)
}

/// Prints an error for each request without an answer, then each hint once.
fn print_errors(report: &Report, console: &mut Console<'_>) {
    let mut hints = Vec::new();
    for row in &report.results {
        for (connection, trouble) in row.troubles() {
            let authority = &row.authority;
            console.message(format_args!(
                "error: requesting {authority} on {connection}: {}",
                trouble.message
            ));
            if !hints.contains(&&trouble.hint) {
                hints.push(&trouble.hint);
            }
        }
    }
    for hint in hints {
        console.message(format_args!("hint: {hint}"));
    }
}

fn status(report: &Report) -> ExitStatus {
    match report.is_fine() {
        Some(true) => ExitStatus::Success,
        Some(false) => ExitStatus::Failure,
        None => ExitStatus::Error,
    }
}

fn worse(one: ExitStatus, other: ExitStatus) -> ExitStatus {
    // From the worst to the best.
    [ExitStatus::Error, ExitStatus::Failure]
        .into_iter()
        .find(|status| [one, other].contains(status))
        .unwrap_or(ExitStatus::Success)
}
