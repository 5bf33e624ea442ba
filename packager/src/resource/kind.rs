//! The kinds of resource, and where each has its fields.

use clap::ValueEnum;
use clap::builder::PossibleValue;

/// A kind of resource that the packager writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ManifestKind {
    /// One that has a gateway run the filter.
    Filter(Kind),
    /// Istio's own access control, which is a boundary where the filter is none.
    AuthorizationPolicy,
}

impl ManifestKind {
    /// The name of the kind.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Filter(kind) => kind.name(),
            Self::AuthorizationPolicy => "AuthorizationPolicy",
        }
    }

    /// Whether istiod reads it.
    #[must_use]
    pub(crate) fn is_istio(self) -> bool {
        match self {
            Self::Filter(kind) => kind.is_istio(),
            Self::AuthorizationPolicy => true,
        }
    }
}

impl From<Kind> for ManifestKind {
    fn from(kind: Kind) -> Self {
        Self::Filter(kind)
    }
}

impl ValueEnum for ManifestKind {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Filter(Kind::WasmPlugin),
            Self::Filter(Kind::TrafficExtension),
            Self::Filter(Kind::EnvoyExtensionPolicy),
            Self::AuthorizationPolicy,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Filter(kind) => kind.to_possible_value(),
            Self::AuthorizationPolicy => {
                Some(PossibleValue::new(self.name()).help(
                    "Istio; not the filter, but the boundary for hosts with mutual TLS (SG103)",
                ))
            }
        }
    }
}

/// A kind of resource that has a gateway run the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
pub(crate) enum Kind {
    /// Istio, every release
    WasmPlugin,
    /// Istio from 1.30 on, which turns every `WasmPlugin` into one
    TrafficExtension,
    /// Envoy Gateway
    EnvoyExtensionPolicy,
}

impl Kind {
    /// The name of the kind.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WasmPlugin => "WasmPlugin",
            Self::TrafficExtension => "TrafficExtension",
            Self::EnvoyExtensionPolicy => "EnvoyExtensionPolicy",
        }
    }

    /// Whether istiod reads it.
    #[must_use]
    pub(crate) fn is_istio(self) -> bool {
        self != Self::EnvoyExtensionPolicy
    }

    /// The path of the image's reference.
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

    /// The path of what a gateway does without the module.
    pub(super) fn failure_path(self) -> &'static str {
        match self {
            Self::WasmPlugin => "spec.failStrategy",
            Self::TrafficExtension => "spec.wasm.failStrategy",
            Self::EnvoyExtensionPolicy => "spec.wasm[0].failOpen",
        }
    }
}
