//! Names of Gateways as routes refer to them, parsed once.

use std::fmt;

use serde::Deserialize;

/// The namespace and name of a Gateway, such as `shop/public`. Gateways that istiod generates have one
/// too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayName {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl GatewayName {
    pub(crate) fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for GatewayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A Gateway as a VirtualService refers to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum GatewayReference {
    /// `mesh`: the sidecars of the mesh, which are not a Gateway.
    Mesh,
    /// `name` or `./name`: a Gateway in the namespace of the VirtualService.
    Local(String),
    /// `namespace/name`, or the legacy `name.namespace.svc…`.
    Qualified(GatewayName),
}

impl From<String> for GatewayReference {
    fn from(text: String) -> Self {
        Self::parse(&text)
    }
}

impl GatewayReference {
    /// Reads a reference (Istio `pilot/pkg/model/config.go`, `resolveGatewayName`).
    pub(crate) fn parse(text: &str) -> Self {
        if text == "mesh" {
            return Self::Mesh;
        }
        match (text.split_once('/'), text.split_once('.')) {
            (Some((".", name)), _) => Self::Local(name.into()),
            // A slash takes precedence over a dot, which a name can contain.
            (Some((namespace, name)), _) => Self::Qualified(GatewayName::new(namespace, name)),
            (None, None) => Self::Local(text.into()),
            // The legacy form is a host name, whose second label is the namespace.
            (None, Some((name, rest))) => {
                let namespace = rest.split('.').next().unwrap_or(rest);
                Self::Qualified(GatewayName::new(namespace, name))
            }
        }
    }

    /// The same reference with a namespace, for a VirtualService of `namespace`.
    pub(crate) fn resolve(&self, namespace: &str) -> Self {
        match self {
            Self::Local(name) => Self::Qualified(GatewayName::new(namespace, name)),
            Self::Mesh | Self::Qualified(_) => self.clone(),
        }
    }

    /// Whether this is a Gateway, by its full name.
    pub(crate) fn is(&self, gateway: &GatewayName) -> bool {
        match self {
            Self::Qualified(name) => name == gateway,
            Self::Mesh | Self::Local(_) => false,
        }
    }
}

impl fmt::Display for GatewayReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mesh => f.write_str("mesh"),
            Self::Local(name) => f.write_str(name),
            Self::Qualified(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{GatewayName, GatewayReference};

    #[test]
    fn references_of_a_namespace() {
        for (text, expected) in [
            ("mesh", "mesh"),
            ("public", "shop/public"),
            ("./public", "shop/public"),
            ("other/public", "other/public"),
            ("public.other", "other/public"),
            ("public.other.svc.cluster.local", "other/public"),
        ] {
            let resolved = GatewayReference::parse(text).resolve("shop");
            assert_eq!(resolved.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn only_a_resolved_reference_is_a_gateway() {
        let gateway = GatewayName::new("shop", "public");
        let local = GatewayReference::parse("public");
        assert!(!local.is(&gateway));
        assert!(local.resolve("shop").is(&gateway));
        assert!(!local.resolve("other").is(&gateway));
        assert!(!GatewayReference::parse("mesh").is(&gateway));
    }
}
