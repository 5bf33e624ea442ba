//! Golden files: the expected output of a test, in a file that `BLESS=1` writes again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use similar::TextDiff;

use super::{Case, has_extension};

/// A golden file, and what the test printed now.
#[derive(Debug)]
pub struct Golden {
    path: PathBuf,
    now: String,
}

impl Golden {
    /// An empty output has no file.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, now: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            now: now.into(),
        }
    }

    /// Compares the output with the file. With `BLESS` in the environment it writes the file instead,
    /// or deletes the file of an output that is empty now.
    ///
    /// # Errors
    /// They differ: the error shows the difference.
    pub fn check(&self) -> Result<()> {
        // A missing file stands for an empty output.
        let expected = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| self.path.display().to_string()),
        };
        if is_blessing() {
            return self.bless(&expected);
        }
        if expected == self.now {
            return Ok(());
        }
        // Whole outputs have hundreds of lines, so only the difference is shown.
        let difference = TextDiff::from_lines(&expected, &self.now);
        bail!(
            "{} is not what is printed now; BLESS=1 writes it again\n{}",
            self.path.display(),
            difference.unified_diff().header("expected", "now")
        );
    }

    /// Compares several files, and reports all that differ.
    ///
    /// # Errors
    /// At least one differs.
    pub fn check_all(goldens: &[Self]) -> Result<()> {
        let differences: Vec<String> = goldens
            .iter()
            .filter_map(|golden| golden.check().err())
            .map(|error| format!("{error:#}"))
            .collect();
        ensure!(differences.is_empty(), "{}", differences.join("\n"));
        Ok(())
    }

    fn bless(&self, expected: &str) -> Result<()> {
        if self.now == expected {
            return Ok(());
        }
        if self.now.is_empty() {
            fs::remove_file(&self.path)
        } else {
            fs::write(&self.path, &self.now)
        }
        .with_context(|| self.path.display().to_string())
    }
}

/// Checks that each `.stdout` and `.stderr` of a folder belongs to a case. With `BLESS` in the
/// environment it deletes the others instead.
///
/// # Errors
/// There is a golden file without a case.
pub fn check_no_stale_golden(folder: &str) -> Result<()> {
    let cases = Case::all(folder)?;
    // Only these two kinds: cases also have other files beside them, which they name.
    let mut stale = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_golden = has_extension(&path, "stdout") || has_extension(&path, "stderr");
        if is_golden && !cases.iter().any(|case| is_beside(&path, case)) {
            stale.push(path);
        }
    }
    if is_blessing() {
        for path in stale {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
        return Ok(());
    }
    ensure!(
        stale.is_empty(),
        "golden files without a case, which BLESS=1 deletes: {stale:?}"
    );
    Ok(())
}

fn is_beside(golden: &Path, case: &Case) -> bool {
    golden.file_stem() == case.path.file_stem()
}

fn is_blessing() -> bool {
    std::env::var_os("BLESS").is_some()
}
