//! The settings of istiod that change what it makes of resources.

use super::istio::{DEFAULT_CLASS, ROOT_NAMESPACE};
use super::resources::Resources;
use super::resources::kubernetes::Pods;
use super::resources::mesh::MeshConfig;

/// The revision of an istiod that is installed without a name.
pub(crate) const DEFAULT_REVISION: &str = "default";

/// The controller of `GatewayClasses` that istiod handles for gateways. Waypoints have another one.
const CONTROLLER: &str = "istio.io/gateway-controller";

/// The settings of one istiod. What the input does not show has istiod's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshSettings {
    /// The namespace whose plugins apply to all namespaces (`meshConfig.rootNamespace`).
    pub root_namespace: String,
    /// The namespaces that see a VirtualService without `exportTo`
    /// (`meshConfig.defaultVirtualServiceExportTo`).
    pub virtual_service_export_to: Vec<String>,
    /// Whether a Gateway selects pods of its own namespace only (`PILOT_SCOPE_GATEWAY_TO_NAMESPACE`).
    pub scopes_gateways_to_namespace: bool,
    /// The controller name in the `GatewayClasses` that istiod handles (`PILOT_GATEWAY_API_CONTROLLER_NAME`).
    pub gateway_controller: String,
    /// The class of istiod that needs no GatewayClass (`PILOT_GATEWAY_API_DEFAULT_GATEWAYCLASS_NAME`).
    pub gateway_class: String,
    /// Whether the mesh configuration is known: from a ConfigMap, or given by the caller.
    pub has_mesh_config: bool,
    /// Whether the environment of istiod is known, from its Deployment or Pod.
    pub has_environment: bool,
}

impl Default for MeshSettings {
    fn default() -> Self {
        Self {
            root_namespace: ROOT_NAMESPACE.into(),
            virtual_service_export_to: vec!["*".into()],
            scopes_gateways_to_namespace: false,
            gateway_controller: CONTROLLER.into(),
            gateway_class: DEFAULT_CLASS.into(),
            has_mesh_config: false,
            has_environment: false,
        }
    }
}

impl MeshSettings {
    /// The settings of the istiod of a revision; `None` if the input shows no revision.
    #[must_use]
    pub fn read(resources: &Resources, revision: Option<&str>) -> Self {
        let mut settings = Self::default();
        let istiod = find_istiod(resources, revision);
        if let Some(istiod) = istiod {
            settings.apply_environment(istiod);
        }
        // istiod reads the ConfigMap of its revision, in its own namespace.
        let revision = istiod.map(istiod_revision).or(revision);
        let namespace = istiod.map(|istiod| istiod.metadata.namespace.as_str());
        if let Some(mesh) = find_mesh_config(resources, revision, namespace) {
            settings.apply_mesh_config(mesh);
        }
        if let Some(given) = &resources.given_mesh_config {
            settings.apply_mesh_config(given);
        }
        settings
    }

    fn apply_mesh_config(&mut self, mesh: &MeshConfig) {
        self.has_mesh_config = true;
        if let Some(namespace) = &mesh.root_namespace
            && !namespace.is_empty()
        {
            self.root_namespace.clone_from(namespace);
        }
        // An empty list reads as a missing one in istiod, and means all namespaces (Istio
        // `pilot/pkg/model/push_context.go`, `initDefaultExportMaps`).
        if let Some(export_to) = &mesh.default_virtual_service_export_to
            && !export_to.is_empty()
        {
            self.virtual_service_export_to.clone_from(export_to);
        }
    }

    /// Reads the variables of `pilot/pkg/features/pilot.go`.
    fn apply_environment(&mut self, istiod: &Pods) {
        self.has_environment = true;
        let variables = &istiod.istiod_environment;
        // Go `strconv.ParseBool`, which istiod uses, takes these texts for true.
        if let Some(scope) = variables.get("PILOT_SCOPE_GATEWAY_TO_NAMESPACE") {
            self.scopes_gateways_to_namespace =
                matches!(scope.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True");
        }
        if let Some(name) = variables.get("PILOT_GATEWAY_API_CONTROLLER_NAME") {
            self.gateway_controller.clone_from(name);
        }
        if let Some(name) = variables.get("PILOT_GATEWAY_API_DEFAULT_GATEWAYCLASS_NAME") {
            self.gateway_class.clone_from(name);
        }
    }
}

/// The revision of an istiod: its variable `REVISION`, or its label.
pub(crate) fn istiod_revision(istiod: &Pods) -> &str {
    istiod
        .istiod_environment
        .get("REVISION")
        .or_else(|| istiod.labels.get(REVISION_LABEL))
        .map_or(DEFAULT_REVISION, String::as_str)
}

/// The label with the revision of a resource, or of the injection of a pod.
pub(crate) const REVISION_LABEL: &str = "istio.io/rev";

/// The istiod of a revision. A revision without an istiod in the input takes the settings of another one, which
/// are more likely than the defaults: usually all revisions are installed with the same values.
fn find_istiod<'r>(resources: &'r Resources, revision: Option<&str>) -> Option<&'r Pods> {
    let wanted = revision.unwrap_or(DEFAULT_REVISION);
    resources
        .pods
        .iter()
        .filter(|pods| pods.is_istiod())
        .min_by_key(|istiod| {
            let revision = istiod_revision(istiod);
            (
                revision != wanted,
                revision,
                &istiod.metadata.namespace,
                &istiod.metadata.name,
            )
        })
}

/// The mesh configuration of a revision (Istio `pilot/pkg/bootstrap/mesh.go`, `getMeshConfigMapName`).
fn find_mesh_config<'r>(
    resources: &'r Resources,
    revision: Option<&str>,
    namespace: Option<&str>,
) -> Option<&'r MeshConfig> {
    let name = match revision {
        None | Some("" | DEFAULT_REVISION) => "istio".to_owned(),
        Some(revision) => format!("istio-{revision}"),
    };
    let namespace = namespace.unwrap_or(ROOT_NAMESPACE);
    resources
        .mesh_config_maps
        .iter()
        .min_by_key(|map| {
            let metadata = &map.metadata;
            (
                metadata.name != name,
                metadata.namespace != namespace,
                &metadata.namespace,
                &metadata.name,
            )
        })
        .map(|map| &map.mesh)
}
