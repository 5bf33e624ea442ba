//! Resources from files, folders and standard input.

mod find;
mod notes;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use gateway::Resources;
use gateway::advice::Advice;
use gateway::documents::{self, DocumentFault, MAX_TEXT, Skipped, Unread};
use gateway::resources::Origin;
use gateway::resources::replaced::{Replaced, Replacement, replacements};
use glob::Pattern;

use self::find::FileFinder;
use crate::console::{Console, ExitStatus};

/// The flag for files and folders that are left out. `merge` calls it `--exclude-files`, because its `--exclude` names servers.
#[derive(Debug, clap::Args)]
pub(crate) struct ExcludeArgs {
    /// Leave out files and folders whose name, or path below PATH, matches a glob such as
    /// 'values*.yaml' or 'charts/**'; repeat it for more
    #[arg(long, value_name = "GLOB", value_parser = Pattern::new)]
    pub(crate) exclude: Vec<Pattern>,
}

/// The flag for documents that are not resources.
#[derive(Debug, clap::Args)]
pub(crate) struct StrictArgs {
    /// Report documents that are not Kubernetes resources as errors, instead of skipping them
    #[arg(long)]
    pub(crate) strict: bool,
}

/// Files and folders to read, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paths<'a> {
    /// The paths without a flag, and the paths of `--filename`.
    pub(crate) named: [&'a [PathBuf]; 2],
    /// The files and folders to leave out.
    pub(crate) exclude: &'a [Pattern],
    /// Whether a document that is not a resource is a fault.
    pub(crate) is_strict: bool,
}

impl<'a> From<&'a Vec<PathBuf>> for Paths<'a> {
    fn from(paths: &'a Vec<PathBuf>) -> Self {
        Self {
            named: [paths, &[]],
            exclude: &[],
            is_strict: false,
        }
    }
}

impl<'a> Paths<'a> {
    pub(crate) fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = &'a PathBuf> {
        self.named.into_iter().flatten()
    }
}

/// The resources of an input, with the documents that could not be read.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    pub(crate) resources: Resources,
    /// The documents that could not be read.
    pub(crate) faults: Vec<DocumentFault>,
    /// The documents that are not resources.
    pub(crate) skipped: Vec<Skipped>,
    /// Whether the input has every Secret of the cluster, so that a missing Secret does not exist.
    pub(crate) has_all_secrets: bool,
    /// The resources that a later one of the same name replaced.
    pub(crate) replaced: Vec<Replaced>,
    /// Whether the input has every Gateway of the cluster.
    pub(crate) has_all_gateways: bool,
}

impl Inputs {
    /// Prints an error for each document that could not be read, and a note for each reason to skip documents.
    /// The status is that of a command that succeeded otherwise.
    pub(crate) fn finish(&self, console: &mut Console<'_>) -> ExitStatus {
        for note in self.skipped_notes() {
            console.note(note);
        }
        for fault in &self.faults {
            console.line(format_args!("error: reading {fault}"));
        }
        for replacement in replacements(&self.replaced) {
            console.note(description(&replacement));
        }
        if self.faults.is_empty() {
            ExitStatus::Success
        } else {
            ExitStatus::Error
        }
    }

    /// What the report says nothing about, although it was in the input: documents that cannot be read, resources
    /// that others replace, and templates and patches.
    pub(crate) fn left_out(&self) -> Vec<String> {
        let skipped: Vec<Skipped> = self
            .skipped
            .iter()
            .filter(|document| notes::is_left_out(document.reason))
            .cloned()
            .collect();
        self.faults
            .iter()
            .map(ToString::to_string)
            .chain(notes::notes(&skipped))
            .chain(replacements(&self.replaced).iter().map(description))
            .collect()
    }

    /// What was skipped: one line for each reason.
    pub(crate) fn skipped_notes(&self) -> Vec<String> {
        notes::notes(&self.skipped)
    }
}

/// Reads resources from files, from the YAML and JSON files in folders and their subfolders, and from
/// standard input for `-`. Symbolic links are followed to files only. The resources are added to `empty`, which
/// decides whether manifests are kept.
pub(crate) fn read_to(
    empty: Resources,
    paths: Paths<'_>,
    console: &mut Console<'_>,
) -> Result<Inputs> {
    let mut inputs = Inputs {
        resources: empty,
        ..Inputs::default()
    };
    // A file that is named twice, or is below a named folder too, is one file.
    let mut read_before: BTreeSet<PathBuf> = BTreeSet::new();
    for path in paths.iter() {
        if path == Path::new("-") {
            let text = bounded(&mut *console.input).context("reading standard input")?;
            // A command before the pipe that failed may look like an input without defects.
            if paths.is_strict && text.trim_ascii().is_empty() {
                bail!(Advice::new(
                    "reading standard input: it is empty",
                    "look at the command before the pipe; with set -o pipefail its failure counts"
                ));
            }
            inputs.add("-", &text);
            continue;
        }
        // A path that the user named has to exist. Files below a folder may be unreadable: they are
        // reported, and the other files are still read.
        let mut finder = FileFinder::new(path, paths.exclude);
        finder
            .find()
            .with_context(|| format!("reading {}", path.display()))?;
        let FileFinder {
            files,
            unreadable,
            patches,
            excluded,
            ..
        } = finder;
        if files.is_empty() && patches.is_empty() && unreadable.is_empty() && excluded == 0 {
            bail!(Advice::new(
                format!("reading {}: no file in it has resources", path.display()),
                "name a folder with files that end in .yaml, .yml or .json, or name the files"
            ));
        }
        for (path, error) in unreadable {
            inputs.add_error(&path, &error);
        }
        inputs.skipped.extend(patches);
        for file in files
            .into_iter()
            .filter(|file| read_before.insert(file.clone()))
        {
            match File::open(&file).and_then(bounded) {
                Ok(text) => inputs.add(&file.display().to_string(), &text),
                Err(error) => inputs.add_error(&file, &error),
            }
        }
    }
    if paths.is_strict {
        inputs.skipped_to_faults();
    }
    inputs.replaced = inputs.resources.remove_replaced();
    Ok(inputs)
}

impl Inputs {
    fn add(&mut self, file: &str, text: &[u8]) {
        let Unread { faults, skipped } = documents::read_all(file, text, &mut self.resources);
        self.faults.extend(faults);
        self.skipped.extend(skipped);
    }

    /// Adds the error of a file to the faults, so that the other files are still read.
    fn add_error(&mut self, path: &Path, error: &io::Error) {
        let origin = Origin {
            file: path.display().to_string().into(),
            line: 0,
        };
        self.faults.push(DocumentFault {
            origin,
            problem: error.to_string(),
        });
    }

    fn skipped_to_faults(&mut self) {
        for Skipped { origin, reason } in std::mem::take(&mut self.skipped) {
            // Releases of Helm are resources, and never matter.
            match notes::problem(reason) {
                Some(problem) => self.faults.push(DocumentFault {
                    origin,
                    problem: problem.into(),
                }),
                None => self.skipped.push(Skipped { origin, reason }),
            }
        }
    }
}

/// Which of several resources with one name counts.
fn description(replacement: &Replacement) -> String {
    match replacement {
        Replacement::Resource(Replaced {
            resource,
            lost,
            kept,
        }) => {
            format!("{resource} in {lost} has no effect: {kept} has the same name and comes later")
        }
        Replacement::Folder {
            lost,
            kept,
            count,
            example: Replaced {
                resource, kept: by, ..
            },
        } => {
            let resources = if *count == 1 {
                "resource of"
            } else {
                "resources of"
            };
            let verb = if *count == 1 { "has" } else { "have" };
            let advice = if lost == kept {
                ""
            } else {
                "; check one of the two folders at a time"
            };
            format!(
                "{count} {resources} {lost} {verb} no effect, because later ones in {kept} have the same names, such \
                 as {resource} in {by}{advice}"
            )
        }
    }
}

/// Reads until the limit is exceeded, so that a text that is too long is reported, not cut off. The
/// releases of Helm do not count: a dump of all Secrets has hundreds.
fn bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut source = BufReader::new(source);
    let mut text = Vec::new();
    while text.len() <= MAX_TEXT {
        let start = text.len();
        // Each line has the whole limit: a release that is cut off would not be recognised.
        let mut line = source.by_ref().take(MAX_TEXT as u64 + 1);
        if line.read_until(b'\n', &mut text)? == 0 {
            break;
        }
        documents::drop_release(&mut text, start);
    }
    Ok(text)
}
