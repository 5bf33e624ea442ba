//! The manual pages, generated from the definition of the command line.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::exit_meanings::exit_statuses;

/// The heading of the paragraph with examples in the help of a command.
const EXAMPLES: &str = "Examples:";

/// A manual page in section 1.
#[derive(Debug)]
pub(crate) struct Page {
    /// The name of the file, such as `packager-check.1`.
    pub(crate) name: String,
    /// The text in ASCII, for the macros of man(7).
    pub(crate) roff: String,
}

/// The page of the program, then the pages of its subcommands. No page has a date, so the same
/// definition gives the same pages.
///
/// # Errors
/// A page could not be written to memory.
pub(crate) fn pages(command: Command) -> io::Result<Vec<Page>> {
    let mut command = command.disable_help_subcommand(true);
    // Building gives the subcommands their full names, such as `packager-check`.
    command.build();
    let subcommands: Vec<Command> = command.get_subcommands().cloned().collect();

    let mut pages = vec![page(command, &subcommands)?];
    for subcommand in subcommands {
        pages.push(page(subcommand, &[])?);
    }
    Ok(pages)
}

fn page(command: Command, subcommands: &[Command]) -> io::Result<Page> {
    let name = command.get_name().to_owned();
    let after_help = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let man = Man::new(command)
        .source(concat!("packager ", env!("CARGO_PKG_VERSION")))
        .manual("sni-guard");

    // The sections are in the order that man-pages(7) asks for.
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    notes(&after_help).to_writer(&mut out)?;
    man.render_options_section(&mut out)?;
    if !subcommands.is_empty() {
        man.render_subcommands_section(&mut out)?;
    }
    exit_status(&name).to_writer(&mut out)?;
    examples(&after_help).to_writer(&mut out)?;
    see_also(subcommands).to_writer(&mut out)?;
    Ok(Page {
        name: man.get_filename(),
        roff: in_ascii(&String::from_utf8_lossy(&out)),
    })
}

/// Escapes characters outside ASCII: some versions of troff do not read UTF-8.
fn in_ascii(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            c if c.is_ascii() => String::from(c),
            '…' => "...".into(),
            c => format!("\\[u{:04X}]", u32::from(c)),
        })
        .collect()
}

/// The paragraphs of the help that are neither examples nor exit statuses.
fn notes(after_help: &str) -> Roff {
    let mut roff = Roff::new();
    for paragraph in paragraphs(after_help).filter(|text| !text.starts_with(EXAMPLES)) {
        roff.control("PP", []);
        roff.text([roman(paragraph)]);
    }
    roff
}

fn exit_status(command: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (status, meaning) in exit_statuses(command) {
        roff.control("TP", []);
        roff.text([bold(status.to_string())]);
        roff.text([roman(meaning)]);
    }
    roff
}

fn examples(after_help: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    for text in paragraphs(after_help).filter_map(|text| text.strip_prefix(EXAMPLES)) {
        // Examples are commands: the lines must not be filled.
        roff.control("nf", []);
        for line in text.trim_start_matches('\n').lines() {
            roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
        }
        roff.control("fi", []);
    }
    roff
}

fn see_also(subcommands: &[Command]) -> Roff {
    let mut names: Vec<String> = subcommands
        .iter()
        .map(|command| format!("packager-{}(1)", command.get_name()))
        .collect();
    if names.is_empty() {
        names.push("packager(1)".into());
    }
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(names.join(", "))]);
    roff
}

fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n")
        .map(str::trim_end)
        .filter(|paragraph| !paragraph.is_empty())
}
