//! The streams and the exit status of a command.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use gateway::advice::Advice;
use rule::Faults;

/// The streams of a command. Data goes to `out`, messages go to `stderr`.
pub struct Console<'w> {
    /// Standard input, for arguments that are `-`.
    pub input: &'w mut dyn BufRead,
    /// Standard output, for data.
    pub out: &'w mut dyn Write,
    /// Standard error, for messages.
    pub stderr: &'w mut dyn Write,
    /// Whether standard error is a terminal.
    pub is_terminal: bool,
}

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
        let _ = writeln!(self.stderr, "{line}");
    }

    /// Prints progress, on a terminal only.
    pub(crate) fn progress(&mut self, line: impl fmt::Display) {
        if self.is_terminal {
            self.message(line);
        }
    }

    /// Prints progress in a line that the next step overwrites, on a terminal only.
    pub(crate) fn step(&mut self, line: impl fmt::Display) {
        if self.is_terminal {
            let _ = write!(self.stderr, "\r{line}\x1b[K");
            let _ = self.stderr.flush();
        }
    }

    /// Erases the line of the last step.
    pub(crate) fn end_steps(&mut self) {
        if self.is_terminal {
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

/// Whether the reader of the output has closed it, as `head` does.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .root_cause()
        .downcast_ref::<io::Error>()
        .is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
