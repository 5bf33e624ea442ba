//! What there is to know about a kind of finding, whether or not it was found.

use serde::Serialize;

/// The texts and the severity of one kind of finding. `packager check --explain` prints them, and
/// `docs/findings.md` is made from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// The code, such as `SG101`. A code is never used again for something else.
    pub id: &'static str,
    /// The code in words, such as `coalesce-not-found`.
    pub name: &'static str,
    pub severity: Severity,
    /// What `check` found in the configuration.
    pub what: &'static str,
    /// The consequences for clients and operators.
    pub why: &'static str,
    /// A configuration that causes the finding.
    pub example: &'static str,
    /// What to change, or which command to run.
    pub fix: &'static str,
    /// What a request on a coalesced connection gets, in a few words. `None` for a finding that is not
    /// about a connection to one server and a request for another.
    pub coalesced_answer: Option<&'static str>,
}

/// How bad a finding is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Requests fail, or reach the wrong backend.
    Error,
    /// Requests may fail, or a part of the input is missing to be certain.
    Warning,
    /// No request fails; the operator may want to know.
    Info,
}

impl Severity {
    /// The name in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}
