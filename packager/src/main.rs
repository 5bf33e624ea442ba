//! The `packager` command.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use packager::console::Console;

fn main() -> ExitCode {
    let (mut stdin, mut stdout, mut stderr) =
        (io::stdin().lock(), io::stdout().lock(), io::stderr().lock());
    // Progress is for terminals only: logs would fill up with it.
    let is_terminal = stderr.is_terminal();
    let mut console = Console {
        input: &mut stdin,
        out: &mut stdout,
        stderr: &mut stderr,
        is_terminal,
    };
    packager::run(std::env::args_os(), &mut console).into()
}
