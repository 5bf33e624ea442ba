//! `packager man`: the manual pages.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{CommandFactory as _, ValueHint};

use super::{Cli, files};
use crate::console::{Console, ExitStatus};
use crate::manual;

/// Write the manual pages, one for each command
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # Install the pages for man
  packager man --out ~/.local/share/man/man1
  # Read one page
  packager man --out man && man -l man/packager-check.1")]
pub(crate) struct Args {
    /// The folder for the pages, packager.1 and packager-COMMAND.1
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: PathBuf,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    // The pages get their exit statuses from the table, not from the help.
    let pages = manual::pages(Cli::command()).context("making the manual pages")?;
    for page in &pages {
        files::write(&args.out.join(&page.name), page.roff.as_bytes())?;
    }
    console.message(format_args!(
        "{} pages in {}",
        pages.len(),
        args.out.display()
    ));
    Ok(ExitStatus::Success)
}
