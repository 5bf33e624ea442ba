//! Envoy Gateway's `EnvoyExtensionPolicy` (`gateway.envoyproxy.io/v1alpha1`, Envoy Gateway
//! `api/v1alpha1/wasm_types.go`) with one Wasm extension.
//!
//! Fields with defaults of the API server are written, so that the resource in a cluster has no difference from
//! the one that was written.

use serde::Serialize;
use serde_json::Value;

use super::fields::Metadata;
use super::{Attachment, FailStrategy, ObjectName, PolicyTarget, Request};

/// The resource with the module as its only extension.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnvoyExtensionPolicy {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    target_refs: Vec<PolicyTarget>,
    wasm: [Extension; 1],
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Extension {
    code: Code,
    fail_open: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Value>,
}

#[derive(Clone, Debug, Serialize)]
struct Code {
    r#type: &'static str,
    image: Image,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_secret_ref: Option<SecretReference>,
}

#[derive(Clone, Debug, Serialize)]
struct SecretReference {
    group: &'static str,
    kind: &'static str,
    name: ObjectName,
}

impl From<Request> for EnvoyExtensionPolicy {
    fn from(request: Request) -> Self {
        // Attachment::parse allows only targets for this kind.
        let target_refs = match request.placement.attachment {
            Attachment::Targets(targets) => targets,
            Attachment::Selector(_) | Attachment::Everything => vec![],
        };
        let image = Image {
            url: request.image.url(),
            sha256: request.image.sha256().map(str::to_owned),
            pull_secret_ref: request.image_pull_secret.map(|name| SecretReference {
                group: "",
                kind: "Secret",
                name,
            }),
        };
        let extension = Extension {
            code: Code {
                r#type: "Image",
                image,
            },
            // The kind has no FAIL_RELOAD, which Request::parse refuses.
            fail_open: request.fail_strategy == FailStrategy::FailOpen,
            config: request.settings.into_configured(),
        };
        Self {
            api_version: "gateway.envoyproxy.io/v1alpha1",
            kind: request.kind.name(),
            metadata: request.placement.metadata,
            spec: Spec {
                target_refs,
                wasm: [extension],
            },
        }
    }
}
