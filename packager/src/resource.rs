//! The Kubernetes resource that has a gateway run the filter: typed, deterministic, and refused
//! where the API server or istiod would refuse or ignore it.

mod image_reference;
mod wasm_plugin;

pub use image_reference::PinnedImage;
pub use wasm_plugin::{
    FailStrategy, Match, Metadata, Phase, PolicyTarget, PortSelector, Spec, WasmPlugin,
    WorkloadSelector,
};

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::console::Hinted;
use crate::settings::Settings;

/// What a resource is to say.
#[derive(Clone, Debug)]
pub struct Request {
    /// The image.
    pub image: PinnedImage,
    /// The name of the resource.
    pub name: String,
    /// The gateway's namespace.
    pub namespace: String,
    /// The gateways it is for.
    pub attachment: Attachment,
    /// The ports that Envoy listens on, where the filter is not for all of them.
    pub ports: Vec<u16>,
    /// Where in the filter chain it goes.
    pub phase: Phase,
    /// Its place among the plugins of its phase; the highest comes first.
    pub priority: i32,
    /// What a gateway does without the module.
    pub fail_strategy: FailStrategy,
    /// The Secret to pull the image with.
    pub image_pull_secret: Option<String>,
    /// The filter's configuration, checked.
    pub settings: Settings,
}

/// Which gateways run the filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// The pods with these labels.
    Selector(BTreeMap<String, String>),
    /// Managed gateways of the Gateway API, by name.
    Targets(Vec<PolicyTarget>),
    /// Every proxy of the namespace; of the mesh, when that is its root namespace.
    Everything,
}

impl PolicyTarget {
    /// Reads `KIND/NAME`.
    ///
    /// # Errors
    /// The text is not of that form, or istiod would not attach a plugin for a gateway there
    /// (Istio `pilot/pkg/model/policyattachment.go`).
    pub fn parse(text: &str) -> Result<Self> {
        match text.split_once('/') {
            Some(("Gateway", name)) if !name.is_empty() => Ok(Self {
                group: "gateway.networking.k8s.io".into(),
                kind: "Gateway".into(),
                name: name.into(),
            }),
            Some(("GatewayClass", _)) => bail!(Hinted::new(
                format!("target {text}: of a GatewayClass, istiod attaches to waypoints alone"),
                "name a Gateway of the Gateway API, or select a gateway's pods with --selector"
            )),
            _ => bail!(Hinted::new(
                format!("target {text:?} is not of the form Gateway/NAME"),
                "name a Gateway of the Gateway API, or select a gateway's pods with --selector"
            )),
        }
    }
}
