//! Istio's `EnvoyFilter` (`networking.istio.io/v1alpha3`, Istio API `networking/v1alpha3/envoy_filter.proto`) with a
//! Lua script.

use std::collections::BTreeMap;

use gateway::istio::GATEWAY_NAME_LABEL;
use serde::Serialize;
use serde_json::{Value, json};
use serde_saphyr::LitString;

use super::Attachment;
use super::fields::Metadata;
use super::script::{ScriptKind, ScriptRequest};

/// The resource with the fields that are written.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnvoyFilter {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(skip_serializing_if = "Option::is_none")]
    workload_selector: Option<WorkloadSelector>,
    config_patches: Vec<ConfigPatch>,
}

#[derive(Clone, Debug, Serialize)]
struct WorkloadSelector {
    labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigPatch {
    apply_to: &'static str,
    #[serde(rename = "match")]
    matches: Value,
    patch: Patch,
}

#[derive(Clone, Debug, Serialize)]
struct Patch {
    operation: &'static str,
    value: Filter,
}

/// Envoy's `HttpFilter`.
#[derive(Clone, Debug, Serialize)]
struct Filter {
    name: String,
    typed_config: Lua,
}

#[derive(Clone, Debug, Serialize)]
struct Lua {
    #[serde(rename = "@type")]
    type_url: &'static str,
    default_source_code: DataSource,
}

#[derive(Clone, Debug, Serialize)]
struct DataSource {
    inline_string: LitString,
}

impl From<ScriptRequest> for EnvoyFilter {
    fn from(request: ScriptRequest) -> Self {
        let filter = Filter {
            name: request.placement.metadata.name.to_string(),
            typed_config: Lua {
                type_url: "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
                default_source_code: DataSource {
                    inline_string: LitString(request.script),
                },
            },
        };
        // A patch matches one port or all of them.
        let ports: Vec<Option<u16>> = if request.placement.ports.is_empty() {
            vec![None]
        } else {
            request.placement.ports.into_iter().map(Some).collect()
        };
        let config_patches = ports
            .into_iter()
            .map(|port| ConfigPatch {
                apply_to: "HTTP_FILTER",
                matches: matches(port),
                patch: Patch {
                    // Before every filter that could answer for the wrong host, such as one that requires a token.
                    operation: "INSERT_FIRST",
                    value: filter.clone(),
                },
            })
            .collect();
        Self {
            api_version: "networking.istio.io/v1alpha3",
            kind: ScriptKind::EnvoyFilter.name(),
            metadata: request.placement.metadata,
            spec: Spec {
                workload_selector: selector(&request.placement.attachment)
                    .map(|labels| WorkloadSelector { labels }),
                config_patches,
            },
        }
    }
}

/// The filter chains for HTTP of gateways.
fn matches(port: Option<u16>) -> Value {
    let filter_chain =
        json!({ "filter": { "name": "envoy.filters.network.http_connection_manager" } });
    let listener = match port {
        None => json!({ "filterChain": filter_chain }),
        Some(port) => json!({ "portNumber": port, "filterChain": filter_chain }),
    };
    json!({ "context": "GATEWAY", "listener": listener })
}

fn selector(attachment: &Attachment) -> Option<BTreeMap<String, String>> {
    match attachment {
        Attachment::Everything => None,
        Attachment::Selector(labels) => Some(
            labels
                .iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        ),
        // A validated request has one target at most.
        Attachment::Targets(targets) => Some(
            targets
                .iter()
                .map(|target| (GATEWAY_NAME_LABEL.to_owned(), target.name()))
                .collect(),
        ),
    }
}
