//! The Gateway API (`gateway.networking.k8s.io`), with the experimental version of ListenerSets
//! (`gateway.networking.x-k8s.io`).

mod namespaces;
mod routes;

use serde::Deserialize;

pub(crate) use self::namespaces::{FromNamespaces, LabelSelector, Namespaces};
pub(crate) use self::routes::RouteText;
pub(crate) use self::routes::{Reference, Route, RouteKind};
use super::kind::GATEWAY_API;
use super::{HostText, Labels, Metadata, nullable};

/// A Gateway of the Gateway API.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ApiGateway {
    pub metadata: Metadata,
    pub spec: ApiGatewaySpec,
    #[serde(default, deserialize_with = "nullable")]
    pub status: Status,
}

/// The status of a Gateway or GatewayClass, which its controller writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Status {
    #[serde(default, deserialize_with = "nullable")]
    pub conditions: Vec<Condition>,
}

/// A condition of a [`Status`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Condition {
    #[serde(default, rename = "type", deserialize_with = "nullable")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    #[serde(default, deserialize_with = "nullable")]
    pub status: String,
    /// The explanation for people, which shows the controller.
    #[serde(default, deserialize_with = "nullable")]
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiGatewaySpec {
    /// The GatewayClass, which names the controller.
    pub gateway_class_name: String,
    #[serde(default, deserialize_with = "nullable")]
    pub listeners: Vec<Listener>,
    /// The addresses. With host names, the Gateway runs on the pods of these Services; otherwise on pods that
    /// the controller deploys for it.
    #[serde(default, deserialize_with = "nullable")]
    pub addresses: Vec<Address>,
    /// The namespaces whose ListenerSets may add listeners; `None` for no namespace.
    #[serde(default)]
    pub allowed_listeners: Option<Allowed>,
    /// The TLS settings of all its listeners.
    #[serde(default)]
    pub tls: Option<GatewayTls>,
}

/// An address of an [`ApiGateway`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Address {
    /// `IPAddress` (the default) or `Hostname`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// The IP address, or the host name of a Service.
    #[serde(default, deserialize_with = "nullable")]
    pub value: String,
}

/// The TLS settings of all listeners of an [`ApiGateway`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct GatewayTls {
    /// The settings for connections from clients.
    #[serde(default)]
    pub frontend: Option<Frontend>,
}

/// The TLS settings for connections from clients.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Frontend {
    #[serde(default)]
    pub default: FrontendTls,
    /// The settings of single ports, which replace the default.
    #[serde(default, deserialize_with = "nullable")]
    pub per_port: Vec<FrontendPort>,
}

/// The TLS settings for connections from clients on one port.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct FrontendPort {
    pub port: u16,
    #[serde(default)]
    pub tls: FrontendTls,
}

/// The validation of client certificates.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct FrontendTls {
    /// `None` if clients need no certificate.
    #[serde(default)]
    pub validation: Option<Validation>,
}

/// How client certificates are validated.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Validation {
    /// The certificate authorities; without any, nothing is validated.
    #[serde(default, deserialize_with = "nullable")]
    pub ca_certificate_refs: Vec<Reference>,
    /// `AllowInsecureFallback` if a client can connect without a valid certificate.
    #[serde(default, deserialize_with = "nullable")]
    pub mode: String,
}

/// A ListenerSet: it adds listeners to an [`ApiGateway`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ListenerSet {
    pub metadata: Metadata,
    pub spec: ListenerSetSpec,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSetSpec {
    /// The Gateway that gets the listeners.
    pub parent_ref: Reference,
    #[serde(default, deserialize_with = "nullable")]
    pub listeners: Vec<Listener>,
}

/// A listener of the Gateway API. It corresponds to a server of Istio's Gateway with at most one host.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// The name, which routes can refer to.
    pub name: String,
    /// The host; `None` for all hosts.
    #[serde(default)]
    pub hostname: Option<HostText>,
    /// The port. In a [`ListenerSet`], 0 means the default port of the protocol.
    #[serde(default, deserialize_with = "nullable")]
    pub port: u16,
    /// `HTTP`, `HTTPS`, `TLS`, `TCP` or `UDP`.
    pub protocol: String,
    #[serde(default)]
    pub tls: Option<ListenerTls>,
    /// The routes that can attach; by default the routes of its own namespace.
    #[serde(default)]
    pub allowed_routes: Option<AllowedRoutes>,
}

impl Listener {
    /// Whether routes of a kind can attach (Istio `GenerateGatewaySupportedKinds`).
    pub(crate) fn allows(&self, kind: RouteKind) -> bool {
        let terminates = self
            .tls
            .as_ref()
            .is_some_and(|tls| tls.mode.as_deref().is_none_or(|mode| mode == "Terminate"));
        let fits_protocol = match (self.protocol.as_str(), kind) {
            ("HTTP" | "HTTPS", RouteKind::Http | RouteKind::Grpc)
            | ("TLS", RouteKind::Tls)
            | ("TCP", RouteKind::Tcp) => true,
            ("TLS", RouteKind::Tcp) => terminates,
            (_, RouteKind::Http | RouteKind::Grpc | RouteKind::Tcp | RouteKind::Tls) => false,
        };
        let listed = self
            .allowed_routes
            .as_ref()
            .map_or(&[][..], |allowed| &allowed.kinds);
        fits_protocol && (listed.is_empty() || listed.iter().any(|listed| listed.names(kind)))
    }
}

/// The TLS settings of a [`Listener`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTls {
    /// `Terminate` (the default) or `Passthrough`.
    #[serde(default)]
    pub mode: Option<String>,
    /// The Secrets with the certificates.
    #[serde(default, deserialize_with = "nullable")]
    pub certificate_refs: Vec<Reference>,
    /// Settings that are specific to an implementation, such as Istio.
    #[serde(default, deserialize_with = "nullable")]
    pub options: Labels,
}

/// The routes that can attach to a listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct AllowedRoutes {
    #[serde(default)]
    pub namespaces: Option<Namespaces>,
    /// The kinds of routes; an empty list means all kinds for the protocol.
    #[serde(default, deserialize_with = "nullable")]
    pub kinds: Vec<RouteKindRef>,
}

/// A reference to a kind of route.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RouteKindRef {
    /// The API group; by default the one of the Gateway API.
    #[serde(default)]
    pub group: Option<String>,
    pub kind: String,
}

impl RouteKindRef {
    fn names(&self, kind: RouteKind) -> bool {
        let group = self.group.as_deref().unwrap_or(GATEWAY_API);
        let kind = kind.resource_kind();
        (group, self.kind.as_str()) == (kind.group(), kind.name())
    }
}

/// The namespaces whose ListenerSets a Gateway allows.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Allowed {
    #[serde(default)]
    pub namespaces: Option<Namespaces>,
}

/// A ReferenceGrant: it allows resources of other namespaces to refer to resources in its namespace.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ReferenceGrant {
    pub metadata: Metadata,
    #[serde(default)]
    pub spec: ReferenceGrantSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ReferenceGrantSpec {
    #[serde(default, deserialize_with = "nullable")]
    pub from: Vec<GrantFrom>,
    #[serde(default, deserialize_with = "nullable")]
    pub to: Vec<GrantTo>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GrantFrom {
    #[serde(default, deserialize_with = "nullable")]
    pub group: String,
    pub kind: String,
    pub namespace: String,
}

/// The resources that a grant allows references to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GrantTo {
    /// The API group; empty for Secrets.
    #[serde(default, deserialize_with = "nullable")]
    pub group: String,
    pub kind: String,
    /// The name of one resource; `None` for all of the kind.
    #[serde(default)]
    pub name: Option<String>,
}

/// A GatewayClass, which names the controller of Gateways.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct GatewayClass {
    pub metadata: Metadata,
    pub spec: GatewayClassSpec,
    #[serde(default, deserialize_with = "nullable")]
    pub status: Status,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayClassSpec {
    pub controller_name: String,
}
