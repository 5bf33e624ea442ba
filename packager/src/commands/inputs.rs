//! Resources that were read, and how they are read from files, folders and standard input.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use gateway::advice::Advice;
use gateway::documents::{self, DocumentFault, MAX_TEXT};
use gateway::resources::Origin;
use gateway::{Resources, Workload};

use crate::console::{Console, ExitStatus};

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    /// The resources.
    pub(crate) resources: Resources,
    /// The documents that could not be read.
    pub(crate) faults: Vec<DocumentFault>,
    /// Whether a Secret that is not among them is not in the cluster either.
    pub(crate) has_all_secrets: bool,
}

impl Inputs {
    /// Says what could not be read, and how a command ends that did well otherwise.
    pub(crate) fn finish(&self, console: &mut Console<'_>) -> ExitStatus {
        for fault in &self.faults {
            console.say(format_args!("error: reading {fault}"));
        }
        if self.faults.is_empty() {
            ExitStatus::Yes
        } else {
            ExitStatus::Unable
        }
    }
}

/// Says what was guessed of workloads for want of Pods and Services.
pub(crate) fn tell_assumptions<'m>(
    workloads: impl IntoIterator<Item = &'m Workload>,
    console: &mut Console<'_>,
) {
    for workload in workloads {
        tell_assumed(workload, console);
        let tls = workload
            .listeners
            .iter()
            .filter(|listener| listener.is_tls());
        for listener in tls.filter(|listener| !listener.port_is_certain) {
            console.say(format_args!(
                "note: port {} of {} may be mapped to another by a Service that is not in the input",
                listener.port,
                workload.full_name()
            ));
        }
    }
}

/// Says that a workload was guessed from a selector, where it was.
pub(crate) fn tell_assumed(workload: &Workload, console: &mut Console<'_>) {
    if workload.is_assumed {
        let name = workload.full_name();
        console.say(format_args!(
            "note: no pods of {name} in the input, some are assumed"
        ));
    }
}

/// Reads resources from files, from the YAML and JSON files of folders and what is below them, and
/// from standard input for `-`. Symbolic links are followed to files only.
pub(crate) fn read(paths: &[PathBuf], console: &mut Console<'_>) -> Result<Inputs> {
    read_to(Resources::default(), paths, console)
}

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
        let mut files = Vec::new();
        find(path, &mut files, &mut inputs)
            .with_context(|| format!("reading {}", path.display()))?;
        if files.is_empty() && inputs.faults.is_empty() {
            bail!(Advice::new(
                format!("reading {}: there are no resources in it", path.display()),
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
    Ok(inputs)
}

fn add(inputs: &mut Inputs, file: &str, text: &[u8]) {
    inputs
        .faults
        .extend(documents::read(file, text, &mut inputs.resources));
}

/// What cannot be read is told, and the rest is read.
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

/// Reads a little more than is allowed, so that too much is noticed and not cut off.
fn bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    source.take(MAX_TEXT as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// Finds a file itself, or the files of a folder in the order of their names.
fn find(path: &Path, found: &mut Vec<PathBuf>, inputs: &mut Inputs) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
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
