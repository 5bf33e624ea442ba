//! Istio's `EnvoyFilter` (Istio API `networking/v1alpha3/envoy_filter.proto`): the fields that show which HTTP
//! filters it inserts into gateways.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::extensions::TargetRef;
use super::{Labels, Metadata, nullable};

/// An `EnvoyFilter`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct EnvoyFilter {
    pub metadata: Metadata,
    /// Absent in a resource without any patch.
    #[serde(default, deserialize_with = "nullable")]
    pub spec: EnvoyFilterSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvoyFilterSpec {
    /// The pods; `None` for all pods of the namespace.
    #[serde(default)]
    pub workload_selector: Option<EnvoyFilterSelector>,
    /// The Gateways of the Gateway API; they replace the selector.
    #[serde(default, deserialize_with = "nullable")]
    pub target_refs: Vec<TargetRef>,
    #[serde(default, deserialize_with = "nullable")]
    pub config_patches: Vec<ConfigPatch>,
}

/// Pods by their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct EnvoyFilterSelector {
    #[serde(default, deserialize_with = "nullable")]
    pub labels: Labels,
}

/// A change of Envoy's configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigPatch {
    /// The changed object, such as `HTTP_FILTER`.
    #[serde(default, deserialize_with = "nullable")]
    pub apply_to: String,
    #[serde(default, rename = "match", deserialize_with = "nullable")]
    pub matched: PatchMatch,
    #[serde(default, deserialize_with = "nullable")]
    pub patch: Patch,
}

/// The objects that a patch applies to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct PatchMatch {
    /// `GATEWAY`, `SIDECAR_INBOUND`, `SIDECAR_OUTBOUND`, or `ANY`; empty for `ANY`.
    #[serde(default, deserialize_with = "nullable")]
    pub context: String,
    /// A condition for the proxy, such as a regular expression for its version.
    #[serde(default)]
    pub proxy: Option<Value>,
    #[serde(default, deserialize_with = "nullable")]
    pub listener: ListenerMatch,
}

/// The listeners that a patch applies to. An empty field matches all.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerMatch {
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
    /// The port that Envoy listens on; 0 for all ports.
    #[serde(default, deserialize_with = "nullable")]
    pub port_number: u32,
    #[serde(default, deserialize_with = "nullable")]
    pub filter_chain: FilterChainMatch,
}

/// The filter chains that a patch applies to. An empty field matches all.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct FilterChainMatch {
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
    /// A server name, exactly as the filter chain has it.
    #[serde(default, deserialize_with = "nullable")]
    pub sni: String,
    /// The filter beside which the patch inserts.
    #[serde(default, deserialize_with = "nullable")]
    pub filter: FilterMatch,
    /// Further conditions, such as a transport protocol.
    #[serde(flatten)]
    pub others: BTreeMap<String, Value>,
}

/// A network filter, and an HTTP filter in it. An empty name matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterMatch {
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
    #[serde(default, deserialize_with = "nullable")]
    pub sub_filter: SubFilterMatch,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct SubFilterMatch {
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
}

/// The new content.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Patch {
    /// The way of the change, such as `INSERT_FIRST`.
    #[serde(default, deserialize_with = "nullable")]
    pub operation: String,
    /// The object in Envoy's API.
    #[serde(default)]
    pub value: Value,
}

impl ConfigPatch {
    /// Whether the patch inserts before all other filters.
    pub(crate) fn is_first(&self) -> bool {
        self.patch.operation == "INSERT_FIRST"
    }

    /// The Lua script of an HTTP filter that the patch inserts.
    #[must_use]
    pub fn script(&self) -> Option<&str> {
        let is_inserted = matches!(
            self.patch.operation.as_str(),
            "ADD" | "INSERT_FIRST" | "INSERT_BEFORE" | "INSERT_AFTER"
        );
        if self.apply_to != "HTTP_FILTER" || !is_inserted {
            return None;
        }
        // Envoy's API in JSON accepts both spellings of a field. `inline_code` is the old form of the field
        // (Envoy API `extensions/filters/http/lua/v3/lua.proto`).
        let config = field(&self.patch.value, "typed_config", "typedConfig")?;
        let code = match field(config, "default_source_code", "defaultSourceCode") {
            Some(source) => field(source, "inline_string", "inlineString"),
            None => field(config, "inline_code", "inlineCode"),
        };
        code.and_then(Value::as_str)
    }
}

fn field<'v>(value: &'v Value, name: &str, camel_case: &str) -> Option<&'v Value> {
    value.get(name).or_else(|| value.get(camel_case))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::ConfigPatch;
    use crate::Resources;
    use crate::documents::read;

    fn patch(operation: &str, config: &Value) -> Value {
        json!({
            "applyTo": "HTTP_FILTER",
            "match": { "context": "GATEWAY" },
            "patch": { "operation": operation, "value": { "name": "lua", "typed_config": config } },
        })
    }

    #[track_caller]
    fn check(patch: Value, expected: Option<&str>) {
        let patch: ConfigPatch = serde_json::from_value(patch).unwrap();
        assert_eq!(patch.script(), expected, "{patch:?}");
    }

    #[test]
    fn every_form_of_a_script_is_read() {
        let current = json!({ "default_source_code": { "inline_string": "code" } });
        for operation in ["ADD", "INSERT_FIRST", "INSERT_BEFORE", "INSERT_AFTER"] {
            check(patch(operation, &current), Some("code"));
        }
        let camel_case = json!({ "defaultSourceCode": { "inlineString": "code" } });
        check(patch("ADD", &camel_case), Some("code"));
        check(
            patch("ADD", &json!({ "inline_code": "code" })),
            Some("code"),
        );
        check(patch("ADD", &json!({ "inlineCode": "code" })), Some("code"));
    }

    #[test]
    fn other_patches_have_no_script() {
        let current = json!({ "default_source_code": { "inline_string": "code" } });
        check(patch("REMOVE", &current), None);
        check(patch("MERGE", &current), None);
        check(
            patch(
                "ADD",
                &json!({ "default_source_code": { "filename": "a.lua" } }),
            ),
            None,
        );
        check(patch("ADD", &json!(null)), None);
        check(
            json!({ "applyTo": "CLUSTER", "match": null, "patch": null }),
            None,
        );
        check(json!({}), None);
    }

    /// The number of patches that are kept, and of faults.
    fn count(spec: &Value) -> (usize, usize) {
        let filter = json!({
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "EnvoyFilter",
            "metadata": { "name": "lua", "namespace": "istio-system" },
            "spec": spec,
        });
        let mut resources = Resources::default();
        let faults = read("input.yaml", filter.to_string(), &mut resources);
        let patches = resources
            .envoy_filters
            .iter()
            .map(|filter| filter.spec.config_patches.len())
            .sum();
        (patches, faults.len())
    }

    #[test]
    fn only_patches_with_scripts_are_kept() {
        let script = patch("ADD", &json!({ "inline_code": "code" }));
        assert_eq!(count(&json!({ "configPatches": [script] })), (1, 0));
        assert_eq!(
            count(&json!({ "configPatches": [patch("ADD", &json!({}))] })),
            (0, 0)
        );
        assert_eq!(count(&json!({})), (0, 0));
        assert_eq!(count(&json!(null)), (0, 0));
        assert_eq!(count(&json!({ "configPatches": {} })), (0, 1));
    }
}
