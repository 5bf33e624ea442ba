//! Reports, plans and verdicts in the formats that people and programs read.

mod count;
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

/// The output format of a report. The doc comments are the help of `--output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text for people; its wording may change with each version
    Text,
    /// One JSON object
    Json,
    /// SARIF 2.1.0, for code hosts
    Sarif,
    /// Test results as XML (junit.xml), for CI systems
    Junit,
    /// Annotations of GitHub Actions
    Github,
    /// One HTML page with a picture, for browsers; it loads no other file
    Html,
}

/// Writes a report in one of the formats.
///
/// # Errors
/// The sink returns an error.
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
