//! SG402: an installed filter that runs on no gateway.

use super::context::Context;
use super::finding::Findings;
use super::info::{Info, Severity};
use super::installation::Installation;
use super::installed_filter::InstalledFilter;
use super::{Code, Finding, PluginReach, ReachedPods, Remedy, kubectl, rewrite};
use crate::istio::{GATEWAY_NAME_LABEL, ROOT_NAMESPACE, Reach};
use crate::mesh::REVISION_LABEL;
use crate::resources::kind::{GATEWAY_API, ISTIO};
use crate::resources::{Kind, Metadata, ResourceName, Resources};
use crate::revision_tags::RevisionTags;
use crate::{Model, Workload};

pub(super) const INFO: Info = Info {
    id: "SG402",
    name: "guard-detached",
    severity: Severity::Error,
    what: "An installed filter runs on no gateway.",
    why: "The gateways look protected, but they are not.",
    example: "A WasmPlugin in namespace shop selects pods that run in istio-system.",
    fix: "Create the resource in the namespace of the gateway's pods, select these pods, and list ports \
          that Envoy listens on. These are the ports of the pods, not of the Service. Use targetRefs only \
          for Gateways of the Gateway API.",
    coalesced_answer: None,
};

/// The hint if several gateways are possible; the remedies have the commands.
const SEVERAL_GATEWAYS: &str = "write the resource again for the gateway that it is meant for";

/// The class of the gateways for traffic inside an ambient mesh.
const WAYPOINT_CLASS: &str = "istio-waypoint";

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    for filter in &context.installed_filters {
        let Some(reason) = reason(filter.installation, context) else {
            continue;
        };
        let name = filter.resource();
        let message = format!("{name} runs on no gateway: {reason}");
        // A plugin of another revision selects the right pods.
        let hints = if pods_of_other_revision(filter.installation, context.input.model).is_some() {
            Vec::new()
        } else {
            rewrite::other_pods(filter, context.input.model)
        };
        findings.add(
            match <[Remedy; 1]>::try_from(hints) {
                Ok([only]) => Finding::new(Code::GuardDetached, message, only),
                Err(hints) if hints.is_empty() => {
                    Finding::new(Code::GuardDetached, message, edit(filter, context))
                }
                Err(hints) => Finding::new(Code::GuardDetached, message, SEVERAL_GATEWAYS)
                    .with_remedies(hints),
            }
            .about(name),
        );
    }
}

/// The hint for a resource that `packager manifest` does not write: a script, or one without any gateway that it
/// could run on.
fn edit(filter: &InstalledFilter<'_>, context: &Context<'_>) -> Remedy {
    let installation = filter.installation;
    let name = filter.resource();
    if let Some(revision) = pods_of_other_revision(installation, context.input.model)
        .and_then(|pods| pods.revision.as_deref())
    {
        return Remedy::with_command(
            format!("give {name} the revision of the pods, or remove the label"),
            kubectl::label(&name, &format!("{REVISION_LABEL}={revision}")),
        );
    }
    let selector = match installation {
        Installation::Extension(_) => "spec.selector.matchLabels",
        Installation::Patch(..) => "spec.workloadSelector.labels",
    };
    let reached = installation.attached_workloads(context.input.model);
    let own_namespace = context
        .input
        .model
        .workloads
        .iter()
        .find(|workload| workload.namespace == name.namespace);
    let text = match (class_field(installation), reached.first(), own_namespace) {
        (Some((field, value)), _, _) => format!("set {field} of {name} to {value}"),
        (None, Some(workload), _) => format!(
            "set {} of {name} to ports that Envoy listens on with TLS ({})",
            match installation {
                Installation::Extension(_) => "spec.match",
                Installation::Patch(..) => "spec.configPatches[].match.listener.portNumber",
            },
            tls_ports(workload)
        ),
        (None, None, Some(workload)) => format!(
            "set {selector} of {name} to {{{}}}, labels of the pods of {}",
            written_labels(workload, context),
            workload.full_name()
        ),
        // A resource cannot move to another namespace.
        (None, None, None) => format!(
            "create {} in the namespace of the gateway's pods, with their labels in {selector}, and delete {name}",
            name.name
        ),
    };
    let command = kubectl::edit(&name);
    Remedy::with_command(text, command)
}

/// The field that limits a filter to listeners which gateways do not have, with its new value.
fn class_field(installation: Installation<'_>) -> Option<(&'static str, &'static str)> {
    class_reason(installation)?;
    Some(match installation {
        Installation::Extension(extension) if extension.is_network_filter() => {
            ("the type of the module", "HTTP")
        }
        Installation::Extension(_) => ("spec.match[].mode", "CLIENT"),
        Installation::Patch(..) => ("spec.configPatches[].match.context", "GATEWAY"),
    })
}

/// The ports that Envoy listens on with TLS.
fn tls_ports(workload: &Workload) -> String {
    workload
        .listeners
        .iter()
        .filter(|listener| listener.is_tls())
        .map(|listener| listener.port.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// The labels that select the pods of a workload, as a selector has them.
fn written_labels(workload: &Workload, context: &Context<'_>) -> String {
    match PluginReach::new(workload, context.input.model).target {
        ReachedPods::Labels(labels) => labels
            .iter()
            .map(|(key, value)| format!("{key}: {value}"))
            .collect::<Vec<_>>()
            .join(", "),
        ReachedPods::Gateway(name) => format!("{GATEWAY_NAME_LABEL}: {name}"),
        ReachedPods::All => "none".to_owned(),
    }
}

/// Why a filter runs on no gateway. `None` also where the input leaves a doubt.
pub(super) fn reason(installation: Installation<'_>, context: &Context<'_>) -> Option<String> {
    let resources = context.input.resources;
    if let Some(reason) = class_reason(installation) {
        return Some(reason);
    }
    // The selector: wrong labels or a wrong namespace are the most common mistakes.
    let attached = installation.attached_workloads(context.input.model);
    if attached.is_empty() {
        return revision_reason(installation, context)
            .or_else(|| target_reason(installation, resources))
            .or_else(|| waypoint_reason(installation, resources))
            .or_else(|| unselected_reason(installation, context.input.model));
    }
    // The ports: a filter lists the ports that Envoy listens on, not the ports of the Service.
    missed_ports_reason(installation, &attached)
}

/// The reason if a filter is for listeners that gateways do not have.
fn class_reason(installation: Installation<'_>) -> Option<String> {
    match installation {
        Installation::Extension(extension) if extension.is_network_filter() => Some(
            "its type is NETWORK, but the filter reads HTTP requests, so the type must be HTTP"
                .into(),
        ),
        // Istio's mode CLIENT includes gateways, SERVER does not (Istio API `WorkloadMode`).
        Installation::Extension(extension) => {
            let matches = &extension.spec.matches;
            let is_for_servers =
                !matches.is_empty() && matches.iter().all(|found| found.mode == "SERVER");
            is_for_servers.then(|| {
                "its mode is SERVER, but listeners of gateways have mode CLIENT".to_owned()
            })
        }
        // istiod compares the context of a patch with the kind of the listener (Istio
        // `pilot/pkg/networking/core/envoyfilter/listener_patch.go`, `patchContextMatch`).
        Installation::Patch(_, patch) => {
            let context = patch.matched.context.as_str();
            matches!(context, "SIDECAR_INBOUND" | "SIDECAR_OUTBOUND" | "WAYPOINT").then(|| {
                format!("the context of its patch is {context}, but gateways have GATEWAY")
            })
        }
    }
}

/// The reason if all pods that a filter selects have another revision than the filter.
fn revision_reason(installation: Installation<'_>, context: &Context<'_>) -> Option<String> {
    let own = installation.attachment().revision()?;
    let pods = pods_of_other_revision(installation, context.input.model)?;
    // istiod compares the label of a plugin with the name of its revision only.
    let tags = RevisionTags::new(context.input.resources);
    let tag = if tags.has(own) {
        format!(" ({own} is a tag, which istiod does not read for plugins)")
    } else {
        String::new()
    };
    Some(format!(
        "its label {REVISION_LABEL} is {own}{tag}, but the pods of {} have the revision {}",
        pods.full_name(),
        pods.revision.as_deref().unwrap_or_default()
    ))
}

/// Pods that a filter selects, and that the istiod of another revision configures.
fn pods_of_other_revision<'m>(
    installation: Installation<'_>,
    model: &'m Model,
) -> Option<&'m Workload> {
    installation.attachment().revision()?;
    let selected: Vec<&Workload> = model
        .workloads
        .iter()
        .filter(|workload| installation.attachment().reach_of_any_revision(workload) != Reach::No)
        .collect();
    let are_others = selected
        .iter()
        .all(|workload| installation.reach(workload) == Reach::No);
    selected.first().copied().filter(|_| are_others)
}

fn waypoint_reason(installation: Installation<'_>, resources: &Resources) -> Option<String> {
    let name = selected_waypoint(installation, resources)?;
    Some(format!(
        "its selector matches the pods of {name}, a waypoint, which only targetRefs can select"
    ))
}

/// The reason if the selector matches no gateway, and no gateway can have further labels.
fn unselected_reason(installation: Installation<'_>, model: &Model) -> Option<String> {
    // Without any gateway in the input there is nothing to compare with.
    if model.workloads.is_empty() || !installation.targets().is_empty() {
        return None;
    }
    let namespace = &installation.metadata().namespace;
    // An uncertain attachment is not reported: the pods may have the labels.
    model
        .workloads
        .iter()
        .all(|workload| installation.reach(workload) == Reach::No)
        .then(|| {
            format!(
                "no pods of a gateway that a resource in namespace {namespace} can select have the \
                 labels of its selector"
            )
        })
}

/// The reason if a filter is for some ports, and all TLS listeners of its workloads have others.
fn missed_ports_reason(installation: Installation<'_>, attached: &[&Workload]) -> Option<String> {
    let mut ports = Vec::new();
    for listener in attached.iter().flat_map(|workload| &workload.listeners) {
        if !listener.is_tls() {
            continue;
        }
        // Without the Service in the input, Envoy may listen on another port.
        if !listener.port_is_certain || installation.runs_on(listener) != Reach::No {
            return None;
        }
        ports.push(listener.port.to_string());
    }
    if ports.is_empty() {
        return None;
    }
    let ports = ports.join(", ");
    Some(match installation {
        Installation::Extension(_) => {
            format!("its ports include none of the ports that Envoy listens on with TLS ({ports})")
        }
        // A patch can also select a listener by its name, and a filter chain by its server name.
        Installation::Patch(..) => format!(
            "its match selects none of the listeners with TLS, which have the ports {ports}"
        ),
    })
}

/// The waypoint whose pods a filter selects (Istio `pilot/pkg/model/policyattachment.go`).
fn selected_waypoint(
    installation: Installation<'_>,
    resources: &Resources,
) -> Option<ResourceName> {
    // Without labels the resource selects all pods of the namespace, not a waypoint in particular.
    let wanted = installation.selector()?;
    if wanted.is_empty() || !installation.targets().is_empty() {
        return None;
    }
    let namespace = &installation.metadata().namespace;
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

/// The reason if a reference can name no Gateway of the Gateway API: it is the group of another API, or a
/// Gateway of Istio has the name.
fn target_reason(installation: Installation<'_>, resources: &Resources) -> Option<String> {
    let namespace = &installation.metadata().namespace;
    for target in installation.targets() {
        // Other kinds, such as Service, are for waypoints.
        if target.kind != "Gateway" {
            continue;
        }
        let name = &target.name;
        match target.group.as_str() {
            ISTIO => return Some(classic_gateway_reason(namespace, name)),
            GATEWAY_API => {
                // Without a Gateway of either API, the input may be incomplete.
                if !has_api_gateway(resources, namespace, name)
                    && has_istio_gateway(resources, namespace, name)
                {
                    return Some(misnamed_gateway_reason(namespace, name));
                }
            }
            // Istio compares the group, and an empty one is the core of Kubernetes (`CanonicalGroup` in
            // `pkg/config/schema/gvk`).
            group => {
                return Some(format!(
                    "its targetRefs have the group {group:?} for the kind Gateway, which has the group \
                     {GATEWAY_API}"
                ));
            }
        }
    }
    None
}

/// The reason for a reference to Istio's own kind Gateway.
fn classic_gateway_reason(namespace: &str, name: &str) -> String {
    // Istio 1.31 accepts only the group of the Gateway API (`ShouldAttachPolicy` in
    // `pilot/pkg/model/policyattachment.go`). A later release can attach to the pods of such a Gateway, so
    // the message names the release; a selector works with all.
    format!(
        "its targetRefs refer to Gateway {namespace}/{name} of {ISTIO}, to which Istio 1.31 and earlier \
         attach no plugin; select the pods of the gateway instead, which all releases understand"
    )
}

/// The reason for a reference to a Gateway of the Gateway API where only Istio has one of that name.
fn misnamed_gateway_reason(namespace: &str, name: &str) -> String {
    format!(
        "its targetRefs refer to Gateway {namespace}/{name} of {GATEWAY_API}, but this Gateway is one of \
         {ISTIO}; select the pods of the gateway instead"
    )
}

fn has_api_gateway(resources: &Resources, namespace: &str, name: &str) -> bool {
    resources
        .api_gateways
        .iter()
        .any(|gateway| has_name(&gateway.metadata, namespace, name))
}

fn has_istio_gateway(resources: &Resources, namespace: &str, name: &str) -> bool {
    resources
        .gateways
        .iter()
        .any(|gateway| has_name(&gateway.metadata, namespace, name))
}

fn has_name(metadata: &Metadata, namespace: &str, name: &str) -> bool {
    metadata.namespace == namespace && metadata.name == name
}
