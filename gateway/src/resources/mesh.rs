//! The mesh configuration of an istiod (Istio API `mesh/v1alpha1/config.proto`): the fields that the model uses.

use serde::{Deserialize, Deserializer};

use super::{Metadata, nullable};

/// The mesh configuration, as istiod reads it from a ConfigMap or a file. A field that is not set has the
/// default of istiod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MeshConfig {
    /// The namespaces that see a VirtualService without `exportTo`.
    #[serde(default)]
    pub default_virtual_service_export_to: Option<Vec<String>>,
    /// The namespace whose plugins apply to all namespaces.
    #[serde(default)]
    pub root_namespace: Option<String>,
}

impl MeshConfig {
    /// Reads the YAML of a mesh configuration.
    ///
    /// # Errors
    /// The text is not YAML, or a field has the wrong type.
    pub fn parse(text: &str) -> Result<Self, String> {
        // An empty text is a configuration without fields, as it is for istiod.
        serde_saphyr::from_str::<Option<Self>>(text)
            .map(Option::unwrap_or_default)
            .map_err(|error| {
                let message = error.without_snippet().to_string();
                message.lines().map(str::trim).collect::<Vec<_>>().join(" ")
            })
    }
}

/// A ConfigMap with a mesh configuration: `istio`, or `istio-REVISION` (Istio `pilot/pkg/bootstrap/mesh.go`,
/// `getMeshConfigMapName`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshConfigMap {
    pub metadata: Metadata,
    pub mesh: MeshConfig,
}

/// The text form of a ConfigMap.
#[derive(Deserialize)]
pub(crate) struct ConfigMapText {
    pub(crate) metadata: Metadata,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) data: ConfigMapData,
}

#[derive(Default, Deserialize)]
pub(crate) struct ConfigMapData {
    /// The mesh configuration, as YAML in a text.
    #[serde(default, deserialize_with = "text")]
    pub(crate) mesh: Option<String>,
}

/// A text, and nothing for any other value: a ConfigMap of another program can have a key `mesh` too.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_str().map(str::to_owned))
}

impl ConfigMapText {
    /// Whether the name is one of those that istiod reads.
    pub(crate) fn is_of_istiod(&self) -> bool {
        let name = &self.metadata.name;
        name == "istio" || name.starts_with("istio-")
    }
}
