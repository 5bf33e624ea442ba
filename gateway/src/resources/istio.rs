//! Istio's Gateway and VirtualService (Istio API `networking/v1alpha3/gateway.proto` and
//! `virtual_service.proto`; v1 and v1beta1 have the same fields).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{HostText, Labels, Metadata, nullable};

/// Servers on the pods that a selector selects.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Gateway {
    /// Its name and age.
    pub metadata: Metadata,
    /// What it asks for.
    pub spec: GatewaySpec,
}

/// What a [`Gateway`] asks for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct GatewaySpec {
    /// The labels of the pods, of any namespace; empty for every gateway.
    #[serde(default, deserialize_with = "nullable")]
    pub selector: Labels,
    /// The servers.
    #[serde(default, deserialize_with = "nullable")]
    pub servers: Vec<Server>,
}

/// One server of a Gateway.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Server {
    /// What it listens on.
    pub port: Port,
    /// The address it listens on; empty for all.
    #[serde(default, deserialize_with = "nullable")]
    pub bind: String,
    /// Its hosts: `host` or `namespace/host`.
    #[serde(default, deserialize_with = "nullable")]
    pub hosts: Vec<HostText>,
    /// Its TLS settings; `None` for plain text.
    #[serde(default)]
    pub tls: Option<Tls>,
}

/// What a [`Server`] listens on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Port {
    /// The port of the Gateway, which a Service may map to another.
    pub number: u16,
    /// Its name.
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
    /// Its protocol in any case, such as `HTTPS`.
    #[serde(default, deserialize_with = "nullable")]
    pub protocol: String,
}

/// The TLS settings of a [`Server`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Whether and how it terminates TLS.
    #[serde(default)]
    pub mode: TlsMode,
    /// The Secret of the certificate.
    #[serde(default, deserialize_with = "nullable")]
    pub credential_name: String,
    /// Several such Secrets.
    #[serde(default, deserialize_with = "nullable")]
    pub credential_names: Vec<String>,
    /// The file of the certificate.
    #[serde(default, deserialize_with = "nullable")]
    pub server_certificate: String,
    /// Several such files.
    #[serde(default, deserialize_with = "nullable")]
    pub tls_certificates: Vec<TlsCertificate>,
}

/// A certificate in files of the pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsCertificate {
    /// The file of the certificate.
    #[serde(default, deserialize_with = "nullable")]
    pub server_certificate: String,
}

/// Whether and how a server terminates TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TlsMode {
    /// It does not; the backend does. What a `tls` block without a mode means.
    #[default]
    Passthrough,
    /// It does.
    Simple,
    /// It does, and demands a client certificate.
    Mutual,
    /// It does, and takes a client certificate when there is one.
    OptionalMutual,
    /// It does, with the mesh's certificates, and demands one of those.
    IstioMutual,
    /// It does not; the server name is a cluster of the mesh.
    AutoPassthrough,
}

impl TlsMode {
    /// Whether the gateway itself terminates TLS.
    #[must_use]
    pub fn terminates(self) -> bool {
        !matches!(self, Self::Passthrough | Self::AutoPassthrough)
    }

    /// Whether a client needs a certificate.
    #[must_use]
    pub fn demands_client_certificate(self) -> bool {
        matches!(self, Self::Mutual | Self::IstioMutual)
    }
}

/// Routes for hosts. One without hosts is a delegate.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct VirtualService {
    /// Its name and age.
    pub metadata: Metadata,
    /// What it asks for.
    pub spec: VirtualServiceSpec,
}

/// What a [`VirtualService`] asks for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VirtualServiceSpec {
    /// The hosts.
    #[serde(default, deserialize_with = "nullable")]
    pub hosts: Vec<HostText>,
    /// The Gateways it is bound to; none for the mesh alone.
    #[serde(default, deserialize_with = "nullable")]
    pub gateways: Vec<String>,
    /// Routes of requests.
    #[serde(default, deserialize_with = "nullable")]
    pub http: Vec<HttpRoute>,
    /// Routes of connections by their server names.
    #[serde(default, deserialize_with = "nullable")]
    pub tls: Vec<TlsRoute>,
    /// Routes of connections.
    #[serde(default, deserialize_with = "nullable")]
    pub tcp: Vec<TcpRoute>,
    /// The namespaces that see it: `.`, `*`, `~` or a name; none for all.
    #[serde(default, deserialize_with = "nullable")]
    pub export_to: Vec<String>,
}

/// A route of requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct HttpRoute {
    /// The requests, any of these; none for all.
    #[serde(default, rename = "match", deserialize_with = "nullable")]
    pub matches: Vec<HttpMatch>,
    /// The VirtualService that has the routes.
    #[serde(default)]
    pub delegate: Option<Delegate>,
}

/// The name of a delegate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Delegate {
    /// Its name.
    pub name: String,
    /// Its namespace; empty for the root's own.
    #[serde(default, deserialize_with = "nullable")]
    pub namespace: String,
}

/// What a request is to be like.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpMatch {
    /// The Gateways this is for; none for all.
    #[serde(default, deserialize_with = "nullable")]
    pub gateways: Vec<String>,
    /// The port of the Gateway; 0 for any.
    #[serde(default, deserialize_with = "nullable")]
    pub port: u16,
    /// The labels of the workload.
    #[serde(default, deserialize_with = "nullable")]
    pub source_labels: Labels,
    /// The namespace of the workload; empty for any.
    #[serde(default, deserialize_with = "nullable")]
    pub source_namespace: String,
    /// The path.
    #[serde(default)]
    pub uri: Option<StringMatch>,
    /// The scheme.
    #[serde(default)]
    pub scheme: Option<StringMatch>,
    /// The method.
    #[serde(default)]
    pub method: Option<StringMatch>,
    /// The authority.
    #[serde(default)]
    pub authority: Option<StringMatch>,
    /// Headers.
    #[serde(default, deserialize_with = "nullable")]
    pub headers: BTreeMap<String, StringMatch>,
    /// Headers that are not to be like this.
    #[serde(default, deserialize_with = "nullable")]
    pub without_headers: BTreeMap<String, StringMatch>,
    /// Query parameters.
    #[serde(default, deserialize_with = "nullable")]
    pub query_params: BTreeMap<String, StringMatch>,
    /// Whether the path may be in any case.
    #[serde(default, deserialize_with = "nullable")]
    pub ignore_uri_case: bool,
}

/// How a text is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct StringMatch {
    /// This.
    #[serde(default, deserialize_with = "nullable")]
    pub exact: String,
    /// Beginning with this.
    #[serde(default, deserialize_with = "nullable")]
    pub prefix: String,
    /// Matching this.
    #[serde(default, deserialize_with = "nullable")]
    pub regex: String,
}

/// A route of connections by their server names.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct TlsRoute {
    /// The connections, any of these.
    #[serde(default, rename = "match", deserialize_with = "nullable")]
    pub matches: Vec<TlsMatch>,
    /// Where they go.
    #[serde(default, deserialize_with = "nullable")]
    pub route: Vec<Destination>,
}

/// What a TLS connection is to be like.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsMatch {
    /// Its server name, any of these.
    #[serde(default, deserialize_with = "nullable")]
    pub sni_hosts: Vec<HostText>,
    /// The Gateways this is for; none for all.
    #[serde(default, deserialize_with = "nullable")]
    pub gateways: Vec<String>,
    /// The port of the Gateway; 0 for any.
    #[serde(default, deserialize_with = "nullable")]
    pub port: u16,
}

/// A route of connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct TcpRoute {
    /// The connections, any of these; none for all.
    #[serde(default, rename = "match", deserialize_with = "nullable")]
    pub matches: Vec<TcpMatch>,
    /// Where they go.
    #[serde(default, deserialize_with = "nullable")]
    pub route: Vec<Destination>,
}

/// What a connection is to be like.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct TcpMatch {
    /// The Gateways this is for; none for all.
    #[serde(default, deserialize_with = "nullable")]
    pub gateways: Vec<String>,
    /// The port of the Gateway; 0 for any.
    #[serde(default, deserialize_with = "nullable")]
    pub port: u16,
}

/// Where connections go. That there is a place to go to is all that matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Destination {}
