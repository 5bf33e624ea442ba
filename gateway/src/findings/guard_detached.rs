//! SG402: an installed filter that runs on no gateway.

use super::context::Context;
use super::finding::Findings;
use super::info::{Info, Severity};
use super::installed_filter::{self, gateway_targets, reach};
use super::{Code, Finding};
use crate::istio::{GATEWAY_NAME_LABEL, ROOT_NAMESPACE, Reach};
use crate::resources::extensions::Extension;
use crate::resources::{Kind, Metadata, ResourceName, Resources};
use crate::{Model, Workload};

pub(super) const INFO: Info = Info {
    id: "SG402",
    name: "guard-detached",
    severity: Severity::Error,
    what: "An installed filter runs on no gateway.",
    why: "The gateways look protected, but they are not.",
    example: "A WasmPlugin in namespace shop selects pods that run in istio-system.",
    fix: "Create the resource in the namespace of the gateway's pods, select these pods, and list ports \
          that Envoy listens on. These are the ports of the pods, not of the Service.",
    coalesced_answer: None,
};

/// The class of the gateways for traffic inside an ambient mesh.
const WAYPOINT_CLASS: &str = "istio-waypoint";

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    for plugin in installed_filter::installed(context.input.resources) {
        let Some(reason) = reason(plugin, context) else {
            continue;
        };
        let name = plugin.metadata.resource(plugin.kind);
        let message = format!("{name} runs on no gateway: {reason}");
        let hint = "write the resource again with packager manifest, for the namespace and the labels \
                    of the gateway's pods";
        findings.add(Finding::new(Code::GuardDetached, message, hint).about(name));
    }
}

/// Why a plugin runs on no gateway. `None` also where the input leaves a doubt.
pub(super) fn reason(plugin: &Extension, context: &Context<'_>) -> Option<String> {
    let resources = context.input.resources;
    // Istio 1.31 looks up targetRefs among the Gateways of the Gateway API only
    // (`ShouldAttachPolicy` in `pilot/pkg/model/policyattachment.go`).
    if let Some(name) = istio_gateway_target(plugin, resources) {
        return Some(format!(
            "its targetRefs refer to {name}, which is not a Gateway of the Gateway API; select its \
             pods instead"
        ));
    }
    // Istio's mode CLIENT includes gateways, SERVER does not (Istio API `WorkloadMode`).
    let matches = &plugin.spec.matches;
    if !matches.is_empty() && matches.iter().all(|found| found.mode == "SERVER") {
        return Some("its mode is SERVER, but listeners of gateways have mode CLIENT".into());
    }
    // The selector: wrong labels or a wrong namespace are the most common mistakes.
    let attached = installed_filter::attached_workloads(plugin, context.input.model);
    if attached.is_empty() {
        return waypoint_reason(plugin, resources)
            .or_else(|| unselected_reason(plugin, context.input.model));
    }
    // The ports: a plugin lists the ports that Envoy listens on, not the ports of the Service.
    missed_ports_reason(plugin, &attached)
}

fn waypoint_reason(plugin: &Extension, resources: &Resources) -> Option<String> {
    let name = selected_waypoint(plugin, resources)?;
    Some(format!(
        "its selector matches the pods of {name}, a waypoint, which only targetRefs can select"
    ))
}

/// The reason if the selector matches no gateway, and no gateway can have further labels.
fn unselected_reason(plugin: &Extension, model: &Model) -> Option<String> {
    // Without any gateway in the input there is nothing to compare with.
    if model.workloads.is_empty() || !plugin.spec.target_refs.is_empty() {
        return None;
    }
    let namespace = &plugin.metadata.namespace;
    // An uncertain attachment is not reported: the pods may have the labels.
    model
        .workloads
        .iter()
        .all(|workload| reach(plugin, workload) == Reach::No)
        .then(|| {
            format!(
                "no pods of a gateway that a resource in namespace {namespace} can select have the \
                 labels of its selector"
            )
        })
}

/// The reason if a plugin lists ports, and all TLS listeners of its workloads have others.
fn missed_ports_reason(plugin: &Extension, attached: &[&Workload]) -> Option<String> {
    let mut ports = Vec::new();
    for listener in attached.iter().flat_map(|workload| &workload.listeners) {
        if !listener.is_tls() {
            continue;
        }
        // Without the Service in the input, Envoy may listen on another port.
        if !listener.port_is_certain || installed_filter::applies_to(plugin, listener) {
            return None;
        }
        ports.push(listener.port.to_string());
    }
    (!ports.is_empty()).then(|| {
        format!(
            "its ports include none of the ports that Envoy listens on with TLS ({})",
            ports.join(", ")
        )
    })
}

/// The waypoint whose pods a plugin selects (Istio `pilot/pkg/model/policyattachment.go`).
fn selected_waypoint(plugin: &Extension, resources: &Resources) -> Option<ResourceName> {
    // Without labels the resource selects all pods of the namespace, not a waypoint in particular.
    let wanted = &plugin.spec.selector.as_ref()?.match_labels;
    if wanted.is_empty() || !plugin.spec.target_refs.is_empty() {
        return None;
    }
    let namespace = &plugin.metadata.namespace;
    resources
        .api_gateways
        .iter()
        .filter(|gateway| gateway.spec.gateway_class_name == WAYPOINT_CLASS)
        .map(|gateway| &gateway.metadata)
        .filter(|metadata| namespace == ROOT_NAMESPACE || *namespace == metadata.namespace)
        .find(|metadata| {
            wanted
                .iter()
                .all(|(key, value)| pods_have_label(metadata, key, value))
        })
        .map(|metadata| metadata.resource(Kind::ApiGateway))
}

/// Whether the pods of a Gateway of the Gateway API have a label: istiod copies the labels of the Gateway
/// and adds its name.
fn pods_have_label(gateway: &Metadata, key: &str, value: &str) -> bool {
    (key == GATEWAY_NAME_LABEL && value == gateway.name)
        || gateway.labels.get(key).is_some_and(|found| found == value)
}

/// Istio's own Gateway that `targetRefs` refer to as if it were a Gateway of the Gateway API.
fn istio_gateway_target(plugin: &Extension, resources: &Resources) -> Option<ResourceName> {
    let namespace = &plugin.metadata.namespace;
    for name in gateway_targets(plugin) {
        // Both kinds may have the name; then Istio attaches the plugin to the right one.
        let is_api_gateway = resources
            .api_gateways
            .iter()
            .any(|gateway| has_name(&gateway.metadata, namespace, name));
        if is_api_gateway {
            continue;
        }
        let istio_gateway = resources
            .gateways
            .iter()
            .find(|gateway| has_name(&gateway.metadata, namespace, name));
        if let Some(gateway) = istio_gateway {
            return Some(gateway.metadata.resource(Kind::Gateway));
        }
    }
    None
}

fn has_name(metadata: &Metadata, namespace: &str, name: &str) -> bool {
    metadata.namespace == namespace && metadata.name == name
}
