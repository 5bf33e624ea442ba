//! The Gateway API (`gateway.networking.k8s.io`), with the ListenerSets that were experimental first
//! (`gateway.networking.x-k8s.io`).

mod namespaces;
mod routes;

use serde::Deserialize;

pub use self::namespaces::{From, LabelExpression, LabelOperator, LabelSelector, Namespaces};
pub(crate) use self::routes::RouteText;
pub use self::routes::{Reference, Route, RouteKind, RouteRule, RouteSpec};
use super::{HostText, Labels, Metadata, nullable};

/// A Gateway of the Gateway API.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ApiGateway {
    pub metadata: Metadata,
    pub spec: ApiGatewaySpec,
}

/// What an [`ApiGateway`] asks for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiGatewaySpec {
    /// Who is in charge.
    pub gateway_class_name: String,
    #[serde(default, deserialize_with = "nullable")]
    pub listeners: Vec<Listener>,
    /// The Services whose pods it runs on; none for pods of its own.
    #[serde(default, deserialize_with = "nullable")]
    pub addresses: Vec<Address>,
    /// The namespaces that may add listeners; none without.
    #[serde(default)]
    pub allowed_listeners: Option<Allowed>,
    /// TLS settings of all its listeners.
    #[serde(default)]
    pub tls: Option<GatewayTls>,
}

/// An address of an [`ApiGateway`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Address {
    /// `IPAddress`, which is the default, or `Hostname`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// The address, or the name of a Service.
    #[serde(default, deserialize_with = "nullable")]
    pub value: String,
}

/// TLS settings of all listeners of an [`ApiGateway`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct GatewayTls {
    #[serde(default)]
    pub frontend: Option<Frontend>,
}

/// What is asked of clients.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Frontend {
    #[serde(default)]
    pub default: FrontendTls,
    /// On some ports, instead.
    #[serde(default, deserialize_with = "nullable")]
    pub per_port: Vec<FrontendPort>,
}

/// What is asked of clients on one port.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct FrontendPort {
    pub port: u16,
    #[serde(default)]
    pub tls: FrontendTls,
}

/// How clients are checked.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct FrontendTls {
    /// `None` when they are not.
    #[serde(default)]
    pub validation: Option<Validation>,
}

/// How the certificates of clients are checked.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Validation {
    /// Who issues them; nothing is checked without.
    #[serde(default, deserialize_with = "nullable")]
    pub ca_certificate_refs: Vec<Reference>,
    /// `AllowInsecureFallback` where a client may do without.
    #[serde(default, deserialize_with = "nullable")]
    pub mode: String,
}

/// Listeners that are added to an [`ApiGateway`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ListenerSet {
    pub metadata: Metadata,
    pub spec: ListenerSetSpec,
}

/// What a [`ListenerSet`] asks for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSetSpec {
    /// The Gateway it adds to.
    pub parent_ref: Reference,
    #[serde(default, deserialize_with = "nullable")]
    pub listeners: Vec<Listener>,
}

/// A listener: in Istio's words a server with at most one host.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Its name, which routes may ask for.
    pub name: String,
    /// Its host; `None` for all.
    #[serde(default)]
    pub hostname: Option<HostText>,
    /// Its port; 0 for that of the protocol, in a [`ListenerSet`].
    #[serde(default, deserialize_with = "nullable")]
    pub port: u16,
    /// `HTTP`, `HTTPS`, `TLS`, `TCP`.
    pub protocol: String,
    #[serde(default)]
    pub tls: Option<ListenerTls>,
    /// The routes that may attach; those of its own namespace by default.
    #[serde(default)]
    pub allowed_routes: Option<AllowedRoutes>,
}

/// The TLS settings of a [`Listener`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTls {
    /// `Terminate`, which is the default, or `Passthrough`.
    #[serde(default)]
    pub mode: Option<String>,
    /// The Secrets of its certificates.
    #[serde(default, deserialize_with = "nullable")]
    pub certificate_refs: Vec<Reference>,
    /// Settings of the implementation.
    #[serde(default, deserialize_with = "nullable")]
    pub options: Labels,
}

/// The routes that may attach to a listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct AllowedRoutes {
    #[serde(default)]
    pub namespaces: Option<Namespaces>,
    /// Their kinds; none for those of the protocol.
    #[serde(default, deserialize_with = "nullable")]
    pub kinds: Vec<RouteKindRef>,
}

/// A kind of route.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RouteKindRef {
    pub kind: String,
}

/// The namespaces of something that may attach.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Allowed {
    #[serde(default)]
    pub namespaces: Option<Namespaces>,
}

/// Leave for others to reference what is in a namespace.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ReferenceGrant {
    pub metadata: Metadata,
    #[serde(default)]
    pub spec: ReferenceGrantSpec,
}

/// What a [`ReferenceGrant`] grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ReferenceGrantSpec {
    #[serde(default, deserialize_with = "nullable")]
    pub from: Vec<GrantFrom>,
    #[serde(default, deserialize_with = "nullable")]
    pub to: Vec<GrantTo>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GrantFrom {
    /// Resources of this kind.
    pub kind: String,
    pub namespace: String,
}

/// What may be referenced.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GrantTo {
    /// Resources of this kind.
    pub kind: String,
    /// Of this name; `None` for all.
    #[serde(default)]
    pub name: Option<String>,
}

/// Who is in charge of a Gateway.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct GatewayClass {
    pub metadata: Metadata,
    pub spec: GatewayClassSpec,
}

/// What a [`GatewayClass`] asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayClassSpec {
    pub controller_name: String,
}
