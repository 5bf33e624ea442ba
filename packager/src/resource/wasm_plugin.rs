//! Istio's WasmPlugin (`extensions.istio.io/v1alpha1`, Istio API `extensions/v1alpha1/wasm.proto`),
//! as far as the filter needs it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{Attachment, Request};

/// The resource.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WasmPlugin {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: Spec,
}

/// Its name and place.
#[derive(Clone, Debug, Serialize)]
pub struct Metadata {
    name: String,
    namespace: String,
}

/// What it asks for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<WorkloadSelector>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    target_refs: Vec<PolicyTarget>,
    url: String,
    sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_pull_secret: Option<String>,
    phase: Phase,
    priority: i32,
    fail_strategy: FailStrategy,
    #[serde(rename = "match", skip_serializing_if = "Vec::is_empty")]
    matches: Vec<Match>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin_config: Option<Value>,
}

/// Pods by their labels.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadSelector {
    match_labels: BTreeMap<String, String>,
}

/// A gateway of the Gateway API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyTarget {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) name: String,
}

/// Listeners by their ports.
#[derive(Clone, Debug, Serialize)]
pub struct Match {
    ports: Vec<PortSelector>,
}

/// A port that Envoy listens on: a Service's target port.
#[derive(Clone, Debug, Serialize)]
pub struct PortSelector {
    number: u16,
}

/// Where a plugin goes in the filter chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "UPPERCASE")]
#[value(rename_all = "UPPER")]
pub enum Phase {
    /// Before Istio's authentication filters.
    Authn,
    /// Before Istio's authorization filters and after its authentication filters.
    Authz,
    /// Before Istio's stats filter and after its authorization filters.
    Stats,
}

/// What a gateway does without the module, or after the module failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailStrategy {
    /// Requests pass as if there were no filter
    FailOpen,
    /// Every request of the gateway is refused: for those who use the filter as a boundary
    FailClose,
}

impl From<Request> for WasmPlugin {
    fn from(request: Request) -> Self {
        let (selector, target_refs) = match request.attachment {
            Attachment::Selector(match_labels) => (Some(WorkloadSelector { match_labels }), vec![]),
            Attachment::Targets(targets) => (None, targets),
            Attachment::Everything => (None, vec![]),
        };
        let ports: Vec<_> =
            request.ports.into_iter().map(|number| PortSelector { number }).collect();
        // An empty object would arrive as no configuration anyway.
        let configured = !request.settings.is_empty();
        Self {
            api_version: "extensions.istio.io/v1alpha1",
            kind: "WasmPlugin",
            metadata: Metadata { name: request.name, namespace: request.namespace },
            spec: Spec {
                selector,
                target_refs,
                url: request.image.url(),
                sha256: request.image.sha256().to_owned(),
                image_pull_secret: request.image_pull_secret,
                phase: request.phase,
                priority: request.priority,
                fail_strategy: request.fail_strategy,
                matches: if ports.is_empty() { vec![] } else { vec![Match { ports }] },
                plugin_config: configured.then(|| request.settings.into_value()),
            },
        }
    }
}
