//! The streams and the exit status of a command.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use gateway::advice::Advice;
use rule::Faults;

use crate::render::Style;

use crate::text::visible;

/// The streams of a command. Data goes to `out`, messages go to `stderr`.
pub struct Console<'w> {
    /// Standard input, for arguments that are `-`.
    pub input: &'w mut dyn BufRead,
    /// Standard output, for data.
    pub out: &'w mut dyn Write,
    /// Standard error, for messages.
    pub stderr: &'w mut dyn Write,
    /// What the streams are connected to.
    pub terminal: Terminal,
    /// The flags that every command has.
    pub options: Options,
}

/// Which streams are terminals.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminal {
    /// Whether standard error is a terminal.
    pub stderr: bool,
    /// Whether standard output is a terminal.
    pub stdout: bool,
    /// The columns of standard output, if it is a terminal whose width is known.
    pub width: Option<usize>,
    /// Whether the environment asks for no color (`NO_COLOR`, no-color.org).
    pub no_color: bool,
}

/// The flags that every command has.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct Options {
    /// Print more: every step, and in reports every detail
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Print only errors and the result, without notes and progress
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// When to color text; auto colors it on a terminal, unless `NO_COLOR` is set
    #[arg(long, value_name = "WHEN", global = true, value_enum, default_value_t)]
    pub color: ColorChoice,
}

/// When to color text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless the environment has `NO_COLOR`
    #[default]
    Auto,
    /// Always, for pagers and CI logs that show colors
    Always,
    /// Never
    Never,
}

/// The width of text that does not go to a terminal, and the largest width on one.
const WIDTH: usize = 100;

/// The result of a command as an exit status, with the same meaning for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// 0: the command succeeded.
    Success,
    /// 1: the check failed.
    Failure,
    /// 2: the command could not do its work.
    Error,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(match status {
            ExitStatus::Success => 0,
            ExitStatus::Failure => 1,
            ExitStatus::Error => 2,
        })
    }
}

impl Console<'_> {
    /// Prints a message. A closed stderr is not an error.
    pub(crate) fn message(&mut self, line: impl fmt::Display) {
        // A message may have the name of a file or a text of the input.
        let line = line.to_string();
        let _ = writeln!(self.stderr, "{}", visible(&line));
    }

    /// Prints a note: what was assumed, or left out. `--quiet` hides it.
    pub(crate) fn note(&mut self, line: impl fmt::Display) {
        if !self.options.quiet {
            self.line(format_args!("note: {line}"));
        }
    }

    /// Prints a message in one line. A line break in the name of a file must not begin another one, which a CI system
    /// could take for a command.
    pub(crate) fn line(&mut self, line: impl fmt::Display) {
        self.message(line.to_string().replace('\n', "\\n"));
    }

    /// Prints progress, on a terminal or with `--verbose`.
    pub(crate) fn progress(&mut self, line: impl fmt::Display) {
        if self.shows_steps() || self.options.verbose {
            self.message(line);
        }
    }

    /// The form of text on standard output.
    #[must_use]
    pub(crate) fn style(&self) -> Style {
        let color = match self.options.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => self.terminal.stdout && !self.terminal.no_color,
        };
        Style {
            // A narrower text breaks names, and a wider one is hard to read.
            width: self.terminal.width.unwrap_or(WIDTH).clamp(40, WIDTH),
            color,
            verbose: self.options.verbose,
        }
    }

    fn shows_steps(&self) -> bool {
        self.terminal.stderr && !self.options.quiet
    }

    /// Prints progress in a line that the next step overwrites, on a terminal only.
    pub(crate) fn step(&mut self, line: impl fmt::Display) {
        if self.shows_steps() {
            let _ = write!(self.stderr, "\r{line}\x1b[K");
            let _ = self.stderr.flush();
        }
    }

    /// Erases the line of the last step.
    pub(crate) fn end_steps(&mut self) {
        if self.shows_steps() {
            let _ = write!(self.stderr, "\r\x1b[K");
            let _ = self.stderr.flush();
        }
    }

    /// Prints help and version to stdout if the user asked for them, and usage errors to stderr.
    pub(crate) fn usage(&mut self, error: &clap::Error) -> ExitStatus {
        // Help and version are results, not errors.
        if error.use_stderr() {
            self.message(error.render().to_string().trim_end());
            return ExitStatus::Error;
        }
        match write!(self.out, "{}", error.render()) {
            Ok(()) => ExitStatus::Success,
            Err(error) => self.failure(&error.into()),
        }
    }

    /// Prints an error in one line, with its hint if it has one.
    pub(crate) fn failure(&mut self, error: &anyhow::Error) -> ExitStatus {
        // The reader has the data that it wanted.
        if is_broken_pipe(error) {
            return ExitStatus::Success;
        }
        match error.downcast_ref::<Faults>() {
            None => self.message(format_args!("error: {error:#}")),
            // The outer error names the resource or the file, and each fault gets a line of its own.
            Some(faults) => {
                for fault in faults.iter() {
                    self.message(format_args!("error: {error}: {fault}"));
                }
            }
        }
        if let Some(advice) = advice(error) {
            self.message(format_args!("hint: {}", advice.hint));
        }
        ExitStatus::Error
    }
}

/// The advice of an error: it may be the context of another error, or have a context itself.
fn advice(error: &anyhow::Error) -> Option<&Advice> {
    error
        .downcast_ref()
        .or_else(|| error.chain().find_map(|cause| cause.downcast_ref()))
}

/// The result of writing to standard output, if a reader that closes it is no error: `head` has the lines that it
/// wanted, and the exit status must be the same as for a reader of all lines.
pub(crate) fn unless_closed(written: anyhow::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if is_broken_pipe(&error) => Ok(()),
        other => other,
    }
}

/// Whether the reader of the output has closed it, as `head` does.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .root_cause()
        .downcast_ref::<io::Error>()
        .is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind};

    use super::{ColorChoice, Console, Options, Terminal, unless_closed};

    /// What a console prints to standard error, and whether its text has color and how wide it is.
    fn printed(terminal: Terminal, options: Options) -> (String, bool, usize) {
        let (mut input, mut out, mut stderr) = (io::empty(), io::sink(), Vec::new());
        let mut console = Console {
            input: &mut input,
            out: &mut out,
            stderr: &mut stderr,
            terminal,
            options,
        };
        console.note("assumed");
        console.progress("reading");
        console.message("error: \x1b[2Ja");
        let form = console.style();
        (String::from_utf8(stderr).unwrap(), form.color, form.width)
    }

    #[test]
    fn quiet_hides_notes_and_progress_but_not_errors() {
        let quiet = Options {
            quiet: true,
            ..Options::default()
        };
        let verbose = Options {
            verbose: true,
            ..Options::default()
        };
        let error = "error: \\u{1b}[2Ja\n";
        let terminal = Terminal {
            stderr: true,
            ..Terminal::default()
        };
        for (terminal, options, expected) in [
            (Terminal::default(), Options::default(), "note: assumed\n"),
            (terminal, Options::default(), "note: assumed\nreading\n"),
            (Terminal::default(), verbose, "note: assumed\nreading\n"),
            (terminal, quiet, ""),
        ] {
            let (text, ..) = printed(terminal, options);
            assert_eq!(
                text,
                format!("{expected}{error}"),
                "{terminal:?} {options:?}"
            );
        }
    }

    #[test]
    fn color_is_for_terminals_unless_the_user_chooses() {
        for (stdout, no_color, color, expected) in [
            (true, false, ColorChoice::Auto, true),
            (true, true, ColorChoice::Auto, false),
            (false, false, ColorChoice::Auto, false),
            (false, true, ColorChoice::Always, true),
            (true, false, ColorChoice::Never, false),
        ] {
            let terminal = Terminal {
                stdout,
                no_color,
                ..Terminal::default()
            };
            let options = Options {
                color,
                ..Options::default()
            };
            let (_, has_color, _) = printed(terminal, options);
            assert_eq!(has_color, expected, "{terminal:?} {color:?}");
        }
    }

    #[test]
    fn text_is_neither_narrow_nor_wide() {
        for (width, expected) in [(None, 100), (Some(80), 80), (Some(300), 100), (Some(5), 40)] {
            let terminal = Terminal {
                width,
                ..Terminal::default()
            };
            let (.., columns) = printed(terminal, Options::default());
            assert_eq!(columns, expected, "{width:?}");
        }
    }

    #[test]
    fn only_a_closed_pipe_is_no_error() {
        let error = |kind| Err(io::Error::from(kind).into());
        assert!(unless_closed(error(ErrorKind::BrokenPipe)).is_ok());
        assert!(unless_closed(error(ErrorKind::StorageFull)).is_err());
        assert!(unless_closed(Ok(())).is_ok());
    }
}
