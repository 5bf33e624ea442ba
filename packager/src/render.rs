//! Reports in the forms that people and programs read.

mod github;
mod html;
mod json;
mod junit;
pub mod plan;
pub mod probe;
mod sarif;
mod text;

use std::io::{self, Write};

use gateway::findings::Report;

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text for people; it may change
    Text,
    /// One JSON object
    Json,
    /// SARIF 2.1.0, for code hosts
    Sarif,
    /// XML of test results, for CI systems
    Junit,
    /// Annotations of GitHub Actions
    Github,
    /// One page to look at in a browser, with a picture; it loads nothing
    Html,
}

/// Writes a report.
///
/// # Errors
/// The sink takes no more.
pub fn render(format: Format, report: &Report, sink: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Text => text::write(report, sink),
        Format::Json => json::write(report, sink),
        Format::Sarif => sarif::write(report, sink),
        Format::Junit => junit::write(report, sink),
        Format::Github => github::write(report, sink),
        Format::Html => html::write(report, sink),
    }
}
