//! The resources that decide what a gateway serves, as they were written. A plain value: edit it and
//! model it again.

pub mod extensions;
pub mod gateway_api;
pub mod istio;
pub(crate) mod kind;
pub mod kubernetes;
mod manifests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rule::HostPattern;
use rule::host::PatternError;
use serde::Deserialize;

use extensions::Extension;
use gateway_api::{ApiGateway, GatewayClass, ListenerSet, ReferenceGrant, Route};
use istio::{Gateway, VirtualService};
pub use kind::Kind;
use kubernetes::{Ingress, IngressClass, Namespace, Pods, Secret, Service};
pub use manifests::Manifests;

/// Everything that was read. The order within a kind means nothing.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// Istio's own Gateways.
    pub gateways: Vec<Gateway>,
    /// VirtualServices, delegates among them.
    pub virtual_services: Vec<VirtualService>,
    /// Gateways of the Gateway API.
    pub api_gateways: Vec<ApiGateway>,
    /// Listeners that others add to those.
    pub listener_sets: Vec<ListenerSet>,
    /// Routes of the Gateway API.
    pub routes: Vec<Route>,
    /// What may be referenced from other namespaces.
    pub reference_grants: Vec<ReferenceGrant>,
    /// Who is in charge of a Gateway of the Gateway API.
    pub gateway_classes: Vec<GatewayClass>,
    /// Ingresses.
    pub ingresses: Vec<Ingress>,
    /// Who is in charge of an Ingress.
    pub ingress_classes: Vec<IngressClass>,
    /// Services.
    pub services: Vec<Service>,
    /// Pods, and what makes pods.
    pub pods: Vec<Pods>,
    /// Secrets.
    pub secrets: Vec<Secret>,
    /// Namespaces.
    pub namespaces: Vec<Namespace>,
    /// Modules of gateways.
    pub extensions: Vec<Extension>,
    /// What a plan changes, as it was written.
    pub manifests: Manifests,
}

impl Resources {
    /// None, of which those that follow are to keep their manifests.
    #[must_use]
    pub fn with_manifests() -> Self {
        Self {
            manifests: Manifests::kept(),
            ..Self::default()
        }
    }

    /// The resources that have servers, by kind and metadata.
    pub fn with_servers(&self) -> impl Iterator<Item = (Kind, &Metadata)> {
        let Self {
            gateways,
            api_gateways,
            listener_sets,
            ingresses,
            ..
        } = self;
        let classic = gateways
            .iter()
            .map(|gateway| (Kind::Gateway, &gateway.metadata));
        let api = api_gateways
            .iter()
            .map(|gateway| (Kind::ApiGateway, &gateway.metadata));
        let sets = listener_sets
            .iter()
            .map(|set| (Kind::ListenerSet, &set.metadata));
        let ingresses = ingresses
            .iter()
            .map(|ingress| (Kind::Ingress, &ingress.metadata));
        classic.chain(api).chain(sets).chain(ingresses)
    }

    /// Adds others.
    pub fn append(&mut self, mut other: Self) {
        self.gateways.append(&mut other.gateways);
        self.virtual_services.append(&mut other.virtual_services);
        self.api_gateways.append(&mut other.api_gateways);
        self.listener_sets.append(&mut other.listener_sets);
        self.routes.append(&mut other.routes);
        self.reference_grants.append(&mut other.reference_grants);
        self.gateway_classes.append(&mut other.gateway_classes);
        self.ingresses.append(&mut other.ingresses);
        self.ingress_classes.append(&mut other.ingress_classes);
        self.services.append(&mut other.services);
        self.pods.append(&mut other.pods);
        self.secrets.append(&mut other.secrets);
        self.namespaces.append(&mut other.namespaces);
        self.extensions.append(&mut other.extensions);
        self.manifests.append(other.manifests);
    }
}

/// Labels, or a selector of equal labels.
pub type Labels = BTreeMap<String, String>;

/// Where a document was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The file as it was named, `-` for standard input, empty for a cluster.
    pub file: Arc<str>,
    /// The line of its first character, from 1; 0 where there is none.
    pub line: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.file, self.line) {
            ("", _) => f.write_str("the cluster"),
            (file, 0) => f.write_str(file),
            (file, line) => write!(f, "{file}:{line}"),
        }
    }
}

impl Origin {
    /// The path and the line, where it is a line of a file.
    #[must_use]
    pub fn line_of_file(&self) -> Option<(&str, u64)> {
        (self.line > 0 && &*self.file != "-").then_some((&*self.file, self.line))
    }
}

/// The metadata of a resource (Kubernetes `ObjectMeta`), as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Its namespace; `default` where the text names none, as kubectl has it.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// When it was made; `None` for what is not in a cluster, which istiod takes for the oldest.
    #[serde(default)]
    pub creation_timestamp: Option<DateTime<Utc>>,
    /// Its labels.
    #[serde(default, deserialize_with = "nullable")]
    pub labels: Labels,
    /// Its annotations.
    #[serde(default, deserialize_with = "nullable")]
    pub annotations: Labels,
    /// Who made it.
    #[serde(default, deserialize_with = "nullable")]
    pub owner_references: Vec<OwnerReference>,
    /// Where it was read.
    #[serde(skip)]
    pub origin: Origin,
}

/// The maker of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OwnerReference {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

fn default_namespace() -> String {
    "default".into()
}

/// What names one resource: no two have the same kind, group, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceName {
    /// Its kind and API group.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl Metadata {
    /// The name of this resource, which is of a kind.
    #[must_use]
    pub fn resource(&self, kind: Kind) -> ResourceName {
        ResourceName {
            kind,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

/// A host as a resource has it, valid as a pattern once its namespace is off.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct HostText(String);

impl HostText {
    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the namespace, if there is one.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, host)| host)
    }
}

/// Why a text is no [`HostText`].
#[derive(Debug)]
pub struct NotAHost(String, PatternError);

impl fmt::Display for NotAHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a host: {}", self.0, self.1)
    }
}

impl std::error::Error for NotAHost {}

impl TryFrom<String> for HostText {
    type Error = NotAHost;

    fn try_from(text: String) -> Result<Self, NotAHost> {
        match rule::host::istio_pattern(&text) {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(NotAHost(text, error)),
        }
    }
}

impl fmt::Display for HostText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What Envoy makes of a host that was read; `None` never comes of a [`HostText`].
pub(crate) fn pattern(host: &str) -> Option<HostPattern> {
    HostPattern::try_from(host).ok()
}

/// As in Kubernetes, an explicit null is a field that is not set.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
