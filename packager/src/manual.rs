//! The manual pages, made of what the command line says about itself.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// A manual page.
#[derive(Debug)]
pub struct Page {
    /// The name of its file, such as `packager-check.1`.
    pub name: String,
    /// Its text in ASCII, for the macros of man(7).
    pub roff: String,
}

/// The page of a command, then those of its subcommands. They are the same every time: none has a
/// date.
///
/// # Errors
/// None is known: they are written to memory.
pub fn pages(command: Command) -> io::Result<Vec<Page>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let subcommands: Vec<Command> = command.get_subcommands().cloned().collect();
    let main = page(command, &subcommands)?;
    let rest = subcommands
        .into_iter()
        .map(|subcommand| page(subcommand, &[]));
    std::iter::once(Ok(main)).chain(rest).collect()
}

fn page(command: Command, subcommands: &[Command]) -> io::Result<Page> {
    let after_help = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let man = Man::new(command)
        .source(concat!("packager ", env!("CARGO_PKG_VERSION")))
        .manual("sni-guard");
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
    exit_status(&after_help).to_writer(&mut out)?;
    examples(&after_help).to_writer(&mut out)?;
    see_also(subcommands).to_writer(&mut out)?;
    Ok(Page {
        name: man.get_filename(),
        roff: in_ascii(&String::from_utf8_lossy(&out)),
    })
}

/// Not every troff reads UTF-8.
fn in_ascii(text: &str) -> String {
    let escaped = |c: char| match c {
        c if c.is_ascii() => String::from(c),
        '…' => "...".into(),
        c => format!("\\[u{:04X}]", u32::from(c)),
    };
    text.chars().map(escaped).collect()
}

/// What the help says besides its examples and exit statuses.
fn notes(after_help: &str) -> Roff {
    let mut roff = Roff::new();
    for paragraph in paragraphs(after_help) {
        if !paragraph.starts_with(EXAMPLES) && !paragraph.starts_with(EXIT_STATUS) {
            roff.control("PP", []);
            roff.text([roman(paragraph)]);
        }
    }
    roff
}

fn exit_status(after_help: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for text in paragraphs(after_help).filter_map(|text| text.strip_prefix(EXIT_STATUS)) {
        for (status, meaning) in statuses(text) {
            roff.control("TP", []);
            roff.text([bold(status)]);
            roff.text([roman(meaning)]);
        }
    }
    roff
}

fn examples(after_help: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    for text in paragraphs(after_help).filter_map(|text| text.strip_prefix(EXAMPLES)) {
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

const EXAMPLES: &str = "Examples:";
const EXIT_STATUS: &str = "Exit status:";

fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n")
        .map(str::trim_end)
        .filter(|paragraph| !paragraph.is_empty())
}

/// Takes `0 this, 1 that, or so, 2 neither.` apart: a number after a comma begins the next status.
fn statuses(text: &str) -> Vec<(&str, String)> {
    let mut statuses: Vec<(&str, String)> = Vec::new();
    for word in text.split_whitespace() {
        match statuses.last_mut() {
            Some((_, meaning)) if !(is_status(word) && meaning.ends_with(',')) => {
                let blank = if meaning.is_empty() { "" } else { " " };
                meaning.extend([blank, word]);
            }
            _ => statuses.push((word, String::new())),
        }
    }
    for (_, meaning) in &mut statuses {
        let trimmed = meaning.trim_end_matches([',', '.']).len();
        meaning.truncate(trimmed);
    }
    statuses
}

fn is_status(word: &str) -> bool {
    matches!(word, "0" | "1" | "2")
}

#[cfg(test)]
mod tests {
    use super::statuses;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let statuses = statuses(text);
        let statuses: Vec<_> = statuses
            .iter()
            .map(|(status, meaning)| (*status, meaning.as_str()))
            .collect();
        assert_eq!(statuses, expected, "{text}");
    }

    #[test]
    fn statuses_are_told_apart() {
        check("", &[]);
        check(
            " 0 written, 2 not written.",
            &[("0", "written"), ("2", "not written")],
        );
        check(
            " 0 there is, or there are\nnone, 1 of 2 is\nnot, 2 a file, or 1 in it.",
            &[
                ("0", "there is, or there are none"),
                ("1", "of 2 is not"),
                ("2", "a file, or 1 in it"),
            ],
        );
    }
}
