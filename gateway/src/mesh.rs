//! The settings of istiod that change what it makes of resources.

use super::istio::{DEFAULT_CLASS, DEFAULT_SELECTOR, ROOT_NAMESPACE};
use super::resources::Resources;
use super::resources::kubernetes::Pods;
use super::resources::mesh::{IngressControllerMode, MeshConfig};

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
    /// Which Ingresses istiod handles (`meshConfig.ingressControllerMode`).
    pub ingress_controller_mode: IngressControllerMode,
    /// The class of Ingresses that istiod handles (`meshConfig.ingressClass`).
    pub ingress_class: String,
    /// The value of the label `istio` of the pods that serve Ingresses (`meshConfig.ingressSelector` and
    /// `ingressService`).
    pub ingress_selector: String,
    /// Whether the mesh configuration is known: from a ConfigMap, from the fact that the cluster has none, or given by
    /// the caller.
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
            ingress_controller_mode: IngressControllerMode::default(),
            ingress_class: DEFAULT_CLASS.into(),
            ingress_selector: DEFAULT_SELECTOR.1.into(),
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
        } else if istiod.is_some() && resources.has_all_mesh_configs {
            // istiod has its defaults without a ConfigMap (Istio `pilot/pkg/bootstrap/mesh.go`). An istiod outside
            // of the cluster reads its ConfigMap elsewhere.
            settings.has_mesh_config = true;
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
        if let Some(mode) = mesh.ingress_controller_mode {
            self.ingress_controller_mode = mode;
        }
        if let Some(class) = &mesh.ingress_class {
            self.ingress_class.clone_from(class);
        }
        // The Service replaces a missing selector, except for the one of a default installation (Istio
        // `pilot/pkg/config/kube/ingress/gateways.go`, `getIngressGatewaySelector`).
        let selector = mesh.ingress_selector.iter();
        let service = mesh
            .ingress_service
            .iter()
            .filter(|service| *service != "istio-ingressgateway");
        if let Some(value) = selector.chain(service).find(|value| !value.is_empty()) {
            self.ingress_selector.clone_from(value);
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

#[cfg(test)]
mod tests {
    use super::MeshSettings;
    use crate::Resources;
    use crate::documents::read;
    use crate::resources::mesh::MeshConfig;

    fn config_map(name: &str, namespace: &str, root: &str) -> String {
        format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: {namespace}}}, \
             data: {{mesh: 'rootNamespace: {root}'}}}}\n---\n"
        )
    }

    fn istiod(namespace: &str, revision: &str, environment: &str) -> String {
        format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: istiod-{revision}, \
             namespace: {namespace}}}, spec: {{template: {{metadata: {{labels: {{app: istiod, \
             istio.io/rev: {revision}}}}}, spec: {{containers: [{{name: discovery, env: \
             [{environment}]}}]}}}}}}}}\n---\n"
        )
    }

    fn resources(text: &str) -> Resources {
        let mut resources = Resources::default();
        assert_eq!(read("input.yaml", text, &mut resources), []);
        resources
    }

    #[track_caller]
    fn check_root(text: &str, revision: Option<&str>, expected: &str) {
        let settings = MeshSettings::read(&resources(text), revision);
        assert_eq!(settings.root_namespace, expected, "{revision:?} {text}");
    }

    #[test]
    fn each_revision_has_a_config_map() {
        let both = config_map("istio", "istio-system", "a")
            + &config_map("istio-canary", "istio-system", "b");
        check_root(&both, None, "a");
        check_root(&both, Some("default"), "a");
        check_root(&both, Some("canary"), "b");
        // The settings of another revision are more likely than istiod's defaults.
        check_root(&both, Some("stable"), "a");
        check_root("", None, "istio-system");
        // Other ConfigMaps of Istio have no mesh configuration.
        check_root(
            &config_map("mesh-istio", "istio-system", "c"),
            None,
            "istio-system",
        );
    }

    #[test]
    fn istiod_reads_the_config_map_of_its_namespace() {
        let maps = config_map("istio", "istio-system", "a") + &config_map("istio", "control", "b");
        check_root(&maps, None, "a");
        check_root(&(maps + &istiod("control", "default", "")), None, "b");
    }

    #[test]
    fn a_given_configuration_wins() {
        let mut resources = resources(&config_map("istio", "istio-system", "a"));
        resources.given_mesh_config = Some(MeshConfig {
            root_namespace: Some("given".into()),
            ..MeshConfig::default()
        });
        assert_eq!(MeshSettings::read(&resources, None).root_namespace, "given");
    }

    #[test]
    fn variables_of_istiod() {
        for (value, expected) in [
            ("true", true),
            ("1", true),
            ("false", false),
            ("yes", false),
        ] {
            let variable = format!("{{name: PILOT_SCOPE_GATEWAY_TO_NAMESPACE, value: '{value}'}}");
            let settings = MeshSettings::read(
                &resources(&istiod("istio-system", "default", &variable)),
                None,
            );
            assert_eq!(settings.scopes_gateways_to_namespace, expected, "{value}");
            assert!(settings.has_environment && !settings.has_mesh_config);
        }
        let without = MeshSettings::read(&Resources::default(), None);
        assert_eq!(without, MeshSettings::default());
    }
}
