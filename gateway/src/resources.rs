//! The resources that decide what a gateway serves, as they are written. [`Resources`] is a plain value:
//! a caller can change it and compute the model again.

pub(crate) mod authorization_policy;
pub(crate) mod envoy_filter;
pub(crate) mod extensions;
pub(crate) mod gateway_api;
mod gateway_name;
mod host;
pub mod istio;
pub(crate) mod kind;
pub(crate) mod kubernetes;
mod label_query;
mod manifests;
pub mod mesh;
mod overlay;
pub mod replaced;
pub(crate) mod secret;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use authorization_policy::AuthorizationPolicy;
use envoy_filter::EnvoyFilter;
use extensions::Extension;
use gateway_api::{ApiGateway, GatewayClass, ListenerSet, ReferenceGrant, Route};
pub use gateway_name::{GatewayName, GatewayReference};
pub(crate) use host::pattern;
pub use host::{HostText, InvalidHost, NamespacedHost};
use istio::{Gateway, VirtualService};
pub use kind::Kind;
use kubernetes::{Ingress, IngressClass, Namespace, Pods, Service, TagWebhook};
pub use label_query::{InvalidQuery, LabelQuery};
pub use manifests::Manifests;
use mesh::{MeshConfig, MeshConfigMap};
use secret::{IssuedCertificate, Secret};

/// All resources that were read. The order within a kind has no meaning.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    pub gateways: Vec<Gateway>,
    /// VirtualServices, delegates among them.
    pub virtual_services: Vec<VirtualService>,
    /// Gateways of the Gateway API.
    pub api_gateways: Vec<ApiGateway>,
    /// ListenerSets, which add listeners to Gateways of the Gateway API.
    pub listener_sets: Vec<ListenerSet>,
    /// Routes of the Gateway API.
    pub routes: Vec<Route>,
    /// `ReferenceGrants`, which allow references from other namespaces.
    pub reference_grants: Vec<ReferenceGrant>,
    /// `GatewayClasses`, which name the controller of a Gateway of the Gateway API.
    pub gateway_classes: Vec<GatewayClass>,
    pub ingresses: Vec<Ingress>,
    /// `IngressClasses`, which name the controller of an Ingress.
    pub ingress_classes: Vec<IngressClass>,
    pub services: Vec<Service>,
    /// Pods, and the Deployments and other workloads that create pods.
    pub pods: Vec<Pods>,
    /// Whether these are all pods of the cluster, so that a selector that matches none has no effect.
    pub has_all_pods: bool,
    pub secrets: Vec<Secret>,
    /// `Certificates` of cert-manager, which describe Secrets that the input may not contain.
    pub issued_certificates: Vec<IssuedCertificate>,
    pub namespaces: Vec<Namespace>,
    /// Webhooks that define revision tags.
    pub tag_webhooks: Vec<TagWebhook>,
    /// ConfigMaps with the mesh configuration of an istiod.
    pub mesh_config_maps: Vec<MeshConfigMap>,
    /// Whether no further ConfigMap of istiod is to be expected: the cluster has no other, or the user knows that they
    /// are missing. An istiod of the input without one has the default settings.
    pub has_all_mesh_configs: bool,
    /// A mesh configuration that the user gave. It takes precedence over all ConfigMaps.
    pub given_mesh_config: Option<MeshConfig>,
    /// `WasmPlugins` and `TrafficExtensions`, which install modules in gateways.
    pub extensions: Vec<Extension>,
    /// The `EnvoyFilters` that insert a Lua script.
    pub envoy_filters: Vec<EnvoyFilter>,
    /// The `AuthorizationPolicies`, which deny requests.
    pub authorization_policies: Vec<AuthorizationPolicy>,
    /// The manifests of resources that a plan can change.
    pub manifests: Manifests,
}

impl Resources {
    /// No resources yet. Those that are added keep their manifests, which plans need.
    #[must_use]
    pub fn with_manifests() -> Self {
        Self {
            manifests: Manifests::kept(),
            ..Self::default()
        }
    }

    /// The resources that have servers, by kind and metadata.
    pub fn with_servers(&self) -> impl Iterator<Item = (Kind, &Metadata)> {
        // The kinds whose entries istiod turns into servers.
        let mut found = Vec::new();
        for gateway in &self.gateways {
            found.push((Kind::Gateway, &gateway.metadata));
        }
        for gateway in &self.api_gateways {
            found.push((Kind::ApiGateway, &gateway.metadata));
        }
        for set in &self.listener_sets {
            found.push((Kind::ListenerSet, &set.metadata));
        }
        for ingress in &self.ingresses {
            found.push((Kind::Ingress, &ingress.metadata));
        }
        found.into_iter()
    }

    /// The metadata of the same resources, to change it.
    pub(crate) fn with_servers_mut(&mut self) -> impl Iterator<Item = &mut Metadata> {
        self.gateways
            .iter_mut()
            .map(|gateway| &mut gateway.metadata)
            .chain(
                self.api_gateways
                    .iter_mut()
                    .map(|gateway| &mut gateway.metadata),
            )
            .chain(self.listener_sets.iter_mut().map(|set| &mut set.metadata))
            .chain(
                self.ingresses
                    .iter_mut()
                    .map(|ingress| &mut ingress.metadata),
            )
    }

    /// Adds all resources of `other`.
    pub fn append(&mut self, other: Self) {
        // Without `..`: a new kind does not compile until it is appended here.
        let Self {
            gateways,
            virtual_services,
            api_gateways,
            listener_sets,
            routes,
            reference_grants,
            gateway_classes,
            ingresses,
            ingress_classes,
            services,
            pods,
            has_all_pods,
            secrets,
            issued_certificates,
            namespaces,
            tag_webhooks,
            mesh_config_maps,
            has_all_mesh_configs,
            given_mesh_config,
            extensions,
            envoy_filters,
            authorization_policies,
            manifests,
        } = other;
        self.gateways.extend(gateways);
        self.virtual_services.extend(virtual_services);
        self.api_gateways.extend(api_gateways);
        self.listener_sets.extend(listener_sets);
        self.routes.extend(routes);
        self.reference_grants.extend(reference_grants);
        self.gateway_classes.extend(gateway_classes);
        self.ingresses.extend(ingresses);
        self.ingress_classes.extend(ingress_classes);
        self.services.extend(services);
        self.pods.extend(pods);
        self.secrets.extend(secrets);
        self.issued_certificates.extend(issued_certificates);
        self.has_all_pods |= has_all_pods;
        self.namespaces.extend(namespaces);
        self.tag_webhooks.extend(tag_webhooks);
        self.has_all_mesh_configs |= has_all_mesh_configs;
        self.mesh_config_maps.extend(mesh_config_maps);
        self.given_mesh_config = given_mesh_config.or(self.given_mesh_config.take());
        self.extensions.extend(extensions);
        self.envoy_filters.extend(envoy_filters);
        self.authorization_policies.extend(authorization_policies);
        self.manifests.append(manifests);
    }
}

/// Labels, or a selector that requires each of its labels with the same value.
pub type Labels = BTreeMap<String, String>;

/// The position from which a document was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The path as the user gave it, `-` for standard input, empty for a cluster.
    pub file: Arc<str>,
    /// The line of its first character, counted from 1; 0 if it is unknown.
    pub line: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A cluster has no file, and a file in JSON no lines.
        match (&*self.file, self.line) {
            ("", _) => f.write_str("the cluster"),
            (file, 0) => f.write_str(file),
            (file, line) => write!(f, "{file}:{line}"),
        }
    }
}

impl Origin {
    /// The path and the line, if the origin is a line of a file.
    #[must_use]
    pub fn line_of_file(&self) -> Option<(&str, u64)> {
        // Editors and code scanners cannot open standard input.
        (self.line > 0 && &*self.file != "-").then_some((&*self.file, self.line))
    }
}

/// The metadata of a resource (Kubernetes `ObjectMeta`): the fields that the model uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub name: String,
    /// Its namespace; `default` if the manifest does not name one, as in kubectl. `null` and an empty name are
    /// not names.
    #[serde(default = "default_namespace", deserialize_with = "namespace")]
    pub namespace: String,
    /// The time of creation; `None` for a resource that is not in a cluster. istiod treats such a resource
    /// as older than all others.
    #[serde(default)]
    pub creation_timestamp: Option<DateTime<Utc>>,
    /// The time from which the resource is being deleted. It stays as long as it has finalizers.
    #[serde(default)]
    pub deletion_timestamp: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "nullable")]
    pub labels: Labels,
    #[serde(default, deserialize_with = "nullable")]
    pub annotations: Labels,
    #[serde(default, deserialize_with = "nullable")]
    pub owner_references: Vec<OwnerReference>,
    #[serde(skip)]
    pub origin: Origin,
}

/// The owner of a resource, such as the `ReplicaSet` of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OwnerReference {
    pub kind: String,
    pub name: String,
}

fn default_namespace() -> String {
    "default".into()
}

fn namespace<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    Ok(name
        .filter(|name| !name.is_empty())
        .unwrap_or_else(default_namespace))
}

/// The identity of a resource: no two have the same group, kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceName {
    /// Its kind and API group.
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
}

impl ResourceName {
    /// The resource as kubectl takes it, `KIND/NAME`. This is one word, so a name that begins with a dash is not
    /// an option.
    #[must_use]
    pub fn object_of_kubectl(&self) -> String {
        let kind = self.kind.name().to_ascii_lowercase();
        match (self.kind.group(), self.kind) {
            ("", _) => format!("{kind}/{}", self.name),
            (group, Kind::AuthorizationPolicy) => {
                format!("authorizationpolicies.{group}/{}", self.name)
            }
            // Istio and the Gateway API both have Gateways.
            (group, _) => format!("{kind}s.{group}/{}", self.name),
        }
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl Metadata {
    /// The identity of this resource, whose kind is `kind`.
    #[must_use]
    pub fn resource(&self, kind: Kind) -> ResourceName {
        ResourceName {
            kind,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

/// Reads a field in which an explicit `null` means that it is not set, as in Kubernetes.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
