//! The `packager` command.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use packager::console::{Console, Options, Terminal};

fn main() -> ExitCode {
    let (mut stdin, mut stdout, mut stderr) =
        (io::stdin().lock(), io::stdout().lock(), io::stderr().lock());
    let terminal = Terminal {
        // Progress is for terminals only: logs would fill up with it.
        stderr: stderr.is_terminal(),
        stdout: stdout.is_terminal(),
        width: terminal_size::terminal_size_of(&stdout).map(|(width, _)| usize::from(width.0)),
        // Any value but an empty one counts (no-color.org).
        no_color: std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
    };
    let mut console = Console {
        input: &mut stdin,
        out: &mut stdout,
        stderr: &mut stderr,
        terminal,
        options: Options::default(),
    };
    packager::run(std::env::args_os(), &mut console).into()
}
