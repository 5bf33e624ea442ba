//! `packager version`: the version of the program, and the releases of Istio that it knows.

use anyhow::Result;
use serde_json::json;

use super::ReportFormat;
use crate::console::{Console, ExitStatus};
use crate::module::loading::NEWEST;
use crate::resource::Release;

/// The revision of the source, which the build of a release sets. It is empty where there is no checkout.
const REVISION: Option<&str> = option_env!("SNI_GUARD_REVISION");

/// Print the version of the program, the revision of its source, and the releases of Istio that it knows
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # What to name in a bug report
  packager version
  # The version for a script
  packager version --output json")]
pub(crate) struct Args {
    /// The output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: ReportFormat,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    let version = env!("CARGO_PKG_VERSION");
    let newest = NEWEST.to_string();
    // A release of Istio is known from the oldest that resources are written for to the newest that was tried.
    let (oldest, newest) = (
        Release::OLDEST.to_string(),
        newest.trim_start_matches("istio@"),
    );
    let revision = REVISION.filter(|revision| !revision.is_empty());
    match args.output {
        ReportFormat::Text => {
            writeln!(console.out, "packager {version}")?;
            writeln!(console.out, "revision {}", revision.unwrap_or("unknown"))?;
            writeln!(console.out, "Istio {oldest} to {newest}")?;
        }
        ReportFormat::Json => {
            let report = json!({
                "version": version,
                "revision": revision,
                "istio": { "oldest": oldest, "newest": newest },
            });
            writeln!(console.out, "{report}")?;
        }
    }
    Ok(ExitStatus::Success)
}
