//! Istio's WasmPlugin and TrafficExtension (`extensions.istio.io/v1alpha1`): the fields that select gateways
//! and configure a module.

use serde::Deserialize;
use serde_json::Value;

use super::{Kind, Labels, Metadata, nullable};

/// A WasmPlugin or TrafficExtension.
#[derive(Clone, Debug, PartialEq)]
pub struct Extension {
    pub metadata: Metadata,
    pub spec: ExtensionSpec,
    pub kind: Kind,
}

/// The text form of an [`Extension`].
#[derive(Deserialize)]
pub(crate) struct ExtensionText {
    pub(crate) metadata: Metadata,
    pub(crate) spec: ExtensionSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtensionSpec {
    /// The pods; `None` for all pods of the namespace.
    #[serde(default)]
    pub selector: Option<ExtensionSelector>,
    /// The Gateways of the Gateway API; they replace the selector.
    #[serde(default, deserialize_with = "nullable")]
    pub target_refs: Vec<TargetRef>,
    /// The old form of `target_refs` in a WasmPlugin. Istio reads it only if `target_refs` is empty.
    #[serde(default)]
    pub target_ref: Option<TargetRef>,
    /// The listeners; an empty list means all.
    #[serde(default, rename = "match", deserialize_with = "nullable")]
    pub matches: Vec<TrafficMatch>,
    /// The position among Istio's filters: `AUTHN`, `AUTHZ` or `STATS`; by default after all of them.
    #[serde(default, deserialize_with = "nullable")]
    pub phase: String,
    /// The module of a TrafficExtension.
    #[serde(default)]
    pub wasm: Option<Module>,
    /// The Lua script of a TrafficExtension.
    #[serde(default)]
    pub lua: Option<Script>,
    /// The type of a WasmPlugin: `HTTP`, which is the default, or `NETWORK`.
    #[serde(default, rename = "type", deserialize_with = "nullable")]
    pub plugin_type: String,
    /// The address of the module of a WasmPlugin.
    #[serde(default, deserialize_with = "nullable")]
    pub url: String,
    /// The configuration of the module of a WasmPlugin.
    #[serde(default)]
    pub plugin_config: Option<Value>,
    /// The Secret to pull the module of a WasmPlugin with.
    #[serde(default, deserialize_with = "nullable")]
    pub image_pull_secret: String,
}

/// Pods by their labels.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtensionSelector {
    #[serde(default, deserialize_with = "nullable")]
    pub match_labels: Labels,
}

/// A reference to a resource (Istio API `type/v1beta1/selector.proto`, `PolicyTargetReference`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct TargetRef {
    /// The API group: both Istio and the Gateway API have a kind `Gateway`. Empty for Kubernetes' core.
    #[serde(default, deserialize_with = "nullable")]
    pub group: String,
    #[serde(default, deserialize_with = "nullable")]
    pub kind: String,
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
    /// The namespace; empty for the namespace of the resource that refers. Istio supports no other.
    #[serde(default, deserialize_with = "nullable")]
    pub namespace: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct TrafficMatch {
    /// `CLIENT`, `SERVER` or `CLIENT_AND_SERVER`. Listeners of gateways are `CLIENT`.
    #[serde(default, deserialize_with = "nullable")]
    pub mode: String,
    /// The ports that Envoy listens on; an empty list means all.
    #[serde(default, deserialize_with = "nullable")]
    pub ports: Vec<ExtensionPort>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ExtensionPort {
    pub number: u16,
}

/// A module with its configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Module {
    /// `HTTP`, which is the default, or `NETWORK`.
    #[serde(default, rename = "type", deserialize_with = "nullable")]
    pub plugin_type: String,
    #[serde(default, deserialize_with = "nullable")]
    pub url: String,
    #[serde(default)]
    pub plugin_config: Option<Value>,
    /// The Secret to pull the module with.
    #[serde(default, deserialize_with = "nullable")]
    pub image_pull_secret: String,
}

/// A Lua script (Istio API `extensions/v1alpha1/traffic_extension.proto`, `LuaConfig`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Script {
    #[serde(default, deserialize_with = "nullable")]
    pub inline_code: String,
}

impl Extension {
    /// The references that replace the selector (Istio `pilot/pkg/model/policyattachment.go`,
    /// `GetTargetRefs`).
    #[must_use]
    pub fn targets(&self) -> &[TargetRef] {
        // The kind TrafficExtension does not have the old field.
        if self.spec.target_refs.is_empty() && self.kind == Kind::WasmPlugin {
            self.spec.target_ref.as_slice()
        } else {
            &self.spec.target_refs
        }
    }

    /// The Lua script of a TrafficExtension, if it has one instead of a module.
    #[must_use]
    pub fn script(&self) -> Option<&str> {
        // Istio ignores `lua` beside `wasm` (`convertToTrafficExtensionWrapper` in
        // `pilot/pkg/model/extensions.go`), and the kind WasmPlugin has no such field.
        let is_module = self.spec.wasm.is_some() || self.kind == Kind::WasmPlugin;
        let script = self.spec.lua.as_ref().filter(|_| !is_module)?;
        Some(&script.inline_code)
    }

    /// The address of the module.
    #[must_use]
    pub fn url(&self) -> &str {
        // A TrafficExtension has the fields in `wasm`, a WasmPlugin has them in the specification itself.
        self.spec
            .wasm
            .as_ref()
            .map_or(&self.spec.url, |module| &module.url)
    }

    /// The Secret to pull the module with, if there is one.
    #[must_use]
    pub fn pull_secret(&self) -> Option<&str> {
        let name = match &self.spec.wasm {
            Some(module) => &module.image_pull_secret,
            None => &self.spec.image_pull_secret,
        };
        (!name.is_empty()).then_some(name)
    }

    /// Whether the module is a network filter, which reads no HTTP requests.
    #[must_use]
    pub fn is_network_filter(&self) -> bool {
        let plugin_type = match &self.spec.wasm {
            Some(module) => &module.plugin_type,
            None => &self.spec.plugin_type,
        };
        plugin_type == "NETWORK"
    }

    /// The configuration of the module.
    #[must_use]
    pub fn config(&self) -> Option<&Value> {
        match &self.spec.wasm {
            Some(module) => module.plugin_config.as_ref(),
            None => self.spec.plugin_config.as_ref(),
        }
    }
}
