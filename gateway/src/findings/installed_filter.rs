//! Installed filters of ours, and the gateways that Istio attaches them to.

use crate::istio::{PluginTarget, Reach, reaches};
use crate::resources::Resources;
use crate::resources::extensions::Extension;
use crate::{Listener, Model, Workload};

/// A part of the name of our images and resources.
const OUR_NAME: &str = "sni-guard";

/// The plugins that load an image of ours, or have our name.
pub(super) fn installed(resources: &Resources) -> impl Iterator<Item = &Extension> {
    resources.extensions.iter().filter(|plugin| {
        // Only the last part of the image: a registry or a folder may have any name.
        let image = plugin.url().rsplit('/').next().unwrap_or_default();
        image.contains(OUR_NAME) || plugin.metadata.name.contains(OUR_NAME)
    })
}

/// Whether a plugin applies to the pods of a workload. With `targetRefs` Istio ignores the selector.
pub(super) fn reach(plugin: &Extension, workload: &Workload) -> Reach {
    let target = if plugin.spec.target_refs.is_empty() {
        let selector = plugin.spec.selector.as_ref();
        PluginTarget::Selector(
            selector
                .map(|selector| selector.match_labels.clone())
                .unwrap_or_default(),
        )
    } else {
        PluginTarget::Gateways(gateway_targets(plugin).cloned().collect())
    };
    reaches(&plugin.metadata.namespace, &target, workload)
}

/// The workloads that Istio attaches a plugin to for certain.
pub(super) fn attached_workloads<'m>(plugin: &Extension, model: &'m Model) -> Vec<&'m Workload> {
    model
        .workloads
        .iter()
        .filter(|workload| reach(plugin, workload) == Reach::Yes)
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
