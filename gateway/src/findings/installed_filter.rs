//! Installed filters of ours, and the gateways that Istio attaches them to.

use crate::resources::Resources;
use crate::resources::extensions::Extension;
use crate::{Listener, Model, Workload};

/// A part of the name of our images and resources.
const OUR_NAME: &str = "sni-guard";

/// The namespace whose plugins apply to all namespaces (Istio `meshConfig.rootNamespace`).
pub(super) const ROOT_NAMESPACE: &str = "istio-system";

/// The label of the pods that istiod creates for a Gateway of the Gateway API.
pub(super) const GATEWAY_NAME_LABEL: &str = "gateway.networking.k8s.io/gateway-name";

/// The plugins that load an image of ours, or have our name.
pub(super) fn installed(resources: &Resources) -> impl Iterator<Item = &Extension> {
    resources.extensions.iter().filter(|plugin| {
        // Only the last part of the image: a registry or a folder may have any name.
        let image = plugin.url().rsplit('/').next().unwrap_or_default();
        image.contains(OUR_NAME) || plugin.metadata.name.contains(OUR_NAME)
    })
}

/// Whether Istio attaches a plugin to the pods of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attachment {
    Attached,
    Detached,
    /// The input does not contain the pods, and they may have more labels than the model knows.
    Uncertain,
}

/// Restates Istio `pilot/pkg/model/policyattachment.go`: `targetRefs` go before the selector.
pub(super) fn attachment(plugin: &Extension, workload: &Workload) -> Attachment {
    let namespace = &plugin.metadata.namespace;
    let is_same_namespace = *namespace == workload.namespace;
    // With targetRefs Istio ignores the selector, and the root namespace has no special meaning.
    if !plugin.spec.target_refs.is_empty() {
        let gateway = workload.labels.get(GATEWAY_NAME_LABEL);
        let is_target =
            gateway.is_some_and(|name| gateway_targets(plugin).any(|target| target == name));
        return if is_same_namespace && is_target {
            Attachment::Attached
        } else {
            Attachment::Detached
        };
    }
    // Istio applies a selector only to pods of its own namespace, except in the root namespace.
    if namespace != ROOT_NAMESPACE && !is_same_namespace {
        return Attachment::Detached;
    }
    selection(plugin, workload)
}

/// Whether the selector of a plugin matches the labels of a workload. No selector matches every workload.
fn selection(plugin: &Extension, workload: &Workload) -> Attachment {
    let mut result = Attachment::Attached;
    let Some(selector) = &plugin.spec.selector else {
        return result;
    };
    for (key, value) in &selector.match_labels {
        match workload.labels.get(key) {
            Some(found) if found == value => {}
            // The model derived the labels of an assumed workload from a selector: pods can have more.
            None if workload.is_assumed => result = Attachment::Uncertain,
            Some(_) | None => return Attachment::Detached,
        }
    }
    result
}

/// The workloads that Istio attaches a plugin to for certain.
pub(super) fn attached_workloads<'m>(plugin: &Extension, model: &'m Model) -> Vec<&'m Workload> {
    model
        .workloads
        .iter()
        .filter(|workload| attachment(plugin, workload) == Attachment::Attached)
        .collect()
}

/// The names of the Gateways that the `targetRefs` of a plugin list.
pub(super) fn gateway_targets(plugin: &Extension) -> impl Iterator<Item = &String> {
    plugin
        .spec
        .target_refs
        .iter()
        .filter(|target| target.kind == "Gateway")
        .map(|target| &target.name)
}

/// Whether a plugin that is attached to a workload runs on a TLS listener of it: without any `match` on
/// every listener, else if the mode and the port match (Istio `pilot/pkg/model/extensions.go`,
/// `MatchListener`).
pub(super) fn applies_to(plugin: &Extension, listener: &Listener) -> bool {
    let matches = &plugin.spec.matches;
    // Istio treats a listener of a gateway as CLIENT, and an empty mode as both.
    let is_matched = matches
        .iter()
        .filter(|found| found.mode != "SERVER")
        .any(|found| {
            found.ports.is_empty() || found.ports.iter().any(|port| port.number == listener.port)
        });
    listener.is_tls() && (matches.is_empty() || is_matched)
}
