//! Routes, and references to their parents.

use serde::Deserialize;

use crate::resources::{HostText, Kind, Metadata, nullable};

/// A reference to another resource.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// The API group; the default depends on the field.
    #[serde(default)]
    pub group: Option<String>,
    /// The kind; the default depends on the field.
    #[serde(default)]
    pub kind: Option<String>,
    /// The namespace; by default the namespace of the resource that has the reference.
    #[serde(default)]
    pub namespace: Option<String>,
    pub name: String,
    /// The name of a listener, in a reference to a parent.
    #[serde(default)]
    pub section_name: Option<String>,
    /// The port of a listener, in a reference to a parent.
    #[serde(default)]
    pub port: Option<u16>,
}

/// A route of the Gateway API.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub kind: RouteKind,
    pub metadata: Metadata,
    pub spec: RouteSpec,
}

/// The text form of a [`Route`].
#[derive(Deserialize)]
pub(crate) struct RouteText {
    pub(crate) metadata: Metadata,
    #[serde(default)]
    pub(crate) spec: RouteSpec,
}

/// The kind of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    Http,
    Grpc,
    /// TCP connections, and the content of TLS connections that the gateway terminates.
    Tcp,
    /// TLS connections, which it selects by SNI.
    Tls,
}

impl RouteKind {
    pub(crate) const ALL: [Self; 4] = [Self::Http, Self::Grpc, Self::Tcp, Self::Tls];

    /// The kind of the resource.
    #[must_use]
    pub(crate) fn resource_kind(self) -> Kind {
        match self {
            Self::Http => Kind::HttpRoute,
            Self::Grpc => Kind::GrpcRoute,
            Self::Tcp => Kind::TcpRoute,
            Self::Tls => Kind::TlsRoute,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteSpec {
    /// The Gateways and ListenerSets that it attaches to.
    #[serde(default, deserialize_with = "nullable")]
    pub parent_refs: Vec<Reference>,
    /// The hosts; an empty list means all hosts of the listener.
    #[serde(default, deserialize_with = "nullable")]
    pub hostnames: Vec<HostText>,
    /// The rules. If the field is missing, the API server adds one rule.
    #[serde(default)]
    pub rules: Option<Vec<RouteRule>>,
}

/// A rule of a route. The model only uses whether a route has one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct RouteRule {}
