//! Istio's `TrafficExtension` (`extensions.istio.io/v1alpha1`, Istio API
//! `extensions/v1alpha1/traffic_extension.proto`). Unlike in `WasmPlugin`, the fields of the module are in a
//! block `wasm`; a block `lua` has a script in its place.

use serde::Serialize;
use serde_json::Value;
use serde_saphyr::LitString;

use super::fields::{FailStrategy, Match, Metadata, Phase, WorkloadSelector, matches, selection};
use super::request::Placement;
use super::{FilterKind, ObjectName, PolicyTarget, Request, ScriptRequest};

/// The resource with the fields that are written.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TrafficExtension {
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
    phase: Phase,
    priority: i32,
    #[serde(rename = "match", skip_serializing_if = "Vec::is_empty")]
    matches: Vec<Match>,
    #[serde(flatten)]
    code: Code,
}

/// The code that the extension runs; the resource has exactly one of the two blocks.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Code {
    Wasm(Module),
    Lua(Script),
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Script {
    inline_code: LitString,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Module {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_pull_secret: Option<ObjectName>,
    fail_strategy: FailStrategy,
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin_config: Option<Value>,
}

impl From<Request> for TrafficExtension {
    fn from(request: Request) -> Self {
        let code = Code::Wasm(Module {
            url: request.image.url(),
            sha256: request.image.sha256().map(str::to_owned),
            image_pull_secret: request.image_pull_secret,
            fail_strategy: request.fail_strategy,
            plugin_config: request.settings.into_configured(),
        });
        Self::new(request.placement, code)
    }
}

impl From<ScriptRequest> for TrafficExtension {
    fn from(request: ScriptRequest) -> Self {
        let code = Code::Lua(Script {
            inline_code: LitString(request.script),
        });
        Self::new(request.placement, code)
    }
}

impl TrafficExtension {
    fn new(placement: Placement, code: Code) -> Self {
        let (selector, target_refs) = selection(placement.attachment);
        Self {
            api_version: "extensions.istio.io/v1alpha1",
            kind: FilterKind::TrafficExtension.name(),
            metadata: placement.metadata,
            spec: Spec {
                selector,
                target_refs,
                phase: placement.phase,
                priority: placement.priority,
                matches: matches(placement.ports),
                code,
            },
        }
    }
}
