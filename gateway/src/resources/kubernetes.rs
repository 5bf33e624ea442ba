//! What Kubernetes itself has around a gateway: pods, Services, Secrets, Ingresses.

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

/// A pod, or what makes pods.
#[derive(Clone, Debug, PartialEq)]
pub struct Pods {
    /// Its kind: `Pod`, `Deployment` or another that has a template.
    pub kind: &'static str,
    pub metadata: Metadata,
    /// The labels of the pods.
    pub labels: Labels,
    /// The ports of their containers that have names.
    pub named_ports: BTreeMap<String, u16>,
}

/// A Pod as it is written.
#[derive(Deserialize)]
pub(crate) struct PodText {
    metadata: Metadata,
    #[serde(default)]
    spec: PodSpec,
}

/// A Deployment, DaemonSet or StatefulSet as it is written.
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
        let ports = self
            .containers
            .iter()
            .flat_map(|container| &container.ports);
        let named = ports.filter(|port| !port.name.is_empty());
        named
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

/// What a [`Service`] asks for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ServiceSpec {
    /// The labels of its pods; empty when it has none of its own.
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
    /// The port of the pods; the same where it is `None`.
    #[serde(default)]
    pub target_port: Option<TargetPort>,
}

/// A port of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    Number(u16),
    /// By the name that a container gives it.
    Name(String),
}

impl<'de> Deserialize<'de> for TargetPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(name) => Ok(Self::Name(name)),
            other => u16::deserialize(other)
                .map(Self::Number)
                .map_err(|_| D::Error::custom("expected a port number or the name of a port")),
        }
    }
}

/// A Secret, without the private key.
#[derive(Clone, Debug, PartialEq)]
pub struct Secret {
    pub metadata: Metadata,
    /// The certificates in it, PEM: `tls.crt`, or `cert`.
    pub certificate: Option<Vec<u8>>,
    /// Whether there is a key to it: `tls.key`, or `key`.
    pub has_key: bool,
    /// Whether that key is the certificate's; `None` where either cannot be read.
    pub key_fits: Option<bool>,
}

/// A Secret as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecretText {
    metadata: Metadata,
    #[serde(default, deserialize_with = "nullable")]
    data: SecretData,
    #[serde(default, deserialize_with = "nullable")]
    string_data: SecretData,
}

/// Keys are compared with the certificate and not kept.
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

/// The value of a Secret is not base64.
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
        let certificate = value(
            string_data.tls_crt.or(string_data.cert),
            data.tls_crt.or(data.cert),
        )?;
        let key = value(
            string_data.tls_key.or(string_data.key),
            data.tls_key.or(data.key),
        )?;
        let pair = certificate.as_deref().zip(key.as_deref());
        let key_fits = pair.and_then(|(certificate, key)| key_fits(certificate, key));
        Ok(Self {
            metadata,
            certificate,
            has_key: key.is_some(),
            key_fits,
        })
    }
}

/// What is written as it is goes before what is in base64 (Kubernetes `Secret.stringData`).
fn value(plain: Option<String>, encoded: Option<String>) -> Result<Option<Vec<u8>>, NotBase64> {
    let decoded = encoded.map(|text| STANDARD.decode(text)).transpose();
    Ok(plain
        .map(String::into_bytes)
        .or(decoded.map_err(|_| NotBase64)?))
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Ingress {
    pub metadata: Metadata,
    #[serde(default)]
    pub spec: IngressSpec,
}

/// What an [`Ingress`] asks for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressSpec {
    /// Who is in charge.
    #[serde(default)]
    pub ingress_class_name: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub tls: Vec<IngressTls>,
    #[serde(default, deserialize_with = "nullable")]
    pub rules: Vec<IngressRule>,
}

/// A certificate of an [`Ingress`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressTls {
    /// The hosts; none for all.
    #[serde(default, deserialize_with = "nullable")]
    pub hosts: Vec<HostText>,
    /// The Secret of the certificate.
    #[serde(default, deserialize_with = "nullable")]
    pub secret_name: String,
}

/// A route of an [`Ingress`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct IngressRule {
    /// The host; `None` for all.
    #[serde(default)]
    pub host: Option<HostText>,
    /// The paths. That there are some is all that matters here.
    #[serde(default)]
    pub http: Option<IngressPaths>,
}

/// The paths of an [`IngressRule`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct IngressPaths {}

/// Who is in charge of an Ingress.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct IngressClass {
    pub metadata: Metadata,
    #[serde(default)]
    pub spec: IngressClassSpec,
}

/// What an [`IngressClass`] asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct IngressClassSpec {
    #[serde(default, deserialize_with = "nullable")]
    pub controller: String,
}
