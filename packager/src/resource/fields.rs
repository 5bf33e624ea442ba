//! What `WasmPlugin` and `TrafficExtension` have in common (Istio API `extensions/v1alpha1`).

use anyhow::{Result, bail};
use rule::Fault;
use serde::Serialize;

use super::attachment::refuse;
use super::{Attachment, Labels, ManifestKind, Namespace, ObjectName, PolicyTarget};

/// The name and place of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Metadata {
    /// Its name.
    pub(crate) name: ObjectName,
    /// The gateway's namespace.
    pub(crate) namespace: Namespace,
}

impl Metadata {
    /// Reads a name and a namespace.
    ///
    /// # Errors
    /// The API server refuses one of them; both faults are reported at once.
    pub(crate) fn parse(kind: ManifestKind, name: &str, namespace: &str) -> Result<Self> {
        let fault = |path: &str, problem: String| Fault {
            path: path.to_owned(),
            problem,
        };
        match (ObjectName::parse(name), Namespace::parse(namespace)) {
            (Ok(name), Ok(namespace)) => Ok(Self { name, namespace }),
            (name, namespace) => {
                let name = name.err().map(|problem| fault("metadata.name", problem));
                let namespace = namespace
                    .err()
                    .map(|problem| fault("metadata.namespace", problem));
                refuse(kind, name.into_iter().chain(namespace).collect())?;
                bail!("{} has a name that cannot be read", kind.name())
            }
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

/// Where a plugin goes in the filter chain.
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

/// What a gateway does without the module, or after the module failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum FailStrategy {
    /// Requests pass as if there were no filter
    FailOpen,
    /// Every request of every host of the gateway is refused
    FailClose,
    /// A module that failed is started again, from Istio 1.30 on
    FailReload,
}

/// The two ways to say where a plugin runs; neither for everywhere.
pub(super) fn selection(attachment: Attachment) -> (Option<WorkloadSelector>, Vec<PolicyTarget>) {
    match attachment {
        Attachment::Selector(match_labels) => (Some(WorkloadSelector { match_labels }), vec![]),
        Attachment::Targets(targets) => (None, targets),
        Attachment::Everything => (None, vec![]),
    }
}

/// The listeners with certain ports; nothing for all of them.
pub(super) fn matches(ports: Vec<u16>) -> Vec<Match> {
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
