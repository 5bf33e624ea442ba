//! The operator's side of sni-guard: builds the filter, packages it as an image that gateways load,
//! writes the resource that names the image, and explains what the filter will decide.
//!
//! [`commands`] has one module per subcommand and all the input and output. What they call is pure:
//! [`module`] knows WebAssembly and what Envoy wants of it, [`image`] the OCI image, [`resource`]
//! the Kubernetes resource, [`settings`] the filter's configuration as people write it. [`render`]
//! writes reports and plans in several forms, [`manual`] makes the manual pages, and [`spelling`]
//! guesses what was meant. What gateways make of resources, what is wrong with that and how to merge
//! servers is [`gateway`]'s. The decisions are [`rule`]'s, the same code that the filter runs.

pub mod commands;
pub mod console;
pub mod digest;
pub mod image;
pub mod manual;
pub mod module;
pub mod render;
pub mod resource;
pub mod settings;
pub mod spelling;

use std::ffi::OsString;

use clap::{CommandFactory, Parser};

use crate::commands::Cli;
use crate::console::{Console, ExitStatus};

/// Runs the command line `args`, the program's name first.
pub fn run(args: impl IntoIterator<Item = OsString>, console: &mut Console<'_>) -> ExitStatus {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return console.usage(&error),
    };
    match cli.run(console) {
        Ok(status) => status,
        Err(error) => console.failure(&error),
    }
}

/// The command line as it is defined, for what is made of it.
#[must_use]
pub fn command_line() -> clap::Command {
    Cli::command()
}
