//! Plans of a merge, for people, for programs, and as files to be applied.

mod folder;
mod json;
mod kubectl;
mod text;

use std::io::{self, Write};
use std::path::Path;

pub use folder::{File, Form};
use gateway::merge::{Outlook, State};

/// Writes plans for people, with the commands, or with where they were written.
///
/// # Errors
/// The sink takes no more.
pub fn text(outlook: &Outlook, folder: Option<&Path>, sink: &mut dyn Write) -> io::Result<()> {
    text::write(outlook, folder, sink)
}

/// Writes plans as one JSON object.
///
/// # Errors
/// The sink takes no more.
pub fn json(outlook: &Outlook, sink: &mut dyn Write) -> io::Result<()> {
    writeln!(sink, "{}", serde_json::to_string(&json::outlook(outlook))?)
}

/// The files of a folder for each step, in the order of the steps.
///
/// # Errors
/// A value cannot be written as YAML or JSON.
pub fn files(outlook: &Outlook, start: &State, form: Form) -> anyhow::Result<Vec<File>> {
    folder::files(outlook, start, form)
}
