//! Resources of Kubernetes itself: pods, Services, Ingresses.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer};

use super::{HostText, Labels, Metadata, nullable};

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Namespace {
    pub metadata: Metadata,
}

/// A `MutatingWebhookConfiguration` that defines a revision tag by its labels.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TagWebhook {
    pub metadata: Metadata,
}

/// A pod, or a workload that creates pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pods {
    pub kind: PodsKind,
    pub metadata: Metadata,
    /// The labels of the pods, which differ from the labels of a Deployment.
    pub labels: Labels,
    /// The numbers of the container ports that have names.
    pub named_ports: BTreeMap<String, u16>,
    /// Whether the pods run a gateway, as far as their containers and annotations show it.
    pub runs_gateway: bool,
    /// The environment variables of the pods, if they run istiod.
    pub istiod_environment: BTreeMap<String, String>,
}

/// The kind of a resource with pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodsKind {
    DaemonSet,
    Deployment,
    StatefulSet,
    /// A pod that exists. It sorts last, so that a workload has the name of its Deployment.
    #[default]
    Pod,
}

impl PodsKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DaemonSet => "DaemonSet",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::Pod => "Pod",
        }
    }
}

impl fmt::Display for PodsKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Pods {
    /// Whether the pods run istiod.
    pub(crate) fn is_istiod(&self) -> bool {
        is_istiod(&self.labels)
    }
}

/// Whether labels are those of the pods of istiod, which its chart sets for every revision.
fn is_istiod(labels: &Labels) -> bool {
    labels.get("app").is_some_and(|app| app == "istiod")
}

/// The text form of a Pod.
#[derive(Deserialize)]
pub(crate) struct PodText {
    metadata: Metadata,
    #[serde(default)]
    spec: PodSpec,
}

/// The text form of a Deployment, DaemonSet or StatefulSet.
#[derive(Deserialize)]
pub(crate) struct WorkloadText {
    metadata: Metadata,
    spec: WorkloadSpec,
}

#[derive(Deserialize)]
struct WorkloadSpec {
    template: Template,
}

#[derive(Deserialize)]
struct Template {
    #[serde(default)]
    metadata: TemplateMetadata,
    #[serde(default)]
    spec: PodSpec,
}

#[derive(Default, Deserialize)]
struct TemplateMetadata {
    #[serde(default, deserialize_with = "nullable")]
    labels: Labels,
    #[serde(default, deserialize_with = "nullable")]
    annotations: Labels,
}

#[derive(Default, Deserialize)]
struct PodSpec {
    #[serde(default, deserialize_with = "nullable")]
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    args: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    env: Vec<Variable>,
    #[serde(default, deserialize_with = "nullable")]
    ports: Vec<ContainerPort>,
}

/// An environment variable of a container.
#[derive(Deserialize)]
struct Variable {
    name: String,
    /// `None` for a variable that Kubernetes computes.
    #[serde(default)]
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerPort {
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    container_port: u16,
}

/// The annotation that selects the templates of Istio's injector.
const TEMPLATES_ANNOTATION: &str = "inject.istio.io/templates";

impl PodSpec {
    fn named_ports(&self) -> BTreeMap<String, u16> {
        self.containers
            .iter()
            .flat_map(|container| &container.ports)
            .filter(|port| !port.name.is_empty())
            .map(|port| (port.name.clone(), port.container_port))
            .collect()
    }

    /// Whether the proxy runs as a gateway, not as a sidecar: the agent has the arguments `proxy router`.
    fn has_router(&self) -> bool {
        self.containers.iter().any(|container| {
            container
                .args
                .starts_with(&["proxy".into(), "router".into()])
        })
    }

    /// Whether a container has the name of the proxy. A template has one only for a gateway, since the
    /// injector adds sidecars to pods.
    fn names_proxy(&self) -> bool {
        self.containers
            .iter()
            .any(|container| container.name == "istio-proxy")
    }

    /// The variables of the pods of istiod. Those of other pods can be secret, and are not stored.
    fn istiod_environment(&self, labels: &Labels) -> BTreeMap<String, String> {
        if !is_istiod(labels) {
            return BTreeMap::new();
        }
        self.containers
            .iter()
            .flat_map(|container| &container.env)
            .filter_map(|variable| Some((variable.name.clone(), variable.value.clone()?)))
            .collect()
    }
}

/// Whether the injector makes the pods a gateway.
fn has_gateway_template(annotations: &Labels) -> bool {
    annotations
        .get(TEMPLATES_ANNOTATION)
        .is_some_and(|templates| templates.split(',').any(|name| name.trim() == "gateway"))
}

impl From<PodText> for Pods {
    fn from(pod: PodText) -> Self {
        let PodText { metadata, spec } = pod;
        let labels = metadata.labels.clone();
        Self {
            kind: PodsKind::Pod,
            runs_gateway: spec.has_router() || has_gateway_template(&metadata.annotations),
            istiod_environment: spec.istiod_environment(&labels),
            named_ports: spec.named_ports(),
            labels,
            metadata,
        }
    }
}

impl WorkloadText {
    pub(crate) fn into_pods(self, kind: PodsKind) -> Pods {
        let Template { metadata, spec } = self.spec.template;
        Pods {
            kind,
            runs_gateway: spec.names_proxy() || has_gateway_template(&metadata.annotations),
            istiod_environment: spec.istiod_environment(&metadata.labels),
            named_ports: spec.named_ports(),
            metadata: self.metadata,
            labels: metadata.labels,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Service {
    pub metadata: Metadata,
    #[serde(default)]
    pub spec: ServiceSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ServiceSpec {
    /// The labels of its pods. A Service without a selector has no pods.
    #[serde(default, deserialize_with = "nullable")]
    pub selector: Labels,
    #[serde(default, deserialize_with = "nullable")]
    pub ports: Vec<ServicePort>,
}

/// A port of a [`Service`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// The port of the Service.
    pub port: u16,
    /// The port of the pods; `None` if it is the port of the Service.
    #[serde(default)]
    pub target_port: Option<TargetPort>,
}

/// A port of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    Number(u16),
    /// The name of a container port.
    Name(String),
}

impl<'de> Deserialize<'de> for TargetPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        // Kubernetes has one field for both, of the type `IntOrString`.
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(name) => Ok(Self::Name(name)),
            other => u16::deserialize(other)
                .map(Self::Number)
                .map_err(|_| D::Error::custom("expected a port number or the name of a port")),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Ingress {
    pub metadata: Metadata,
    #[serde(default)]
    pub spec: IngressSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressSpec {
    /// The `IngressClass`, which names the controller.
    #[serde(default)]
    pub ingress_class_name: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub tls: Vec<IngressTls>,
    #[serde(default, deserialize_with = "nullable")]
    pub rules: Vec<IngressRule>,
}

/// A TLS entry of an [`Ingress`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressTls {
    /// The hosts; an empty list means all.
    #[serde(default, deserialize_with = "nullable")]
    pub hosts: Vec<HostText>,
    /// The Secret with the certificate.
    #[serde(default, deserialize_with = "nullable")]
    pub secret_name: String,
}

/// A rule of an [`Ingress`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct IngressRule {
    /// The host; `None` for all hosts.
    #[serde(default)]
    pub host: Option<HostText>,
    /// The paths. The model only uses whether a rule has them.
    #[serde(default)]
    pub http: Option<IngressPaths>,
}

/// The paths of an [`IngressRule`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct IngressPaths {}

/// An `IngressClass`, which names the controller of Ingresses.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct IngressClass {
    pub metadata: Metadata,
    #[serde(default)]
    pub spec: IngressClassSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct IngressClassSpec {
    #[serde(default, deserialize_with = "nullable")]
    pub controller: String,
}
