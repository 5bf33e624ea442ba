//! `packager completions`: what a shell completes of a command line.

use anyhow::{Context, Result};
use clap::{Arg, Command, CommandFactory, ValueHint};
use clap_complete::Shell;

use super::Cli;
use crate::console::{Console, ExitStatus};

/// Write the completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  packager completions bash > ~/.local/share/bash-completion/completions/packager
  packager completions zsh > ~/.zfunc/_packager
  packager completions fish > ~/.config/fish/completions/packager.fish

Bash loads that folder if bash-completion is installed. Zsh needs the folder in fpath before compinit
runs.")]
pub(crate) struct Args {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    let mut command = with_hints(Cli::command(), args.shell);
    let mut script = Vec::new();
    // Into memory: it would panic where standard output is closed.
    clap_complete::generate(args.shell, &mut command, "packager", &mut script);
    console
        .out
        .write_all(&script)
        .context("writing the completions")?;
    Ok(ExitStatus::Yes)
}

/// Shells offer files for a word that has no hint, and Bash does for a host too.
fn with_hints(command: Command, shell: Shell) -> Command {
    let with_hint = |arg: Arg| match arg.get_value_hint() {
        _ if !arg.get_action().takes_values() => arg,
        ValueHint::Unknown => arg.value_hint(ValueHint::Other),
        ValueHint::Hostname if shell == Shell::Bash => arg.value_hint(ValueHint::Other),
        _ => arg,
    };
    command
        .mut_args(with_hint)
        .mut_subcommands(|subcommand| with_hints(subcommand, shell))
}
