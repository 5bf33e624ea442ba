//! What to do about a finding, with the commands.

use std::collections::HashSet;
use std::io::{self, Write};

use gateway::findings::{Command, Remedy, Report};

use super::super::command_line::CommandLine;
use super::super::hidden::printable;
use super::super::presentation::Presentation;
use super::{COMMAND_INDENT, CYAN, Paragraph, painted, write_lines, write_lines_after};

/// What the commands of the remedies do, which users have to know before they run them.
pub(super) fn write_explanations(
    report: &Report,
    presentation: &Presentation,
    sink: &mut dyn Write,
) -> io::Result<()> {
    let commands: Vec<CommandLine> = report
        .findings
        .iter()
        .flat_map(|finding| &finding.remedies)
        .filter_map(|remedy| remedy.command.as_ref())
        .filter(|command| match command {
            Command::Merge { .. } | Command::Filter { .. } | Command::AuthorizationPolicy(_) => {
                true
            }
            Command::Check | Command::ExplainFilter(_) | Command::Kubectl(_) => false,
        })
        .map(|command| CommandLine::new(command, &presentation.source))
        .collect();
    if commands.is_empty() {
        return Ok(());
    }
    let text = "Both commands only print: merge prints a plan, manifest prints a resource for kubectl apply.";
    write_lines(text, 0, presentation.style, sink)?;
    if commands.iter().any(CommandLine::allows_tag) {
        let text = "--allow-mutable accepts a tag, which may name another image later: use the digest of your \
                    image.";
        write_lines(text, 0, presentation.style, sink)?;
    }
    Ok(())
}

impl Paragraph<'_> {
    pub(super) fn write_remedies(
        &self,
        commands: &mut HashSet<String>,
        sink: &mut dyn Write,
    ) -> io::Result<()> {
        // Two causes on one listener often need the same change.
        if let Some(before) = self.before
            && !before.remedies.is_empty()
            && before.remedies == self.finding.remedies
        {
            let text = if before.code == self.finding.code {
                "what to do: the same as above".to_owned()
            } else {
                format!("what to do: the same as for {}", before.code)
            };
            return self.write_item(&text, sink);
        }
        match self.finding.remedies.as_slice() {
            [] => self.write_item(
                &format!("hint: {}", printable(&self.finding.advice.hint)),
                sink,
            ),
            [only] => self.write_remedy("hint: ", only, commands, sink),
            remedies => {
                writeln!(sink, "  what to do, the best first:")?;
                let (notes, actions): (Vec<&Remedy>, Vec<&Remedy>) =
                    remedies.iter().partition(|remedy| remedy.is_note);
                for (index, remedy) in actions.into_iter().enumerate() {
                    self.write_remedy(&format!("{}. ", index + 1), remedy, commands, sink)?;
                }
                for remedy in notes {
                    self.write_item(&printable(&remedy.text), sink)?;
                }
                Ok(())
            }
        }
    }

    /// What to do, and the command below it in lines that a shell reads as they are.
    fn write_remedy(
        &self,
        mark: &str,
        remedy: &Remedy,
        commands: &mut HashSet<String>,
        sink: &mut dyn Write,
    ) -> io::Result<()> {
        let command = remedy
            .command
            .as_ref()
            .map(|command| CommandLine::new(command, &self.presentation.source));
        let lines = command.as_ref().map_or_else(Vec::new, |command| {
            command.lines(self.style.width.saturating_sub(COMMAND_INDENT))
        });
        // A command of several lines is written once, if there are other remedies beside it.
        let is_repeated = command
            .as_ref()
            .is_some_and(|command| !commands.insert(command.one_line()))
            && lines.len() > 1
            && self.finding.remedies.len() > 1;
        let end = match (lines.is_empty(), is_repeated) {
            (true, _) => "",
            (false, true) => " (the command is above)",
            (false, false) => ":",
        };
        write!(sink, "  ")?;
        let text = format!("{mark}{}{end}", printable(&remedy.text));
        // The lines of a numbered remedy begin below its text.
        write_lines_after(&text, 2, 5, self.style, sink)?;
        if is_repeated {
            return Ok(());
        }
        for line in lines {
            writeln!(
                sink,
                "{:COMMAND_INDENT$}{}",
                "",
                painted(&line, CYAN, self.style)
            )?;
        }
        Ok(())
    }
}
