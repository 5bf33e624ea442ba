//! The exit status of a report: which findings count.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;
use gateway::findings::Report;

use crate::baseline::{Baseline, Compared, Severity};
use crate::commands::files;
use crate::console::ExitStatus;
use crate::render::{self, Format, Presentation};

/// The values of `--fail-on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    /// Errors make the exit status 1
    Error,
    /// Errors and warnings make the exit status 1
    Warning,
    /// No finding makes the exit status 1
    Never,
}

/// The findings of a report, compared with a baseline.
pub(super) struct Judgement {
    findings: Vec<Compared>,
}

/// Reads the file of `--baseline`; without a file no finding is known.
pub(super) fn read_baseline(path: Option<&Path>) -> Result<Baseline> {
    let Some(path) = path else {
        return Ok(Baseline::default());
    };
    let text = files::read(path)?;
    Baseline::parse(&String::from_utf8_lossy(&text))
        .with_context(|| format!("reading the baseline {}", path.display()))
}

impl Judgement {
    pub(super) fn new(report: &Report, baseline: &Baseline) -> Result<Self> {
        // The baseline is JSON, so the report is compared in the same form: what identifies a finding there
        // identifies it here.
        let mut json = Vec::new();
        render::render(Format::Json, report, &Presentation::default(), &mut json)?;
        Ok(Self {
            findings: baseline.compare(&String::from_utf8_lossy(&json))?,
        })
    }

    /// The indices of the findings that are in the baseline.
    pub(super) fn known(&self) -> BTreeSet<usize> {
        let indices = self.findings.iter().enumerate();
        indices
            .filter(|(_, finding)| finding.is_known)
            .map(|(index, _)| index)
            .collect()
    }

    pub(super) fn status(&self, fail_on: FailOn) -> ExitStatus {
        let lowest = match fail_on {
            FailOn::Error => Severity::Error,
            FailOn::Warning => Severity::Warning,
            FailOn::Never => return ExitStatus::Success,
        };
        // The worst severity is the first in order.
        let fails = self
            .findings
            .iter()
            .any(|finding| !finding.is_known && finding.severity <= lowest);
        if fails {
            ExitStatus::Failure
        } else {
            ExitStatus::Success
        }
    }

    /// Writes a line for each finding that is in the baseline.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for finding in self.findings.iter().filter(|finding| finding.is_known) {
            writeln!(out, "in the baseline, not counted: {}", finding.title)?;
        }
        Ok(())
    }
}
