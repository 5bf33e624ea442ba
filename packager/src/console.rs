//! What a command says, and how it ends.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use gateway::advice::Advice;
use rule::Faults;

/// The streams of a command: `out` is data, `talk` is for people.
pub struct Console<'w> {
    /// Standard input.
    pub input: &'w mut dyn BufRead,
    /// Standard output.
    pub out: &'w mut dyn Write,
    /// Standard error.
    pub talk: &'w mut dyn Write,
    /// Whether somebody watches standard error.
    pub is_watched: bool,
}

/// How a command ends; the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// 0: yes, clean, done.
    Yes,
    /// 1: the answer is no.
    No,
    /// 2: it could not be told or done.
    Unable,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(match status {
            ExitStatus::Yes => 0,
            ExitStatus::No => 1,
            ExitStatus::Unable => 2,
        })
    }
}

impl Console<'_> {
    /// Tells people something. Nobody may be listening any more, and that is no error.
    pub(crate) fn say(&mut self, line: impl fmt::Display) {
        let _ = writeln!(self.talk, "{line}");
    }

    /// Says what is being done, to somebody who watches.
    pub(crate) fn progress(&mut self, line: impl fmt::Display) {
        if self.is_watched {
            self.say(line);
        }
    }

    /// Says what is being done in a line that the next one takes the place of, to somebody who watches.
    pub(crate) fn step(&mut self, line: impl fmt::Display) {
        if self.is_watched {
            let _ = write!(self.talk, "\r{line}\x1b[K");
            let _ = self.talk.flush();
        }
    }

    /// Removes that line.
    pub(crate) fn end_steps(&mut self) {
        if self.is_watched {
            let _ = write!(self.talk, "\r\x1b[K");
            let _ = self.talk.flush();
        }
    }

    /// Prints help and version where they were asked for, and what is wrong with the usage.
    pub(crate) fn usage(&mut self, error: &clap::Error) -> ExitStatus {
        if error.use_stderr() {
            self.say(error.render().to_string().trim_end());
            return ExitStatus::Unable;
        }
        match write!(self.out, "{}", error.render()) {
            Ok(()) => ExitStatus::Yes,
            Err(error) => self.failure(&error.into()),
        }
    }

    /// One line per error, and the hint where there is one.
    pub(crate) fn failure(&mut self, error: &anyhow::Error) -> ExitStatus {
        if is_broken_pipe(error) {
            return ExitStatus::Yes;
        }
        match error.downcast_ref::<Faults>() {
            None => self.say(format_args!("error: {error:#}")),
            // The context of faults is where they are; each fault is an error of its own.
            Some(faults) => {
                for fault in faults.iter() {
                    self.say(format_args!("error: {error}: {fault}"));
                }
            }
        }
        // As the context of another error, or as an error that others are the context of.
        let advice = error.downcast_ref::<Advice>();
        let advice = advice.or_else(|| error.chain().find_map(|cause| cause.downcast_ref()));
        if let Some(advice) = advice {
            self.say(format_args!("hint: {}", advice.hint));
        }
        ExitStatus::Unable
    }
}

/// Whoever read the output has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
