//! Istio's Gateway and VirtualService (Istio API `networking/v1alpha3/gateway.proto` and
//! `virtual_service.proto`; v1 and v1beta1 have the same fields).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{GatewayReference, HostText, Labels, Metadata, nullable};

/// A Gateway: servers that run on the pods that its selector matches.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Gateway {
    pub metadata: Metadata,
    pub spec: GatewaySpec,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct GatewaySpec {
    /// The labels of the pods, in any namespace. An empty selector matches every gateway.
    #[serde(default, deserialize_with = "nullable")]
    pub selector: Labels,
    #[serde(default, deserialize_with = "nullable")]
    pub servers: Vec<Server>,
}

/// One server of a Gateway.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Server {
    pub port: Port,
    /// The address that it listens on; empty for all addresses.
    #[serde(default, deserialize_with = "nullable")]
    pub bind: String,
    /// Its hosts: `host` or `namespace/host`.
    #[serde(default, deserialize_with = "nullable")]
    pub hosts: Vec<HostText>,
    /// Its TLS settings; `None` for plain text.
    #[serde(default)]
    pub tls: Option<Tls>,
}

/// The port of a [`Server`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Port {
    /// The port of the Gateway, which a Service may map to another.
    pub number: u16,
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
    /// Its protocol, such as `HTTPS`, in upper or lower case.
    #[serde(default, deserialize_with = "nullable")]
    pub protocol: String,
}

/// The TLS settings of a [`Server`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    #[serde(default)]
    pub mode: TlsMode,
    /// Whether an HTTP server redirects all requests to HTTPS.
    #[serde(default, deserialize_with = "nullable")]
    pub https_redirect: bool,
    /// The Secret with the certificate.
    #[serde(default, deserialize_with = "nullable")]
    pub credential_name: String,
    /// Several Secrets with certificates; takes precedence over `credential_name`.
    #[serde(default, deserialize_with = "nullable")]
    pub credential_names: Vec<String>,
    /// The file of the certificate.
    #[serde(default, deserialize_with = "nullable")]
    pub server_certificate: String,
    /// Several certificates in files.
    #[serde(default, deserialize_with = "nullable")]
    pub tls_certificates: Vec<TlsCertificate>,
}

/// A certificate in files of the gateway pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsCertificate {
    /// The file of the certificate.
    #[serde(default, deserialize_with = "nullable")]
    pub server_certificate: String,
}

/// How a server handles TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TlsMode {
    /// The backend terminates TLS. This is the mode of a `tls` block that does not set one.
    #[default]
    Passthrough,
    /// The gateway terminates TLS.
    Simple,
    /// The gateway terminates TLS and requires a client certificate.
    Mutual,
    /// The gateway terminates TLS and accepts connections with or without a client certificate.
    OptionalMutual,
    /// The gateway terminates TLS with its mesh certificate and requires a client certificate of the mesh.
    IstioMutual,
    /// The gateway forwards TLS to the mesh cluster that the SNI names.
    AutoPassthrough,
}

impl TlsMode {
    /// Whether the gateway itself terminates TLS.
    #[must_use]
    pub fn terminates(self) -> bool {
        !matches!(self, Self::Passthrough | Self::AutoPassthrough)
    }

    /// Whether a client needs a certificate to connect.
    #[must_use]
    pub(crate) fn demands_client_certificate(self) -> bool {
        matches!(self, Self::Mutual | Self::IstioMutual)
    }

    /// Whether the gateway verifies client certificates with the Secret of the server.
    #[must_use]
    pub(crate) fn asks_for_client_certificate(self) -> bool {
        matches!(self, Self::Mutual | Self::OptionalMutual)
    }
}

/// A VirtualService: routes for hosts. One without hosts is a delegate.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct VirtualService {
    pub metadata: Metadata,
    pub spec: VirtualServiceSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VirtualServiceSpec {
    #[serde(default, deserialize_with = "nullable")]
    pub hosts: Vec<HostText>,
    /// The Gateways that it is bound to; an empty list means `mesh`.
    #[serde(default, deserialize_with = "nullable")]
    pub gateways: Vec<GatewayReference>,
    #[serde(default, deserialize_with = "nullable")]
    pub http: Vec<HttpRoute>,
    #[serde(default, deserialize_with = "nullable")]
    pub tls: Vec<TlsRoute>,
    #[serde(default, deserialize_with = "nullable")]
    pub tcp: Vec<TcpRoute>,
    /// The namespaces that see it: `.` (its own), `*` (all), `~` (none) or a name; an empty list means all.
    #[serde(default, deserialize_with = "nullable")]
    pub export_to: Vec<String>,
}

/// A rule for HTTP requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct HttpRoute {
    /// The conditions, one of which must hold; an empty list matches every request.
    #[serde(default, rename = "match", deserialize_with = "nullable")]
    pub matches: Vec<HttpMatch>,
    /// The VirtualService whose rules replace this one.
    #[serde(default)]
    pub delegate: Option<Delegate>,
}

/// A reference to a delegate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Delegate {
    pub name: String,
    /// Its namespace; empty for the namespace of the root VirtualService.
    #[serde(default, deserialize_with = "nullable")]
    pub namespace: String,
}

/// A condition on HTTP requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpMatch {
    /// The Gateways that the condition applies to; an empty list means all.
    #[serde(default, deserialize_with = "nullable")]
    pub gateways: Vec<GatewayReference>,
    /// The port of the Gateway; 0 for any port.
    #[serde(default, deserialize_with = "nullable")]
    pub port: u16,
    /// Labels that the workload must have.
    #[serde(default, deserialize_with = "nullable")]
    pub source_labels: Labels,
    /// The namespace that the workload must be in; empty for any namespace.
    #[serde(default, deserialize_with = "nullable")]
    pub source_namespace: String,
    #[serde(default)]
    pub uri: Option<StringMatch>,
    #[serde(default)]
    pub scheme: Option<StringMatch>,
    #[serde(default)]
    pub method: Option<StringMatch>,
    #[serde(default)]
    pub authority: Option<StringMatch>,
    #[serde(default, deserialize_with = "nullable")]
    pub headers: BTreeMap<String, StringMatch>,
    /// Headers that must not match.
    #[serde(default, deserialize_with = "nullable")]
    pub without_headers: BTreeMap<String, StringMatch>,
    #[serde(default, deserialize_with = "nullable")]
    pub query_params: BTreeMap<String, StringMatch>,
    /// Whether `uri` ignores the case of letters.
    #[serde(default, deserialize_with = "nullable")]
    pub ignore_uri_case: bool,
}

/// A condition on a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct StringMatch {
    #[serde(default, deserialize_with = "nullable")]
    pub exact: String,
    #[serde(default, deserialize_with = "nullable")]
    pub prefix: String,
    #[serde(default, deserialize_with = "nullable")]
    pub regex: String,
}

/// A rule for TLS connections, which selects them by SNI.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct TlsRoute {
    /// The conditions, one of which must hold.
    #[serde(default, rename = "match", deserialize_with = "nullable")]
    pub matches: Vec<TlsMatch>,
    #[serde(default, deserialize_with = "nullable")]
    pub route: Vec<Destination>,
}

/// A condition on TLS connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsMatch {
    /// The SNIs, one of which the connection must have.
    #[serde(default, deserialize_with = "nullable")]
    pub sni_hosts: Vec<HostText>,
    /// The Gateways that the condition applies to; an empty list means all.
    #[serde(default, deserialize_with = "nullable")]
    pub gateways: Vec<GatewayReference>,
    /// The port of the Gateway; 0 for any port.
    #[serde(default, deserialize_with = "nullable")]
    pub port: u16,
}

/// A rule for TCP connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct TcpRoute {
    /// The conditions, one of which must hold; an empty list matches every connection.
    #[serde(default, rename = "match", deserialize_with = "nullable")]
    pub matches: Vec<TcpMatch>,
    #[serde(default, deserialize_with = "nullable")]
    pub route: Vec<Destination>,
}

/// A condition on TCP connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct TcpMatch {
    /// The Gateways that the condition applies to; an empty list means all.
    #[serde(default, deserialize_with = "nullable")]
    pub gateways: Vec<GatewayReference>,
    /// The port of the Gateway; 0 for any port.
    #[serde(default, deserialize_with = "nullable")]
    pub port: u16,
}

/// A destination of connections. The model only uses whether a rule has one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Destination {}
