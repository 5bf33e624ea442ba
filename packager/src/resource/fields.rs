//! What `WasmPlugin` and `TrafficExtension` have in common (Istio API `extensions/v1alpha1`).

use rule::Fault;
use serde::Serialize;

use super::{Attachment, Labels, Namespace, ObjectName, PolicyTarget};

/// The metadata of a resource, as far as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Metadata {
    pub(crate) name: ObjectName,
    pub(crate) namespace: Namespace,
}

impl Metadata {
    /// Reads a name and a namespace.
    ///
    /// # Errors
    /// A fault for each of the two that the API server refuses.
    pub(crate) fn parse(name: &str, namespace: &str) -> Result<Self, Vec<Fault>> {
        match (ObjectName::parse(name), Namespace::parse(namespace)) {
            (Ok(name), Ok(namespace)) => Ok(Self { name, namespace }),
            // Both faults are reported at once.
            (name, namespace) => Err([
                ("metadata.name", name.err()),
                ("metadata.namespace", namespace.err()),
            ]
            .into_iter()
            .filter_map(|(path, problem)| {
                Some(Fault {
                    path: path.to_owned(),
                    problem: problem?,
                })
            })
            .collect()),
        }
    }
}

/// Pods by their labels.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WorkloadSelector {
    match_labels: Labels,
}

/// Listeners by their ports. A `mode` is never written: `SERVER` matches no listener of a gateway,
/// and the default matches them all.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Match {
    ports: Vec<PortSelector>,
}

/// A port that Envoy listens on: a Service's target port.
#[derive(Clone, Debug, Serialize)]
struct PortSelector {
    number: u16,
}

/// The position of a plugin in the filter chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "UPPERCASE")]
#[value(rename_all = "UPPER")]
pub(crate) enum Phase {
    /// Before Istio's authentication filters
    Authn,
    /// Before Istio's authorization filters and after its authentication filters
    Authz,
    /// Before Istio's stats filter and after its authorization filters
    Stats,
}

/// What a gateway does if it has no module, or if the module failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(
    clippy::enum_variant_names,
    reason = "the names are those of Istio's API"
)]
pub(crate) enum FailStrategy {
    /// Requests pass as if there were no filter
    FailOpen,
    /// Every request of every host of the gateway is refused
    FailClose,
    /// A module that failed is started again, from Istio 1.30 on
    FailReload,
}

/// The fields `selector` and `targetRefs` for an attachment. Both stay empty for every proxy.
pub(super) fn selection(attachment: Attachment) -> (Option<WorkloadSelector>, Vec<PolicyTarget>) {
    match attachment {
        Attachment::Selector(match_labels) => (Some(WorkloadSelector { match_labels }), vec![]),
        Attachment::Targets(targets) => (None, targets),
        Attachment::Everything => (None, vec![]),
    }
}

/// The field `match` for ports. It stays empty for all listeners.
pub(super) fn matches(ports: Vec<u16>) -> Vec<Match> {
    // Without the field, the resource applies to all listeners.
    if ports.is_empty() {
        return vec![];
    }
    vec![Match {
        ports: ports
            .into_iter()
            .map(|number| PortSelector { number })
            .collect(),
    }]
}
