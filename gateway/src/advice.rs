//! What is wrong, and what to do about it.

use std::fmt;

/// A message with a hint: an error of a command, or a part of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What was attempted, on what, and what is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Advice {
    /// Both, as they are printed.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Advice {}
