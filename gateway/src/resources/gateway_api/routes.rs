//! Routes, and references to what they attach to.

use serde::Deserialize;

use crate::resources::{HostText, Kind, Metadata, nullable};

/// A reference to another resource.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// The group; that of what is meant by default.
    #[serde(default)]
    pub group: Option<String>,
    /// The kind; that of what is meant by default.
    #[serde(default)]
    pub kind: Option<String>,
    /// The namespace; the referrer's own by default.
    #[serde(default)]
    pub namespace: Option<String>,
    pub name: String,
    /// For parents: the name of the listener.
    #[serde(default)]
    pub section_name: Option<String>,
    /// For parents: the port of the listener.
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

/// A [`Route`] as it is written.
#[derive(Deserialize)]
pub(crate) struct RouteText {
    pub(crate) metadata: Metadata,
    #[serde(default)]
    pub(crate) spec: RouteSpec,
}

/// What a route routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    Http,
    Grpc,
    /// Connections, by their server names.
    Tls,
}

impl RouteKind {
    /// The kind of the resource.
    #[must_use]
    pub fn resource_kind(self) -> Kind {
        match self {
            Self::Http => Kind::HttpRoute,
            Self::Grpc => Kind::GrpcRoute,
            Self::Tls => Kind::TlsRoute,
        }
    }
}

/// What a [`Route`] asks for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteSpec {
    /// What it attaches to.
    #[serde(default, deserialize_with = "nullable")]
    pub parent_refs: Vec<Reference>,
    /// Its hosts; none for those of the listener.
    #[serde(default, deserialize_with = "nullable")]
    pub hostnames: Vec<HostText>,
    /// Its rules; the API server adds one where there is no such field.
    #[serde(default)]
    pub rules: Option<Vec<RouteRule>>,
}

/// A rule of a route. That there is one is all that matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct RouteRule {}
