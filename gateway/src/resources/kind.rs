//! The kinds of resources that are named in findings and plans.

use std::fmt;

pub(crate) const GATEWAY_API: &str = "gateway.networking.k8s.io";
pub(crate) const ISTIO: &str = "networking.istio.io";
pub(crate) const ISTIO_EXTENSIONS: &str = "extensions.istio.io";
pub(crate) const KUBERNETES: &str = "networking.k8s.io";

/// A kind with its API group, since Istio's Gateway and that of the Gateway API share a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// The name, which is all of it that is displayed.
    pub name: &'static str,
    /// The API group; empty for Kubernetes' core.
    pub group: &'static str,
}

impl Kind {
    /// Istio's own Gateway.
    pub const GATEWAY: Self = Self::new(ISTIO, "Gateway");
    /// Istio's VirtualService.
    pub const VIRTUAL_SERVICE: Self = Self::new(ISTIO, "VirtualService");
    /// Istio's EnvoyFilter.
    pub const ENVOY_FILTER: Self = Self::new(ISTIO, "EnvoyFilter");
    /// Istio's WasmPlugin.
    pub const WASM_PLUGIN: Self = Self::new(ISTIO_EXTENSIONS, "WasmPlugin");
    /// Istio's TrafficExtension.
    pub const TRAFFIC_EXTENSION: Self = Self::new(ISTIO_EXTENSIONS, "TrafficExtension");
    /// The Gateway of the Gateway API.
    pub const API_GATEWAY: Self = Self::new(GATEWAY_API, "Gateway");
    /// The ListenerSet of the Gateway API.
    pub const LISTENER_SET: Self = Self::new(GATEWAY_API, "ListenerSet");
    /// The HTTPRoute of the Gateway API.
    pub const HTTP_ROUTE: Self = Self::new(GATEWAY_API, "HTTPRoute");
    /// The GRPCRoute of the Gateway API.
    pub const GRPC_ROUTE: Self = Self::new(GATEWAY_API, "GRPCRoute");
    /// The TLSRoute of the Gateway API.
    pub const TLS_ROUTE: Self = Self::new(GATEWAY_API, "TLSRoute");
    /// The Ingress of Kubernetes.
    pub const INGRESS: Self = Self::new(KUBERNETES, "Ingress");
    /// The Secret of Kubernetes.
    pub const SECRET: Self = Self::new("", "Secret");

    const fn new(group: &'static str, name: &'static str) -> Self {
        Self { name, group }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
