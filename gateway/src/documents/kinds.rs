//! Adds a document to the resources of its kind.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::resources::envoy_filter::{ConfigPatch, EnvoyFilter};
use crate::resources::extensions::{Extension, ExtensionText};
use crate::resources::gateway_api::{Route, RouteKind, RouteText};
use crate::resources::kind::{
    GATEWAY_API, GATEWAY_API_EXPERIMENTAL, ISTIO, ISTIO_EXTENSIONS, ISTIO_SECURITY, KUBERNETES,
};
use crate::resources::kubernetes::{PodText, Pods, PodsKind, TagWebhook, WorkloadText};
use crate::resources::mesh::{ConfigMapText, MeshConfig, MeshConfigMap};
use crate::resources::secret::{Secret, SecretText};
use crate::resources::{Kind, Metadata, Origin, Resources};
use crate::revision_tags::is_tag;

const ADMISSION: &str = "admissionregistration.k8s.io";
const CERT_MANAGER: &str = "cert-manager.io";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    api_version: String,
    kind: String,
}

/// Adds a resource.
///
/// # Errors
/// The resource does not have the fields of its kind; the error is the problem, as a fragment.
pub(super) fn add(resources: &mut Resources, origin: &Origin, value: Value) -> Result<(), String> {
    let Ok(Header { api_version, kind }) = Header::deserialize(&value) else {
        return Err("expected a resource of Kubernetes, with apiVersion and kind".into());
    };
    // All versions that an API server serves have the same fields, so the version does not matter.
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let document = Document {
        origin,
        kind: &kind,
        value,
    };
    match (group, kind.as_str()) {
        (ISTIO, "Gateway") => {
            document.push(&mut resources.gateways, |r| &mut r.metadata)?;
            document.keep(Kind::Gateway, resources)
        }
        (ISTIO, "VirtualService") => {
            document.push(&mut resources.virtual_services, |r| &mut r.metadata)?;
            document.keep(Kind::VirtualService, resources)
        }
        (ISTIO, "EnvoyFilter") => {
            add_envoy_filter(resources, &document)?;
            // Plans search all EnvoyFilters for names.
            document.keep(Kind::EnvoyFilter, resources)
        }
        (GATEWAY_API | GATEWAY_API_EXPERIMENTAL, _) => add_gateway_api(resources, &document),
        (KUBERNETES, "Ingress") => document.push(&mut resources.ingresses, |r| &mut r.metadata),
        (KUBERNETES, "IngressClass") => {
            document.push(&mut resources.ingress_classes, |r| &mut r.metadata)
        }
        (ISTIO_EXTENSIONS, "WasmPlugin") => add_extension(resources, &document, Kind::WasmPlugin),
        (ISTIO_EXTENSIONS, "TrafficExtension") => {
            add_extension(resources, &document, Kind::TrafficExtension)
        }
        (ISTIO_SECURITY, "AuthorizationPolicy") => {
            document.push(&mut resources.authorization_policies, |r| &mut r.metadata)
        }
        ("", _) => add_core(resources, &document),
        (CERT_MANAGER, "Certificate") => {
            document.push(&mut resources.issued_certificates, |r| &mut r.metadata)
        }
        (ADMISSION, "MutatingWebhookConfiguration") => add_tag_webhook(resources, &document),
        ("apps", "Deployment") => add_workload(resources, &document, PodsKind::Deployment),
        ("apps", "DaemonSet") => add_workload(resources, &document, PodsKind::DaemonSet),
        ("apps", "StatefulSet") => add_workload(resources, &document, PodsKind::StatefulSet),
        // Users pass whole folders and clusters: other kinds are not faults.
        _ => Ok(()),
    }
}

fn add_gateway_api(resources: &mut Resources, document: &Document<'_>) -> Result<(), String> {
    match document.kind {
        "Gateway" => document.push(&mut resources.api_gateways, |r| &mut r.metadata),
        // The experimental kind has the same fields.
        "ListenerSet" | "XListenerSet" => {
            document.push(&mut resources.listener_sets, |r| &mut r.metadata)
        }
        "HTTPRoute" => add_route(resources, document, RouteKind::Http),
        "GRPCRoute" => add_route(resources, document, RouteKind::Grpc),
        "TCPRoute" => add_route(resources, document, RouteKind::Tcp),
        "TLSRoute" => add_route(resources, document, RouteKind::Tls),
        "ReferenceGrant" => document.push(&mut resources.reference_grants, |r| &mut r.metadata),
        "GatewayClass" => document.push(&mut resources.gateway_classes, |r| &mut r.metadata),
        _ => Ok(()),
    }
}

fn add_core(resources: &mut Resources, document: &Document<'_>) -> Result<(), String> {
    match document.kind {
        "Service" => document.push(&mut resources.services, |r| &mut r.metadata),
        "Namespace" => document.push(&mut resources.namespaces, |r| &mut r.metadata),
        "Pod" => {
            // A pod and the template of a Deployment have the labels in different fields.
            let mut pods = Pods::from(document.parse::<PodText>()?);
            document.locate(&mut pods.metadata);
            resources.pods.push(pods);
            Ok(())
        }
        "ConfigMap" => add_config_map(resources, document),
        "Secret" => {
            let text: SecretText = document.parse()?;
            let mut secret =
                Secret::try_from(text).map_err(|_| document.problem("data: expected base64"))?;
            document.locate(&mut secret.metadata);
            resources.secrets.push(secret);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Adds a ConfigMap of istiod. Other ConfigMaps are not for gateways.
fn add_config_map(resources: &mut Resources, document: &Document<'_>) -> Result<(), String> {
    let text: ConfigMapText = document.parse()?;
    if !text.is_of_istiod() {
        return Ok(());
    }
    let ConfigMapText { mut metadata, data } = text;
    // Istio has more ConfigMaps with such names, such as the templates of the injector.
    let Some(mesh) = data.mesh else {
        return Ok(());
    };
    let mesh = MeshConfig::parse(&mesh)
        .map_err(|error| document.problem(&format!("data.mesh: {}", error.problem)))?;
    document.locate(&mut metadata);
    resources
        .mesh_config_maps
        .push(MeshConfigMap { metadata, mesh });
    Ok(())
}

/// Adds a webhook that defines a revision tag. The webhooks of other programs are not for gateways.
fn add_tag_webhook(resources: &mut Resources, document: &Document<'_>) -> Result<(), String> {
    let mut webhook: TagWebhook = document.parse()?;
    if is_tag(&webhook.metadata.labels) {
        document.locate(&mut webhook.metadata);
        resources.tag_webhooks.push(webhook);
    }
    Ok(())
}

fn add_workload(
    resources: &mut Resources,
    document: &Document<'_>,
    kind: PodsKind,
) -> Result<(), String> {
    let mut pods = document.parse::<WorkloadText>()?.into_pods(kind);
    // A Deployment stands for its pods where the input has none of them.
    document.locate(&mut pods.metadata);
    resources.pods.push(pods);
    Ok(())
}

fn add_route(
    resources: &mut Resources,
    document: &Document<'_>,
    kind: RouteKind,
) -> Result<(), String> {
    let RouteText { mut metadata, spec } = document.parse()?;
    document.locate(&mut metadata);
    resources.routes.push(Route {
        kind,
        metadata,
        spec,
    });
    Ok(())
}

fn add_extension(
    resources: &mut Resources,
    document: &Document<'_>,
    kind: Kind,
) -> Result<(), String> {
    let ExtensionText { mut metadata, spec } = document.parse()?;
    document.locate(&mut metadata);
    resources.extensions.push(Extension {
        metadata,
        spec,
        kind,
    });
    Ok(())
}

fn add_envoy_filter(resources: &mut Resources, document: &Document<'_>) -> Result<(), String> {
    let mut filter: EnvoyFilter = document.parse()?;
    // Only Lua scripts can answer 421. The other patches of a cluster may be many and large.
    let patches = &mut filter.spec.config_patches;
    patches.retain(|patch| ConfigPatch::script(patch).is_some());
    // A filter without patches is kept: it may replace one with a script.
    document.locate(&mut filter.metadata);
    resources.envoy_filters.push(filter);
    Ok(())
}

#[derive(Deserialize)]
struct WithMetadata {
    metadata: Metadata,
}

struct Document<'d> {
    origin: &'d Origin,
    kind: &'d str,
    value: Value,
}

impl Document<'_> {
    fn push<T: DeserializeOwned>(
        &self,
        list: &mut Vec<T>,
        metadata: impl Fn(&mut T) -> &mut Metadata,
    ) -> Result<(), String> {
        let mut resource: T = self.parse()?;
        self.locate(metadata(&mut resource));
        list.push(resource);
        Ok(())
    }

    fn parse<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_path_to_error::deserialize(&self.value).map_err(|error| {
            // `.` is the path of the whole document.
            let problem = match error.path().to_string().as_str() {
                "." => error.inner().to_string(),
                path => format!("{path}: {}", error.inner()),
            };
            self.problem(&problem)
        })
    }

    /// Stores the manifest, if manifests are kept.
    fn keep(&self, kind: Kind, resources: &mut Resources) -> Result<(), String> {
        if resources.manifests.are_kept() {
            let WithMetadata { metadata } = self.parse()?;
            resources
                .manifests
                .set(&metadata.resource(kind), Some(self.value.clone()));
        }
        Ok(())
    }

    fn problem(&self, problem: &str) -> String {
        // The metadata is read field by field, since it may be the part that is wrong.
        let kind = self.kind;
        let name = self.text("/metadata/name").unwrap_or("without a name");
        match self.text("/metadata/namespace") {
            Some(namespace) => format!("{kind} {namespace}/{name}: {problem}"),
            None => format!("{kind} {name}: {problem}"),
        }
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.value.pointer(pointer).and_then(Value::as_str)
    }

    fn locate(&self, metadata: &mut Metadata) {
        metadata.origin = self.origin.clone();
    }
}
