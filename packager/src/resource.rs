//! The Kubernetes resource that installs the filter on a gateway, or the boundary for hosts with mutual TLS.
//! The output is deterministic. A resource that the API server would refuse or the control plane would ignore
//! is an error.
//!
//! A [`Draft`] is what the user asks for, and a [`Request`] is a valid draft. Each kind of [`Resource`] has a
//! module. A [`ScriptDraft`] and a [`ScriptRequest`] are the same for the rule as a Lua script. [`notes`] has comments and warnings about a resource, [`pull_secret`] the command that creates its
//! Secret, [`reach`] the workloads that it applies to, and [`difference`] compares it with an existing one.

mod attachment;
mod authorization_policy;
pub(crate) mod boundary_notes;
pub(crate) mod difference;
mod envoy_extension_policy;
mod envoy_filter;
mod fields;
mod image_reference;
mod kind;
mod memory;
pub(crate) mod names;
pub(crate) mod notes;
pub(crate) mod pull_secret;
mod reach;
mod release;
mod request;
pub(crate) mod script;
mod traffic_extension;
mod wasm_plugin;

pub(crate) use attachment::{Attachment, PolicyTarget, invalid};
pub(crate) use authorization_policy::{AuthorizationPolicy, Ports};
pub(crate) use envoy_extension_policy::EnvoyExtensionPolicy;
pub(crate) use envoy_filter::EnvoyFilter;
pub(crate) use fields::{FailStrategy, Metadata, Phase};
pub(crate) use image_reference::ImageReference;
pub(crate) use kind::{FilterKind, ManifestKind};
pub(crate) use memory::{memory_warning, script_warnings};
pub(crate) use names::{Labels, Namespace, ObjectName};
pub(crate) use reach::reached_workloads;
pub(crate) use release::Release;
pub(crate) use request::{Draft, Request};
pub(crate) use script::{ScriptDraft, ScriptKind, ScriptRequest};
pub(crate) use traffic_extension::TrafficExtension;
pub(crate) use wasm_plugin::WasmPlugin;

use anyhow::{Context, Result};
use serde::{Serialize, Serializer};
use serde_saphyr::SerializerOptions;

/// A resource of one of the kinds.
#[derive(Clone, Debug)]
pub(crate) enum Resource {
    /// Istio's resource for Wasm filters, in every release.
    WasmPlugin(WasmPlugin),
    /// The successor of WasmPlugin in Istio.
    TrafficExtension(TrafficExtension),
    /// Envoy Gateway's resource for Wasm filters.
    EnvoyExtensionPolicy(EnvoyExtensionPolicy),
    /// Istio's patches of Envoy's configuration, with the rule as a Lua script.
    EnvoyFilter(EnvoyFilter),
    /// Istio's access control. It does not run the filter.
    AuthorizationPolicy(AuthorizationPolicy),
}

impl From<Request> for Resource {
    fn from(request: Request) -> Self {
        match request.kind {
            FilterKind::WasmPlugin => Self::WasmPlugin(request.into()),
            FilterKind::TrafficExtension => Self::TrafficExtension(request.into()),
            FilterKind::EnvoyExtensionPolicy => Self::EnvoyExtensionPolicy(request.into()),
        }
    }
}

impl From<ScriptRequest> for Resource {
    fn from(request: ScriptRequest) -> Self {
        match request.kind {
            ScriptKind::TrafficExtension => Self::TrafficExtension(request.into()),
            ScriptKind::EnvoyFilter => Self::EnvoyFilter(request.into()),
        }
    }
}

impl Serialize for Resource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::WasmPlugin(resource) => resource.serialize(serializer),
            Self::TrafficExtension(resource) => resource.serialize(serializer),
            Self::EnvoyExtensionPolicy(resource) => resource.serialize(serializer),
            Self::EnvoyFilter(resource) => resource.serialize(serializer),
            Self::AuthorizationPolicy(resource) => resource.serialize(serializer),
        }
    }
}

/// YAML that every version of kubectl reads in the same way.
///
/// # Errors
/// The value cannot be written as YAML.
pub fn to_yaml(value: &impl Serialize) -> Result<String> {
    let yaml = serde_saphyr::to_string_with_options(value, one_line_strings())
        .context("writing the resource as YAML")?;
    Ok(format!("{}\n", yaml.trim_end()))
}

/// Long strings stay in one line, so that a search for an image finds it.
fn one_line_strings() -> SerializerOptions {
    // A block scalar would split a long reference over several lines.
    serde_saphyr::ser_options! { prefer_block_scalars: false }
}
