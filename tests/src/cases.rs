//! Cases of commands that read gateways: each is a YAML file with lines
//!
//! - `# INPUT: FILE`, a file of `gateways/` whose Secrets are left out; what follows in the case
//!   itself is input as well;
//! - `# SECRET: NAMESPACE/NAME = NAMES`, a Secret with a certificate made for the test, `until YEAR`,
//!   `with another key` and `cut in half` where it is to be wrong; `NAMESPACE/NAME is NAMESPACE/NAME`, a copy;
//! - `# RUN:` commands, with `%` for all of that in one file.
//!
//! What they print is in the file beside it. `BLESS=1` writes those files anew.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::process::{Run, packager};
use crate::secrets::Pair;

/// The cases of a folder, by name.
///
/// # Errors
/// There is no such folder.
pub fn files(folder: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut cases = entries.collect::<Result<Vec<_>>>()?;
    cases.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    cases.sort();
    Ok(cases)
}

/// Compares what the commands of a case print with the file beside it.
///
/// # Errors
/// They differ, or the case runs nothing.
pub fn check_case(case: &Path) -> Result<()> {
    let text = fs::read_to_string(case)?;
    let input = input(&text)?;
    let mut transcript = String::new();
    for command in directives(&text, "RUN") {
        let Run { status, out, talk } = run(command, &input)?;
        write!(
            transcript,
            "$ packager {command}\n{out}{talk}[{status}]\n\n"
        )?;
    }
    ensure!(!transcript.is_empty(), "{} runs nothing", case.display());
    let transcript = without_digests(&transcript);
    let golden = case.with_extension("stdout");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&golden, &transcript)?;
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    ensure!(
        transcript == expected,
        "{}: now\n{transcript}",
        case.display()
    );
    Ok(())
}

/// The input of a case.
///
/// # Errors
/// A file that it names is not there, or a Secret not as above.
pub fn input(case: &str) -> Result<String> {
    let mut input = String::new();
    for file in directives(case, "INPUT") {
        let text = fs::read_to_string(Path::new("gateways").join(file))?;
        let documents = text
            .split("\n---\n")
            .filter(|text| !text.contains("kind: Secret\n"));
        input += &documents.collect::<Vec<_>>().join("\n---\n");
    }
    let mut pairs: HashMap<&str, Pair> = HashMap::new();
    for secret in directives(case, "SECRET") {
        let (name, pair) = if let Some((name, text)) = secret.split_once(" = ") {
            (name, pair(text)?)
        } else {
            let (name, original) = secret.split_once(" is ").context("no Secret")?;
            (name, pairs.get(original).context("no such Secret")?.clone())
        };
        write!(input, "\n{}", pair.secret(name)?)?;
        pairs.insert(name, pair);
    }
    let own: Vec<&str> = case
        .lines()
        .skip_while(|line| line.starts_with('#'))
        .collect();
    Ok(input + "\n---\n" + &own.join("\n") + "\n")
}

/// Runs a command on an input, which `%` stands for in it and in what it prints.
///
/// # Errors
/// The input cannot be written.
pub fn run(command: &str, input: &str) -> Result<Run> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("input.yaml");
    fs::write(&file, input)?;
    let file = file.to_str().context("a path is not UTF-8")?;
    let arguments: Vec<String> = command
        .split(' ')
        .map(|word| word.replace('%', file))
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let run = packager(&arguments);
    let told = |text: &str| text.replace(file, "%");
    Ok(Run {
        status: run.status,
        out: told(&run.out),
        talk: told(&run.talk),
    })
}

/// The values of the lines of a case that begin with a word.
fn directives<'c>(case: &'c str, word: &str) -> impl Iterator<Item = &'c str> {
    let prefix = format!("# {word}: ");
    case.lines()
        .filter_map(move |line| line.strip_prefix(&prefix))
}

fn pair(text: &str) -> Result<Pair> {
    if let Some(text) = text.strip_suffix(" cut in half") {
        let mut pair = pair(text)?;
        pair.certificate.truncate(pair.certificate.len() / 2);
        return Ok(pair);
    }
    let (text, has_other_key) = match text.strip_suffix(" with another key") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (names, until) = text.split_once(" until ").unwrap_or((text, "2100"));
    let names: Vec<&str> = names.split(' ').collect();
    let pair = Pair::generate(&names, until.parse()?)?;
    let other = Pair::generate(&names, 2100)?;
    Ok(if has_other_key {
        Pair {
            key: other.key,
            ..pair
        }
    } else {
        pair
    })
}

/// Certificates are new each time.
fn without_digests(text: &str) -> String {
    let is_digest = |word: &str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let words = text.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric());
    let hidden = words.map(|word| {
        let bare = word.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric());
        if is_digest(bare) {
            word.replace(bare, "DIGEST")
        } else {
            word.to_owned()
        }
    });
    hidden.collect()
}
