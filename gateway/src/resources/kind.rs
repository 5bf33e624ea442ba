//! The kinds of resources that findings and plans name.

use std::fmt;

pub(crate) const GATEWAY_API: &str = "gateway.networking.k8s.io";
/// The group of kinds that were in the Gateway API as experiments, such as `XListenerSet`.
pub(crate) const GATEWAY_API_EXPERIMENTAL: &str = "gateway.networking.x-k8s.io";
pub(crate) const ISTIO: &str = "networking.istio.io";
pub(crate) const ISTIO_EXTENSIONS: &str = "extensions.istio.io";
pub(crate) const ISTIO_SECURITY: &str = "security.istio.io";
pub(crate) const KUBERNETES: &str = "networking.k8s.io";

/// A kind of resource in an API group: Istio and the Gateway API both have a kind `Gateway`. The variants
/// are sorted by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    AuthorizationPolicy,
    EnvoyFilter,
    /// The GRPCRoute of the Gateway API.
    GrpcRoute,
    Gateway,
    /// The Gateway of the Gateway API.
    ApiGateway,
    /// The HTTPRoute of the Gateway API.
    HttpRoute,
    /// The Ingress of Kubernetes.
    Ingress,
    /// The ListenerSet of the Gateway API.
    ListenerSet,
    /// The Secret of Kubernetes.
    Secret,
    /// The TCPRoute of the Gateway API.
    TcpRoute,
    /// The TLSRoute of the Gateway API.
    TlsRoute,
    TrafficExtension,
    VirtualService,
    WasmPlugin,
}

impl Kind {
    /// The name without the API group, for output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AuthorizationPolicy => "AuthorizationPolicy",
            Self::EnvoyFilter => "EnvoyFilter",
            Self::GrpcRoute => "GRPCRoute",
            Self::Gateway | Self::ApiGateway => "Gateway",
            Self::HttpRoute => "HTTPRoute",
            Self::Ingress => "Ingress",
            Self::ListenerSet => "ListenerSet",
            Self::Secret => "Secret",
            Self::TcpRoute => "TCPRoute",
            Self::TlsRoute => "TLSRoute",
            Self::TrafficExtension => "TrafficExtension",
            Self::VirtualService => "VirtualService",
            Self::WasmPlugin => "WasmPlugin",
        }
    }

    /// The API group; empty for Kubernetes' core.
    #[must_use]
    pub fn group(self) -> &'static str {
        match self {
            Self::AuthorizationPolicy => ISTIO_SECURITY,
            Self::EnvoyFilter | Self::Gateway | Self::VirtualService => ISTIO,
            Self::ApiGateway
            | Self::GrpcRoute
            | Self::HttpRoute
            | Self::ListenerSet
            | Self::TcpRoute
            | Self::TlsRoute => GATEWAY_API,
            Self::Ingress => KUBERNETES,
            Self::Secret => "",
            Self::TrafficExtension | Self::WasmPlugin => ISTIO_EXTENSIONS,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
