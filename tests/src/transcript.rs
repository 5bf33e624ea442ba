//! Documents whose examples are run: blocks of the kind `console`, in which lines that begin with `$ `
//! are commands for a shell, and what follows is what they print. `BLESS=1` writes what they print into
//! the document.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::tools::checkout;

/// Where commands run.
#[derive(Debug)]
pub struct Shell<'s> {
    /// The folder.
    pub folder: &'s Path,
    /// Variables beside those of this process.
    pub environment: Vec<(&'s str, String)>,
    /// What is different each time in what they print, with what the document has for it.
    pub words: Vec<(String, &'s str)>,
}

/// Runs the examples of a document, named from the root of the checkout, in one folder and in order,
/// and does something after each.
///
/// # Errors
/// One prints something else, or nothing is run.
pub fn check(document: &str, shell: &Shell<'_>, after: impl Fn()) -> Result<usize> {
    let path = checkout().join(document);
    let text = fs::read_to_string(&path)?;
    let (mut actual, mut commands, mut rest) = (String::new(), 0, text.as_str());
    while let Some((before, block)) = rest.split_once("```console\n") {
        let (block, following) = block.split_once("\n```").context("a block without an end")?;
        actual += before;
        actual += "```console\n";
        let mut lines = block.lines().peekable();
        let mut printed = Vec::new();
        while let Some(line) = lines.next() {
            let Some(first) = line.strip_prefix("$ ") else { continue };
            printed.push(line.to_owned());
            let mut command = first.to_owned();
            while command.ends_with('\\') {
                let next = lines.next().context("a command without an end")?;
                printed.push(next.to_owned());
                command = format!("{}{next}", command.trim_end_matches('\\'));
            }
            let said = shell.run(&command)?;
            printed.extend(said.trim_end().lines().map(|line| line.trim_end().to_owned()));
            commands += 1;
            after();
        }
        actual += &printed.join("\n");
        actual += "\n```";
        rest = following;
    }
    actual += rest;
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &actual)?;
    }
    let expected = fs::read_to_string(&path)?;
    ensure!(actual == expected, "{document} is to be:\n{actual}");
    ensure!(commands > 0, "{document} has no commands");
    Ok(commands)
}

impl Shell<'_> {
    /// What a command prints, standard error included.
    fn run(&self, command: &str) -> Result<String> {
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1\n{command}")])
            .current_dir(self.folder)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()?;
        let said = String::from_utf8(output.stdout)?;
        let hidden = |said: String, (word, known): &(String, &str)| said.replace(word, known);
        Ok(self.words.iter().fold(said, hidden))
    }
}
