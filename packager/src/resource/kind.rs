//! The kinds of resources, and the paths of their fields.

use clap::ValueEnum;
use clap::builder::PossibleValue;

/// A kind of resource that the packager writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ManifestKind {
    /// A kind that runs the filter on a gateway.
    Filter(FilterKind),
    /// Istio's patches of Envoy's configuration, which can run the rule as a Lua script.
    EnvoyFilter,
    /// Istio's access control, a security boundary for hosts with mutual TLS.
    AuthorizationPolicy,
}

impl ManifestKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Filter(kind) => kind.name(),
            Self::EnvoyFilter => "EnvoyFilter",
            Self::AuthorizationPolicy => "AuthorizationPolicy",
        }
    }

    /// Whether istiod reads the kind.
    pub(crate) fn is_istio(self) -> bool {
        match self {
            Self::Filter(kind) => kind.is_istio(),
            Self::EnvoyFilter | Self::AuthorizationPolicy => true,
        }
    }
}

impl From<FilterKind> for ManifestKind {
    fn from(kind: FilterKind) -> Self {
        Self::Filter(kind)
    }
}

impl ValueEnum for ManifestKind {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Filter(FilterKind::WasmPlugin),
            Self::Filter(FilterKind::TrafficExtension),
            Self::Filter(FilterKind::EnvoyExtensionPolicy),
            Self::EnvoyFilter,
            Self::AuthorizationPolicy,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Filter(kind) => kind.to_possible_value(),
            // The derived help of the other kinds does not cover these two.
            Self::EnvoyFilter => {
                Some(PossibleValue::new(self.name()).help("Istio, every release; only with --lua"))
            }
            Self::AuthorizationPolicy => {
                Some(PossibleValue::new(self.name()).help(
                    "Istio; the boundary for hosts with mutual TLS (SG103), without the filter",
                ))
            }
        }
    }
}

/// A kind of resource that runs the filter on a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
pub(crate) enum FilterKind {
    /// Istio, every release
    WasmPlugin,
    /// Istio from 1.30 on, which converts every `WasmPlugin` to this kind
    TrafficExtension,
    /// Envoy Gateway
    EnvoyExtensionPolicy,
}

impl FilterKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WasmPlugin => "WasmPlugin",
            Self::TrafficExtension => "TrafficExtension",
            Self::EnvoyExtensionPolicy => "EnvoyExtensionPolicy",
        }
    }

    /// Whether istiod reads the kind.
    pub(crate) fn is_istio(self) -> bool {
        match self {
            Self::WasmPlugin | Self::TrafficExtension => true,
            Self::EnvoyExtensionPolicy => false,
        }
    }

    /// The path of the reference to the image.
    pub(super) fn url_path(self) -> &'static str {
        match self {
            Self::WasmPlugin => "spec.url",
            Self::TrafficExtension => "spec.wasm.url",
            Self::EnvoyExtensionPolicy => "spec.wasm[0].code.image.url",
        }
    }

    /// The path of the name of the Secret to pull the image with.
    pub(super) fn secret_path(self) -> &'static str {
        match self {
            Self::WasmPlugin => "spec.imagePullSecret",
            Self::TrafficExtension => "spec.wasm.imagePullSecret",
            Self::EnvoyExtensionPolicy => "spec.wasm[0].code.image.pullSecretRef.name",
        }
    }

    /// The path of the failure strategy.
    pub(super) fn failure_path(self) -> &'static str {
        match self {
            Self::WasmPlugin => "spec.failStrategy",
            Self::TrafficExtension => "spec.wasm.failStrategy",
            Self::EnvoyExtensionPolicy => "spec.wasm[0].failOpen",
        }
    }
}
