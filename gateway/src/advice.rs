//! Messages for users, with hints.

use std::fmt;

/// The command that prints every resource that is read, of every kind that the cluster has. Help, hints and
/// documents use this one: with fewer kinds, `check` has to
/// make assumptions.
pub const KUBECTL_GET: &str = "kubectl get -A -o yaml \"$(kubectl api-resources --verbs list -o name \
     | grep -E 'istio|gateway|ingress|cert-manager|^(pods|services|secrets|namespaces|configmaps|deploy.*|mutatingwebhook.*)$' \
     | paste -sd, -)\"";

/// A message with a hint: an error of a command, or a part of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The problem: the operation that was attempted, its object and what is wrong.
    pub message: String,
    /// What the user can do about it.
    pub hint: String,
}

impl Advice {
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Advice {}
