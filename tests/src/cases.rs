//! Cases of the command line: a case is a YAML file whose first lines are directives, and golden files
//! beside it hold what its commands print. `cli/readme.yaml` is a case that explains the directives.

mod golden;
mod secret;

pub use golden::{Golden, check_no_stale_golden};

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rule::{Config, Document, lua};

use crate::process::{Run, packager};

/// A case: a YAML file with directives.
#[derive(Clone, Debug)]
pub struct Case {
    /// The name of the file, without the extension.
    pub name: String,
    /// The file, relative to the folder of the tests.
    pub path: PathBuf,
    text: String,
}

impl Case {
    /// The cases of a folder, ordered by name.
    ///
    /// # Errors
    /// The folder or one of its cases cannot be read.
    pub fn all(folder: &str) -> Result<Vec<Self>> {
        let mut cases = Vec::new();
        for entry in fs::read_dir(folder).with_context(|| format!("reading {folder}"))? {
            let path = entry?.path();
            if has_extension(&path, "yaml") {
                cases.push(Self::read(&path)?);
            }
        }
        cases.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(cases)
    }

    /// Reads one case.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .context("the name of a case is not UTF-8")?;
        Ok(Self {
            name: name.to_owned(),
            path: path.to_owned(),
            text,
        })
    }

    /// The text of the file.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The commands of the case: the values of its lines `# RUN:`.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        self.directives("RUN")
    }

    /// The value of the line `# EXPECT:`: what the case is about, in a word that a test compares.
    ///
    /// # Errors
    /// The case has no such line, or several.
    pub fn expectation(&self) -> Result<&str> {
        let mut lines = self.directives("EXPECT");
        match (lines.next(), lines.next()) {
            (Some(line), None) => Ok(line),
            (None, _) => bail!("{} has no line `# EXPECT:`", self.path.display()),
            (Some(_), Some(_)) => bail!("{} has several lines `# EXPECT:`", self.path.display()),
        }
    }

    /// The file that `%` stands for in the commands: resources of `gateways/`, generated Secrets, and
    /// the text of the case. Without the first two it is the case itself, so that line numbers in the
    /// output are the lines of the case. A line `SCRIPT` and a configuration in JSON stands for our Lua script.
    ///
    /// # Errors
    /// A directive is invalid, or names a file that does not exist.
    pub fn input(&self) -> Result<String> {
        let mut generated = String::new();
        for file in self.directives("INPUT") {
            let text = fs::read_to_string(Path::new("gateways").join(file))
                .with_context(|| format!("reading gateways/{file}"))?;
            generated += &without_secrets(&text);
        }
        for secret in secret::generate(self.directives("SECRET"))? {
            write!(generated, "\n{secret}")?;
        }
        let text = with_scripts(&self.text)?;
        if generated.is_empty() {
            return Ok(text);
        }
        // The directives would shift the line numbers of the case's own text.
        let own: Vec<&str> = text
            .lines()
            .skip_while(|line| line.starts_with('#'))
            .collect();
        Ok(format!("{generated}\n---\n{}\n", own.join("\n")))
    }

    /// Runs the commands, and compares stdout and stderr with the golden files.
    ///
    /// # Errors
    /// They differ, or the case has no command.
    pub fn check(&self) -> Result<()> {
        let input = self.input()?;
        let (mut stdout, mut stderr) = (String::new(), String::new());
        for command in self.commands() {
            let Run { status, out, talk } = run(command, &input)?;
            write!(stdout, "$ packager {command}\n{out}[{status}]\n\n")?;
            // Most commands write nothing to stderr, and are not repeated in its file.
            if !talk.is_empty() {
                write!(stderr, "$ packager {command}\n{talk}[{status}]\n\n")?;
            }
        }
        ensure!(
            !stdout.is_empty(),
            "{} has no line `# RUN:`",
            self.path.display()
        );
        // Certificates are generated in each run, so their digests cannot be in a golden file.
        if self.directives("SECRET").next().is_some() {
            stdout = without_ends(&without_digests(&stdout));
            stderr = without_ends(&without_digests(&stderr));
        }
        Golden::check_all(&[
            Golden::new(self.path.with_extension("stdout"), stdout),
            Golden::new(self.path.with_extension("stderr"), stderr),
        ])
    }

    /// The values of the lines that begin with a directive.
    fn directives<'c>(&'c self, word: &str) -> impl Iterator<Item = &'c str> + use<'c> {
        let prefix = format!("# {word}: ");
        self.text
            .lines()
            .filter_map(move |line| line.strip_prefix(&prefix))
    }
}

/// Replaces each line `SCRIPT` by the Lua script of its configuration, indented as the line.
fn with_scripts(text: &str) -> Result<String> {
    let mut expanded = String::new();
    for line in text.lines() {
        let Some((indentation, configuration)) = line.split_once("SCRIPT {") else {
            writeln!(expanded, "{line}")?;
            continue;
        };
        let configuration: Document = serde_json::from_str(&format!("{{{configuration}"))?;
        for code in lua::write(&Config::parse(&configuration)?).lines() {
            let line = format!("{indentation}{code}");
            writeln!(expanded, "{}", line.trim_end())?;
        }
    }
    Ok(expanded)
}

/// Runs a command on an input: `%` stands for the file of the input, in the command and in the output.
///
/// # Errors
/// The input cannot be written to a file.
pub fn run(command: &str, input: &str) -> Result<Run> {
    // Lines of a report break by the length of this path, so it must not depend on the machine.
    let folder = tempfile::tempdir_in("/tmp")?;
    let file = folder.path().join("input.yaml");
    fs::write(&file, input)?;
    let file = file.to_str().context("a path is not UTF-8")?;
    let arguments: Vec<String> = command
        .split(' ')
        .map(|word| word.replace('%', file))
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let run = packager(&arguments);
    // The name of the temporary file differs in each run.
    Ok(Run {
        status: run.status,
        out: run.out.replace(file, "%"),
        talk: run.talk.replace(file, "%"),
    })
}

/// The documents of a text but its Secrets: the Secrets of `gateways/` hold no real certificates.
#[must_use]
pub fn without_secrets(text: &str) -> String {
    text.split("\n---\n")
        .filter(|document| !document.contains("kind: Secret\n"))
        .collect::<Vec<_>>()
        .join("\n---\n")
}

/// Replaces the end of a certificate that a case makes for some days by `DATE`.
fn without_ends(text: &str) -> String {
    const BEFORE: &str = " days, on ";
    const AFTER: &str = " UTC";
    let mut parts = text.split(BEFORE);
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        replaced.push_str(BEFORE);
        match part.split_once(AFTER) {
            Some((_, rest)) => {
                replaced.push_str("DATE");
                replaced.push_str(rest);
            }
            None => replaced.push_str(part),
        }
    }
    replaced
}

/// Replaces each SHA-256 digest by `DIGEST`.
fn without_digests(text: &str) -> String {
    text.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric())
        .map(|word| {
            let bare = word.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric());
            if bare.len() == 64 && bare.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                word.replace(bare, "DIGEST")
            } else {
                word.to_owned()
            }
        })
        .collect()
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension()
        .is_some_and(|extension| extension == wanted)
}
