//! Resources of Kubernetes itself: pods, Services, Secrets, Ingresses.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};

use super::{HostText, Labels, Metadata, nullable};
use crate::certificate::key_fits;

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Namespace {
    pub metadata: Metadata,
}

/// A pod, or a workload that creates pods.
#[derive(Clone, Debug, PartialEq)]
pub struct Pods {
    /// The kind of the resource: `Pod`, `Deployment`, `DaemonSet` or `StatefulSet`.
    pub kind: &'static str,
    pub metadata: Metadata,
    /// The labels of the pods, which differ from the labels of a Deployment.
    pub labels: Labels,
    /// The numbers of the container ports that have names.
    pub named_ports: BTreeMap<String, u16>,
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
}

#[derive(Default, Deserialize)]
struct PodSpec {
    #[serde(default, deserialize_with = "nullable")]
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    #[serde(default, deserialize_with = "nullable")]
    ports: Vec<ContainerPort>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerPort {
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    container_port: u16,
}

impl PodSpec {
    fn named_ports(&self) -> BTreeMap<String, u16> {
        self.containers
            .iter()
            .flat_map(|container| &container.ports)
            .filter(|port| !port.name.is_empty())
            .map(|port| (port.name.clone(), port.container_port))
            .collect()
    }
}

impl From<PodText> for Pods {
    fn from(pod: PodText) -> Self {
        let labels = pod.metadata.labels.clone();
        Self {
            kind: "Pod",
            metadata: pod.metadata,
            labels,
            named_ports: pod.spec.named_ports(),
        }
    }
}

impl WorkloadText {
    pub(crate) fn into_pods(self, kind: &'static str) -> Pods {
        let Template { metadata, spec } = self.spec.template;
        let named_ports = spec.named_ports();
        Pods {
            kind,
            metadata: self.metadata,
            labels: metadata.labels,
            named_ports,
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

/// A Secret. Its private key is compared with the certificate and not stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Secret {
    pub metadata: Metadata,
    /// The certificate chain in PEM: `tls.crt`, or `cert`.
    pub certificate: Option<Vec<u8>>,
    /// Whether the Secret has a private key: `tls.key`, or `key`.
    pub has_key: bool,
    /// Whether the private key matches the certificate; `None` if either cannot be read.
    pub key_fits: Option<bool>,
}

/// The text form of a Secret.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecretText {
    metadata: Metadata,
    #[serde(default, deserialize_with = "nullable")]
    data: SecretData,
    #[serde(default, deserialize_with = "nullable")]
    string_data: SecretData,
}

#[derive(Default, Deserialize)]
struct SecretData {
    #[serde(default, rename = "tls.crt")]
    tls_crt: Option<String>,
    #[serde(default)]
    cert: Option<String>,
    #[serde(default, rename = "tls.key")]
    tls_key: Option<String>,
    #[serde(default)]
    key: Option<String>,
}

/// The error for a value of a Secret that is not base64.
#[derive(Debug)]
pub(crate) struct NotBase64;

impl TryFrom<SecretText> for Secret {
    type Error = NotBase64;

    fn try_from(text: SecretText) -> Result<Self, NotBase64> {
        let SecretText {
            metadata,
            data,
            string_data,
        } = text;
        // Istio reads `tls.crt` and `tls.key`, and otherwise the older keys `cert` and `key`.
        let certificate = value(
            string_data.tls_crt.or(string_data.cert),
            data.tls_crt.or(data.cert),
        )?;
        let key = value(
            string_data.tls_key.or(string_data.key),
            data.tls_key.or(data.key),
        )?;
        // The key is dropped at the end of this function: the model never contains private keys.
        let key_fits = match (&certificate, &key) {
            (Some(certificate), Some(key)) => key_fits(certificate, key),
            (Some(_) | None, _) => None,
        };
        Ok(Self {
            metadata,
            certificate,
            has_key: key.is_some(),
            key_fits,
        })
    }
}

/// The value of a key of a Secret. `stringData` takes precedence over `data`, which is in base64 (Kubernetes
/// `Secret.stringData`).
fn value(plain: Option<String>, encoded: Option<String>) -> Result<Option<Vec<u8>>, NotBase64> {
    // An invalid value is an error even if `stringData` replaces it, as in Kubernetes.
    let decoded = match encoded {
        Some(text) => Some(STANDARD.decode(text).map_err(|_| NotBase64)?),
        None => None,
    };
    Ok(plain.map(String::into_bytes).or(decoded))
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
