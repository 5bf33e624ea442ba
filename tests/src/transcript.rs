//! Documents whose examples are run: blocks of the kind `console`, in which lines that begin with `$ `
//! are commands for a shell, and what follows is what they print. Blocks with a title are files, written
//! before. In what is printed, `…` stands for any text in its line, and a line of its own for any lines.
//! `BLESS=1` writes what they print into the document.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::markdown::{Block, Part, parts};
use crate::session::Session;
use crate::tools::checkout;

#[derive(Debug)]
pub struct Shell<'s> {
    pub folder: &'s Path,
    /// Variables beside those of this process.
    pub environment: Vec<(&'s str, String)>,
    /// What is different each time, with what the document has for it.
    pub words: Vec<(String, &'s str)>,
}

/// Runs the blocks of one kind in a document, such as `console`, in one shell and in order, and does
/// something after each command, which it gets as the document has it. The document is named from the
/// root of the checkout.
///
/// # Errors
/// A command prints something else, takes too long, or nothing is run.
pub fn check(
    document: &str,
    kind: &str,
    shell: &Shell<'_>,
    mut after: impl FnMut(&str),
) -> Result<usize> {
    let path = checkout().join(document);
    let expected = fs::read_to_string(&path)?;
    let mut session = Session::start(shell.folder, &shell.environment)?;
    let (mut actual, mut commands) = (String::new(), 0);
    for part in parts(&expected).with_context(|| document.to_owned())? {
        match part {
            Part::Prose(prose) => actual += prose,
            Part::Block(block) => {
                shell.write_file(&block)?;
                let mut body = block.body.to_owned();
                if block.info == kind {
                    body.clear();
                    for example in examples(block.body)? {
                        body += &shell.run(&example, &mut session)?;
                        after(&example.command);
                        commands += 1;
                    }
                }
                actual += &["```", block.info, "\n", &body, "```\n"].concat();
            }
        }
    }
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &actual)?;
        return Ok(commands);
    }
    ensure!(
        actual == expected,
        "{document} is to be:\n{}",
        differences(&expected, &actual)
    );
    ensure!(
        commands > 0,
        "{document} has no commands of the kind {kind}"
    );
    Ok(commands)
}

/// A command with what it prints, as a document has them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Example {
    /// All lines, without the `$ `.
    command: String,
    printed: Vec<String>,
}

fn examples(body: &str) -> Result<Vec<Example>> {
    let mut examples: Vec<Example> = Vec::new();
    for line in body.lines() {
        match (line.strip_prefix("$ "), examples.last_mut()) {
            (Some(command), _) => {
                examples.push(Example {
                    command: command.to_owned(),
                    printed: Vec::new(),
                });
            }
            (None, Some(last)) if last.printed.is_empty() && last.command.ends_with('\\') => {
                last.command += "\n";
                last.command += line;
            }
            (None, Some(last)) => last.printed.push(line.to_owned()),
            (None, None) => bail!("no command before: {line}"),
        }
    }
    Ok(examples)
}

impl Shell<'_> {
    /// Writes what a block with a title is.
    fn write_file(&self, block: &Block<'_>) -> Result<()> {
        let Some(title) = block.title() else {
            return Ok(());
        };
        let path = self.folder.join(title);
        fs::create_dir_all(path.parent().context("a file without a folder")?)?;
        Ok(fs::write(path, self.real(block.body))?)
    }

    /// The example with what its command prints now, in the words of the document where they fit.
    fn run(&self, example: &Example, session: &mut Session) -> Result<String> {
        let Example { command, printed } = example;
        ensure!(printed != &["…"], "all that `{command}` prints is left out");
        // The document has fixed words for ports and paths, which differ in each run.
        let mut output = session.run(&self.real(command))?;
        for (word, known) in &self.words {
            output = output.replace(word, known);
        }
        let output: Vec<String> = output
            .trim_end()
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect();
        // The lines of the document stay where they fit: they have `…` for the rest.
        let lines = if is_match(printed, &output) {
            printed
        } else {
            &output
        };
        let mut example = format!("$ {command}\n");
        for line in lines {
            example += line;
            example.push('\n');
        }
        Ok(example)
    }

    /// A text of the document with the words that are different each time.
    fn real(&self, text: &str) -> String {
        self.words
            .iter()
            .fold(text.to_owned(), |text, (word, known)| {
                text.replace(known, word)
            })
    }
}

/// Whether lines match the lines of a document, with its `…`.
fn is_match(expected: &[String], lines: &[String]) -> bool {
    match (expected.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((any, rest)), _) if any == "…" => {
            (0..=lines.len()).any(|count| is_match(rest, lines.get(count..).unwrap_or_default()))
        }
        (Some((expected, rest)), Some((line, lines))) => {
            is_line_match(expected, line) && is_match(rest, lines)
        }
        _ => false,
    }
}

fn is_line_match(expected: &str, line: &str) -> bool {
    let Some((start, rest)) = expected.split_once('…') else {
        return expected == line;
    };
    let Some(mut line) = line.strip_prefix(start) else {
        return false;
    };
    let mut parts = rest.split('…').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return line.ends_with(part);
        }
        let Some((_, after)) = line.split_once(part) else {
            return false;
        };
        line = after;
    }
    true
}

/// The lines of the second text, beginning with the first that differs.
fn differences<'t>(expected: &str, actual: &'t str) -> &'t str {
    let length: usize = expected
        .lines()
        .zip(actual.lines())
        .take_while(|(a, b)| a == b)
        .map(|(line, _)| line.len() + 1)
        .sum();
    actual.get(length..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_left_out_matches_anything_there_and_nothing_else() {
        for (expected, said, is) in [
            ("a\nb", "a\nb", true),
            ("a\nb", "a", false),
            ("a", "a\nb", false),
            ("…\nb", "b", true),
            ("…\nb", "a\na\nb", true),
            ("a\n…", "a\nb\nc", true),
            ("a\n…\nc", "a\nb\nd", false),
            ("a … c", "a b c", true),
            ("a … c", "a b d", false),
            ("a…b…c", "a1b2c", true),
            ("a…b…c", "a1c2", false),
            ("sha256:…", "sha256:0123", true),
            ("x sha256:…", "sha256:0123", false),
        ] {
            assert_eq!(
                is_match(&lines(expected), &lines(said)),
                is,
                "{expected:?} {said:?}"
            );
        }
    }

    #[test]
    fn a_block_is_commands_and_what_they_print() {
        let example = |command: &str, printed: &str| Example {
            command: command.into(),
            printed: lines(printed),
        };
        let found = examples("$ a \\\n  b\n1\n2 \\\n$ c\n").unwrap();
        assert_eq!(found, [example("a \\\n  b", "1\n2 \\"), example("c", "")]);
        assert!(examples("1\n").is_err());
    }

    #[test]
    fn variables_live_on_and_words_are_replaced_both_ways() {
        let folder = tempfile::TempDir::new().unwrap();
        let shell = Shell {
            folder: folder.path(),
            environment: vec![("GIVEN", "1234".into())],
            words: vec![("1234".into(), "80")],
        };
        let mut session = Session::start(shell.folder, &shell.environment).unwrap();
        let mut run = |command: &str, printed: &str| {
            let example = Example {
                command: command.into(),
                printed: lines(printed),
            };
            shell.run(&example, &mut session).unwrap()
        };
        assert_eq!(run("word=$((80 - 0))", ""), "$ word=$((80 - 0))\n");
        assert_eq!(
            run("echo $word; echo $GIVEN >&2", ""),
            "$ echo $word; echo $GIVEN >&2\n80\n80\n"
        );
        assert_eq!(run("printf a; false", "…a"), "$ printf a; false\n…a\n");
        assert_eq!(run("cat # nothing", ""), "$ cat # nothing\n");
    }
}
