//! Reports, plans and verdicts in the formats that people and programs read.

mod command_line;
mod count;
mod github;
mod hidden;
mod html;
mod json;
mod junit;
pub mod plan;
mod presentation;
pub mod probe;
mod sarif;
mod text;
mod wrap;

use std::io::{self, Write};

use gateway::findings::Report;

pub use presentation::{ClusterWords, Presentation, SourceWords, Style};

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
pub fn render(
    format: Format,
    report: &Report,
    presentation: &Presentation,
    sink: &mut dyn Write,
) -> io::Result<()> {
    let source = &presentation.source;
    match format {
        Format::Text => text::write(report, presentation, sink),
        Format::Json => json::write(report, source, sink),
        Format::Sarif => sarif::write(report, presentation, sink),
        Format::Junit => junit::write(report, presentation, sink),
        Format::Github => github::write(report, presentation, sink),
        Format::Html => html::write(report, presentation, sink),
    }
}
