//! The operator's side of sni-guard: builds the filter, packages it as an image that gateways load,
//! writes the resource that names the image, and explains what the filter will decide.
//!
//! [`commands`] has one module per subcommand and all the input and output. What they call is pure:
//! [`module`] knows WebAssembly and what Envoy wants of it, [`image`] the OCI image, [`resource`]
//! the Kubernetes resource, [`settings`] the filter's configuration as people write it. [`render`]
//! writes reports and plans in several forms, [`manual`] makes the manual pages, and [`spelling`]
//! guesses what was meant. What gateways make of resources, what is wrong with that and how to merge
//! servers is [`gateway`]'s. The decisions are [`rule`]'s, the same code that the filter runs.

mod commands;
pub mod console;
pub mod digest;
mod exit_meanings;
pub mod image;
mod manual;
pub mod module;
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
    let cli = match parse(args) {
        Ok(cli) => cli,
        Err(error) => return console.usage(&error),
    };
    match cli.run(console) {
        Ok(status) => status,
        Err(error) => console.failure(&error),
    }
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut matches = command_line().try_get_matches_from(args)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command_line()))
}

/// The definition of the command line, from which help, manual pages and completions are generated.
#[must_use]
pub fn command_line() -> clap::Command {
    exit_meanings::with_exit_statuses(Cli::command())
}
