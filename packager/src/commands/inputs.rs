//! Resources from files, folders and standard input.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use gateway::Resources;
use gateway::advice::Advice;
use gateway::documents::{self, DocumentFault, MAX_TEXT};
use gateway::resources::Origin;
use gateway::resources::replaced::{Replaced, Replacement, replacements};

use crate::console::{Console, ExitStatus};

/// The resources of an input, with the documents that could not be read.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    pub(crate) resources: Resources,
    /// The documents that could not be read.
    pub(crate) faults: Vec<DocumentFault>,
    /// Whether the input has every Secret of the cluster, so that a missing Secret does not exist.
    pub(crate) has_all_secrets: bool,
    /// The resources that a later one of the same name replaced.
    pub(crate) replaced: Vec<Replaced>,
    /// Whether the input has every pod of the cluster.
    pub(crate) has_all_pods: bool,
    /// Whether the input has every Gateway of the cluster.
    pub(crate) has_all_gateways: bool,
}

impl Inputs {
    /// Prints an error for each document that could not be read. The status is that of a command that
    /// succeeded otherwise.
    pub(crate) fn finish(&self, console: &mut Console<'_>) -> ExitStatus {
        for fault in &self.faults {
            console.message(format_args!("error: reading {fault}"));
        }
        for replacement in replacements(&self.replaced) {
            console.message(format_args!("note: {}", description(&replacement)));
        }
        if self.faults.is_empty() {
            ExitStatus::Success
        } else {
            ExitStatus::Error
        }
    }
}

/// Reads resources from files, from the YAML and JSON files in folders and their subfolders, and from
/// standard input for `-`. Symbolic links are followed to files only.
pub(crate) fn read(paths: &[PathBuf], console: &mut Console<'_>) -> Result<Inputs> {
    read_to(Resources::default(), paths, console)
}

/// Reads resources like [`read`] and adds them to `empty`, which decides whether manifests are kept.
pub(crate) fn read_to(
    empty: Resources,
    paths: &[PathBuf],
    console: &mut Console<'_>,
) -> Result<Inputs> {
    let mut inputs = Inputs {
        resources: empty,
        ..Inputs::default()
    };
    for path in paths {
        if path == Path::new("-") {
            let text = bounded(&mut *console.input).context("reading standard input")?;
            add(&mut inputs, "-", &text);
            continue;
        }
        // A path that the user named has to exist. Files below a folder may be unreadable: they are
        // reported, and the other files are still read.
        let mut files = Vec::new();
        find(path, &mut files, &mut inputs)
            .with_context(|| format!("reading {}", path.display()))?;
        if files.is_empty() && inputs.faults.is_empty() {
            bail!(Advice::new(
                format!("reading {}: no file in it has resources", path.display()),
                "name a folder with files that end in .yaml, .yml or .json, or name the files"
            ));
        }
        for file in files {
            match File::open(&file).and_then(bounded) {
                Ok(text) => add(&mut inputs, &file.display().to_string(), &text),
                Err(error) => unreadable(&mut inputs, &file, &error),
            }
        }
    }
    inputs.replaced = inputs.resources.remove_replaced();
    Ok(inputs)
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
            let ending = if *count == 1 { "" } else { "s" };
            let advice = if lost == kept {
                ""
            } else {
                "; check one of the two folders at a time"
            };
            format!(
                "{count} resource{ending} of {lost} have no effect, because later ones in {kept} have the same \
                 names, such as {resource} in {by}{advice}"
            )
        }
    }
}

fn add(inputs: &mut Inputs, file: &str, text: &[u8]) {
    inputs
        .faults
        .extend(documents::read(file, text, &mut inputs.resources));
}

/// Adds the error of a file to the faults, so that the other files are still read.
fn unreadable(inputs: &mut Inputs, path: &Path, error: &io::Error) {
    let origin = Origin {
        file: path.display().to_string().into(),
        line: 0,
    };
    inputs.faults.push(DocumentFault {
        origin,
        problem: error.to_string(),
    });
}

/// Reads one octet more than the limit, so that a text that is too long is reported, not cut off.
fn bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    source.take(MAX_TEXT as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// Finds the path itself if it is a file, or the files of a folder in the order of their names.
fn find(path: &Path, found: &mut Vec<PathBuf>, inputs: &mut Inputs) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // Hidden folders are not part of the configuration: .git, for example.
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if let Err(error) = find_entry(&entry, &path, found, inputs) {
            unreadable(inputs, &path, &error);
        }
    }
    Ok(())
}

fn find_entry(
    entry: &fs::DirEntry,
    path: &Path,
    found: &mut Vec<PathBuf>,
    inputs: &mut Inputs,
) -> io::Result<()> {
    if entry.file_type()?.is_dir() {
        return find(path, found, inputs);
    }
    if has_resources(path) && fs::metadata(path)?.is_file() {
        found.push(path.to_owned());
    }
    Ok(())
}

fn has_resources(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json"))
}
