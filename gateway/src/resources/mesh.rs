//! The mesh configuration of an istiod (Istio API `mesh/v1alpha1/config.proto`): the fields that the model uses.

use serde::{Deserialize, Deserializer};
use serde_saphyr::UserMessageFormatter;

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
    /// Which Ingresses istiod handles.
    #[serde(default)]
    pub ingress_controller_mode: Option<IngressControllerMode>,
    /// The class of Ingresses that istiod handles.
    #[serde(default)]
    pub ingress_class: Option<String>,
    /// The value of the label `istio` of the pods that serve Ingresses.
    #[serde(default)]
    pub ingress_selector: Option<String>,
    /// The Service of the pods that serve Ingresses, which replaces a missing `ingressSelector`.
    #[serde(default)]
    pub ingress_service: Option<String>,
}

/// The Ingresses that istiod handles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum IngressControllerMode {
    /// None.
    Off,
    /// Those with the class of istiod, as a class or an annotation.
    #[default]
    Strict,
    /// Those without a class too.
    Default,
}

/// Why a text is not a mesh configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidMeshConfig {
    /// The line of the error, counted from 1.
    pub line: u64,
    /// The problem, as a fragment without a full stop.
    pub problem: String,
}

impl MeshConfig {
    /// Reads the YAML of a mesh configuration.
    ///
    /// # Errors
    /// The text is not YAML, or a field has the wrong type.
    pub fn parse(text: &str) -> Result<Self, InvalidMeshConfig> {
        // An empty text is a configuration without fields, as it is for istiod.
        serde_saphyr::from_str::<Option<Self>>(text)
            .map(Option::unwrap_or_default)
            .map_err(|error| {
                let message = error
                    .without_snippet()
                    .render_with_formatter(&UserMessageFormatter);
                // A message is one line. The number of the line is a field of its own.
                let problem = message
                    .split_once(" at line ")
                    .map_or(message.as_str(), |(problem, _)| problem);
                let problem: Vec<&str> = problem.lines().map(str::trim).collect();
                InvalidMeshConfig {
                    line: error.location().map_or(1, |location| location.line()),
                    problem: problem.join(" "),
                }
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

#[cfg(test)]
mod tests {
    use super::{IngressControllerMode, MeshConfig};

    #[test]
    fn fields_of_the_mesh() {
        let mesh = MeshConfig::parse(
            "accessLogFile: /dev/stdout\ndefaultVirtualServiceExportTo: [\".\"]\n\
             rootNamespace: istio\ningressControllerMode: DEFAULT\n",
        )
        .unwrap();
        assert_eq!(
            mesh.default_virtual_service_export_to,
            Some(vec![".".to_owned()])
        );
        assert_eq!(mesh.root_namespace.as_deref(), Some("istio"));
        assert_eq!(
            mesh.ingress_controller_mode,
            Some(IngressControllerMode::Default)
        );
        for text in ["", "# nothing\n", "{}"] {
            assert_eq!(MeshConfig::parse(text), Ok(MeshConfig::default()), "{text}");
        }
        let error = MeshConfig::parse("rootNamespace: istio\nenableTracing: [\n").unwrap_err();
        assert!(error.line > 1 && !error.problem.contains('\n'), "{error:?}");
        assert!(MeshConfig::parse("rootNamespace: [istio]").is_err());
    }
}
