//! `packager completions`: the completions for a shell.

use anyhow::{Context, Result};
use clap::{Arg, Command, CommandFactory, ValueHint};
use clap_complete::Shell;

use super::Cli;
use crate::console::{Console, ExitStatus};

/// Write the completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # Install the completions
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
    // clap_complete panics if its output is closed, so it writes to memory.
    clap_complete::generate(args.shell, &mut command, "packager", &mut script);
    console
        .out
        .write_all(&script)
        .context("writing the completions")?;
    Ok(ExitStatus::Success)
}

/// Sets a hint for every argument: shells offer files for arguments without one, and Bash offers files for
/// hosts too.
fn with_hints(command: Command, shell: Shell) -> Command {
    command
        .mut_args(|arg| with_hint(arg, shell))
        .mut_subcommands(|subcommand| with_hints(subcommand, shell))
}

fn with_hint(arg: Arg, shell: Shell) -> Arg {
    let offers_files = match arg.get_value_hint() {
        ValueHint::Unknown => true,
        ValueHint::Hostname => shell == Shell::Bash,
        _ => false,
    };
    if offers_files && arg.get_action().takes_values() {
        arg.value_hint(ValueHint::Other)
    } else {
        arg
    }
}
