//! The operator's side of sni-guard: builds the filter, packages it as an image that gateways load,
//! writes the resource that names the image, and explains what the filter will decide.
//!
//! The module `commands` has one module for each subcommand, and all input and output. The other modules
//! are pure: [`module`] inspects and trims WebAssembly for Envoy, [`image`] makes and reads OCI images,
//! [`resource`] writes Kubernetes resources, and `settings` reads the filter's configuration as people write
//! it. [`render`] writes reports and plans in several formats, `baseline` compares a report with an earlier one,
//! `exit_meanings`, `plugin_name` and `manual` write help and manual pages, `reasons` explains the filter's reasons,
//! `spelling` finds the word that a typing error stands for, and `text` shortens texts of other
//! programs. The crate [`gateway`] computes what gateways do with resources. The crate [`rule`] makes the
//! decisions, with the same code that the filter runs.

mod baseline;
mod commands;
pub mod console;
pub mod digest;
mod exit_meanings;
pub mod image;
mod manual;
pub mod module;
mod plugin_name;
mod reasons;
pub mod render;
pub mod resource;
mod settings;
mod spelling;
mod text;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches};

use crate::commands::Cli;
use crate::console::{Console, ExitStatus};

/// Runs the command line `args`, the program's name first.
pub fn run(args: impl IntoIterator<Item = OsString>, console: &mut Console<'_>) -> ExitStatus {
    // clap's errors include --help and --version, which are not failures.
    let cli = match parse(args) {
        Ok(cli) => cli,
        Err(error) => return console.usage(&error),
    };
    console.options = cli.options;
    match cli.run(console) {
        Ok(status) => status,
        Err(error) => console.failure(&error),
    }
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let args: Vec<OsString> = args.into_iter().collect();
    let program = args.first().map(OsString::as_os_str);
    let mut command = plugin_name::with_called_name(command_line(), program);
    let mut matches = command.try_get_matches_from_mut(&args)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// The definition of the command line, from which help, manual pages and completions are generated.
#[must_use]
pub fn command_line() -> clap::Command {
    exit_meanings::with_exit_statuses(Cli::command())
}
