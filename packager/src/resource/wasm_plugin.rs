//! Istio's `WasmPlugin` (`extensions.istio.io/v1alpha1`, Istio API `extensions/v1alpha1/wasm.proto`),
//! with the fields that the filter needs. istiod ignores `verificationKey`.

use serde::Serialize;
use serde_json::Value;

use super::fields::{FailStrategy, Match, Metadata, Phase, WorkloadSelector, matches, selection};
use super::{ObjectName, PolicyTarget, Request};

/// The resource with the fields that are written.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WasmPlugin {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<WorkloadSelector>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    target_refs: Vec<PolicyTarget>,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_pull_secret: Option<ObjectName>,
    phase: Phase,
    priority: i32,
    fail_strategy: FailStrategy,
    #[serde(rename = "match", skip_serializing_if = "Vec::is_empty")]
    matches: Vec<Match>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin_config: Option<Value>,
}

impl From<Request> for WasmPlugin {
    fn from(request: Request) -> Self {
        let (selector, target_refs) = selection(request.placement.attachment);
        Self {
            api_version: "extensions.istio.io/v1alpha1",
            kind: request.kind.name(),
            metadata: request.placement.metadata,
            spec: Spec {
                selector,
                target_refs,
                url: request.image.url(),
                sha256: request.image.sha256().map(str::to_owned),
                image_pull_secret: request.image_pull_secret,
                phase: request.placement.phase,
                priority: request.placement.priority,
                fail_strategy: request.fail_strategy,
                matches: matches(request.placement.ports),
                plugin_config: request.settings.into_configured(),
            },
        }
    }
}
