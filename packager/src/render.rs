//! Reports in the forms that people and programs read.

mod json;
mod text;

use std::io::{self, Write};

use crate::checks::Report;

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people; it may change
    Text,
    /// One JSON object
    Json,
}

/// Writes a report.
///
/// # Errors
/// The sink takes no more.
pub fn render(format: Format, report: &Report, sink: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Text => text::write(report, sink),
        Format::Json => json::write(report, sink),
    }
}
