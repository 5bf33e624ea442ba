//! Why servers are not merged.

use serde::Serialize;

use super::listener_id::ListenerId;
use crate::ServerId;
use crate::advice::Advice;

/// Servers that break each other and that no plan can merge. [`merge`](super::merge) makes it from an
/// obstacle; the report prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The kind of the obstacle.
    pub reason: Reason,
    /// The workload whose pods have the listener, as `namespace/name`.
    pub workload: String,
    /// The listener's name in Envoy, or the port if all its servers are dropped.
    pub listener: String,
    /// The servers that stay as they are.
    pub servers: Vec<String>,
    /// The obstacle as a sentence without a full stop.
    pub message: String,
    /// What the operator can do.
    pub hint: String,
}

/// The kind of an obstacle, for programs that read the JSON report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// istiod already drops one of the servers.
    Dropped,
    /// Envoy already rejects the listener.
    Rejected,
    /// A plan for so many servers would be too long.
    TooMany,
    /// A Gateway API listener can have only one hostname.
    GatewayApi,
    /// A controller manages one of the Gateways and would revert the change.
    Generated,
    /// The age of a Gateway is unknown.
    Age,
    /// The servers are on different pods or listeners.
    Pods,
    /// The servers have different ports.
    Port,
    /// The servers bind different addresses.
    Bind,
    /// A server does not terminate HTTPS.
    NotHttps,
    /// The TLS settings of the servers differ.
    TlsSettings,
    /// The contents of a certificate are unknown.
    CertificateUnknown,
    /// No certificate covers all hosts.
    Certificate,
    /// An `EnvoyFilter` refers to one of the Gateways, route tables or server names.
    EnvoyFilter,
    /// Routes of one server would also apply to hosts of another.
    RoutesMix,
    /// Routes would apply that did not apply before.
    RoutesStart,
    /// The answer for a host would change at a step.
    Answer,
}

/// What prevents a merge, before the listener is attached to it. The functions of `obstacles` make it,
/// and [`Self::at`] makes it a [`Refusal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    pub(super) reason: Reason,
    pub(super) advice: Advice,
}

/// The alternative for servers that stay apart.
pub(super) const FILTER_HINT: &str =
    "have the filter answer 421 instead: packager manifest --image IMAGE --from PATH";

impl Obstacle {
    pub(super) fn new(reason: Reason, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            reason,
            advice: Advice::new(message, hint),
        }
    }

    /// An obstacle that the operator can remove, or leave and install the filter.
    pub(super) fn with_filter_hint(
        reason: Reason,
        message: impl Into<String>,
        remedy: &str,
    ) -> Self {
        Self::new(reason, message, format!("{remedy}, or {FILTER_HINT}"))
    }

    pub(super) fn at(self, listener: &ListenerId, servers: &[ServerId]) -> Refusal {
        let name = listener.listener_name();
        self.refuse(listener.workload_name(), name, servers)
    }

    /// The same for a listener that exists only in part, so that its names are given.
    pub(super) fn refuse(
        self,
        workload: String,
        listener: String,
        servers: &[ServerId],
    ) -> Refusal {
        let Advice { message, hint } = self.advice;
        Refusal {
            reason: self.reason,
            workload,
            listener,
            servers: servers.iter().map(ToString::to_string).collect(),
            message,
            hint,
        }
    }
}
