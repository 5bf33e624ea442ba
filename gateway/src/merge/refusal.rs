//! Why servers are not merged.

use std::collections::BTreeSet;

use serde::Serialize;

use super::listener_id::ListenerId;
use crate::ServerId;
use crate::coalescing::RemainingPairs;
use crate::findings::{Command, Remedy};
use crate::{Model, Resources, Workload};

/// Servers that break each other and that no plan can merge. [`merge`](super::merge) makes it from an
/// obstacle; the report prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of the obstacle.
    pub reason: Reason,
    /// The workload whose pods have the listener, as `namespace/name`.
    pub workload: String,
    /// The listener's name in Envoy, or the port if all its servers are dropped.
    pub listener: String,
    /// The servers that stay as they are.
    pub servers: Vec<ServerId>,
    /// The obstacle as a sentence without a full stop.
    pub message: String,
    /// What the operator can do, the best first.
    pub remedies: Vec<Remedy>,
}

/// An obstacle that takes some servers out of a merge, while the others of their group have a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// The kind of the obstacle.
    pub reason: Reason,
    /// The listener of the servers.
    pub listener: ListenerId,
    /// The servers that are set aside, as the input has them.
    pub servers: Vec<ServerId>,
    /// The obstacle as a sentence without a full stop.
    pub message: String,
    /// The pairs with these servers that are still broken after all plans.
    pub remaining: RemainingPairs,
    /// What the operator can do, the best first.
    pub remedies: Vec<Remedy>,
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
    /// A Gateway is being deleted.
    Deletion,
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
    /// Clients would reach a host without the certificate that its server demands.
    ClientCertificate,
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
    /// `--only` or `--exclude` leaves the servers out.
    NotSelected,
}

/// What prevents a merge, before the listener is attached to it. The functions of `obstacles` make it,
/// and [`Self::refuse`] makes it a [`Refusal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    pub(super) reason: Reason,
    pub(super) message: String,
    remedies: Vec<Remedy>,
    has_filter: bool,
    /// The servers without which the obstacle does not exist; empty if it is not known which.
    pub(super) blocking: BTreeSet<ServerId>,
}

/// Where an obstacle was found.
#[derive(Clone, Copy)]
pub(super) struct Site<'s> {
    pub(super) workload: &'s Workload,
    pub(super) model: &'s Model,
    pub(super) resources: &'s Resources,
}

impl Obstacle {
    /// An obstacle for servers that can stay apart with the filter.
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            remedies: Vec::new(),
            has_filter: true,
            blocking: BTreeSet::new(),
        }
    }

    /// An obstacle that the filter does not help with: hosts are not served at all.
    pub(super) fn defect(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            has_filter: false,
            ..Self::new(reason, message)
        }
    }

    /// Adds what the operator can do.
    pub(super) fn or(mut self, remedy: Remedy) -> Self {
        self.remedies.push(remedy);
        self
    }

    /// Names the servers without which the obstacle does not exist.
    pub(super) fn blocking<'s>(mut self, servers: impl IntoIterator<Item = &'s ServerId>) -> Self {
        self.blocking = servers.into_iter().cloned().collect();
        self
    }

    pub(super) fn refuse(&self, site: Site<'_>, listener: String, servers: &[ServerId]) -> Refusal {
        Refusal {
            reason: self.reason,
            workload: site.workload.full_name(),
            listener,
            servers: servers.to_vec(),
            message: self.message.clone(),
            remedies: self.remedies(site, "have the filter answer 421 instead"),
        }
    }

    /// The blocker of a plan. `servers` are the servers that it takes out, as the input has them.
    pub(super) fn block(
        &self,
        site: Site<'_>,
        listener: &ListenerId,
        servers: Vec<ServerId>,
    ) -> Blocker {
        Blocker {
            reason: self.reason,
            listener: listener.clone(),
            servers,
            message: self.message.clone(),
            // The pairs are counted after the last plan.
            remaining: RemainingPairs::default(),
            // The filter of today has other servers than the filter of the merged resources.
            remedies: self.remedies(
                site,
                "have the filter answer 421 for them, with the resources as they are after the plan",
            ),
        }
    }

    fn remedies(&self, site: Site<'_>, filter_text: &str) -> Vec<Remedy> {
        let mut remedies = self.remedies.clone();
        if self.has_filter {
            let command = Command::filter(site.workload, site.model, site.resources);
            remedies.push(Remedy::with_command(filter_text, command));
        }
        remedies
    }
}
