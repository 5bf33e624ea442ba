//! SG401 and SG402: installed filters that do not do what they are there for.

mod servers;

use super::finding::Findings;
use super::{Code, Finding, Input};
use crate::istio::{GATEWAY_NAME_LABEL, PluginTarget, ROOT_NAMESPACE, Reach, reaches};
use crate::resources::extensions::Extension;
use crate::resources::{Kind, Resources};
use crate::{Listener, Workload};

/// What names of images and resources of ours contain.
const OURS: &str = "sni-guard";

/// The class of gateways inside the mesh.
const WAYPOINT_CLASS: &str = "istio-waypoint";

pub(super) fn find(input: &Input<'_>, findings: &mut Findings<'_>) {
    for guard in input
        .resources
        .extensions
        .iter()
        .filter(|extension| is_ours(extension))
    {
        let name = guard.metadata.resource(guard.kind);
        let attached: Vec<&Workload> = input
            .model
            .workloads
            .iter()
            .filter(|workload| reach(guard, workload) == Reach::Yes)
            .collect();
        if let Some(why) = detached(guard, input, &attached) {
            let message = format!("{name} runs on no gateway: {why}");
            let hint = "write it again with packager manifest, for the namespace and the labels of \
                        the gateway's pods";
            let finding = Finding::new(Code::GuardDetached, message, hint).about(name);
            findings.add([], finding);
            continue;
        }
        for workload in attached {
            let listeners: Vec<&Listener> = workload
                .listeners
                .iter()
                .filter(|found| listens(guard, found))
                .collect();
            if let Some(why) = servers::stale(guard, &listeners) {
                let message = format!("the servers of {name} are not those of the gateway: {why}");
                let hint = "write it again with packager manifest --from PATH, and apply it";
                let finding = Finding::new(Code::GuardStale, message, hint)
                    .on(workload)
                    .about(name.clone());
                findings.add([], finding);
            }
        }
    }
}

fn is_ours(extension: &Extension) -> bool {
    let image = extension.url().rsplit('/').next().unwrap_or_default();
    image.contains(OURS) || extension.metadata.name.contains(OURS)
}

/// Whether a plugin applies to a workload.
fn reach(guard: &Extension, workload: &Workload) -> Reach {
    let spec = &guard.spec;
    let target = if spec.target_refs.is_empty() {
        let selector = spec.selector.as_ref();
        PluginTarget::Selector(
            selector
                .map(|selector| selector.match_labels.clone())
                .unwrap_or_default(),
        )
    } else {
        PluginTarget::Gateways(
            spec.target_refs
                .iter()
                .filter(|target| target.kind == "Gateway")
                .map(|target| target.name.clone())
                .collect(),
        )
    };
    reaches(&guard.metadata.namespace, &target, workload)
}

/// Whether a plugin is for a listener of its workload.
fn listens(guard: &Extension, listener: &Listener) -> bool {
    let mut matches = guard
        .spec
        .matches
        .iter()
        .filter(|found| found.mode != "SERVER");
    let has_port = |ports: &[crate::resources::extensions::ExtensionPort]| {
        ports.is_empty() || ports.iter().any(|port| port.number == listener.port)
    };
    listener.is_tls()
        && (guard.spec.matches.is_empty() || matches.any(|found| has_port(&found.ports)))
}

/// Why a plugin runs nowhere, where that is certain.
fn detached(guard: &Extension, input: &Input<'_>, attached: &[&Workload]) -> Option<String> {
    if let Some(name) = classic_target(guard, input.resources) {
        return Some(format!(
            "its targetRefs name {name}, which is Istio's own Gateway; select its pods instead"
        ));
    }
    let matches = &guard.spec.matches;
    if !matches.is_empty() && matches.iter().all(|found| found.mode == "SERVER") {
        return Some("its mode is SERVER, and listeners of gateways are CLIENT".into());
    }
    if attached.is_empty()
        && let Some(name) = waypoint(guard, input.resources)
    {
        return Some(format!(
            "its selector is for the pods of {name}, a waypoint, which only targetRefs reach"
        ));
    }
    if attached.is_empty() {
        let workloads = &input.model.workloads;
        let is_certain = guard.spec.target_refs.is_empty()
            && !workloads.is_empty()
            && workloads
                .iter()
                .all(|workload| reach(guard, workload) == Reach::No);
        let namespace = &guard.metadata.namespace;
        return is_certain.then(|| {
            format!("no gateway has pods with the labels of its selector that namespace {namespace} may select")
        });
    }
    let mut tls = attached
        .iter()
        .flat_map(|workload| &workload.listeners)
        .filter(|l| l.is_tls());
    let is_missed = |listener: &Listener| listener.port_is_certain && !listens(guard, listener);
    let ports: Vec<String> = tls
        .clone()
        .map(|listener| listener.port.to_string())
        .collect();
    (!ports.is_empty() && tls.all(is_missed)).then(|| {
        format!(
            "none of its ports is one that Envoy listens on with TLS, which are {}",
            ports.join(", ")
        )
    })
}

/// The waypoint whose pods a plugin selects (Istio `pilot/pkg/model/policyattachment.go`).
fn waypoint(guard: &Extension, resources: &Resources) -> Option<String> {
    let wanted = &guard.spec.selector.as_ref()?.match_labels;
    let namespace = &guard.metadata.namespace;
    let mut waypoints = resources.api_gateways.iter().filter(|gateway| {
        let metadata = &gateway.metadata;
        gateway.spec.gateway_class_name == WAYPOINT_CLASS
            && (namespace == ROOT_NAMESPACE || *namespace == metadata.namespace)
    });
    let found = waypoints.find(|gateway| {
        let metadata = &gateway.metadata;
        let has = |(key, value): (&String, &String)| {
            (key == GATEWAY_NAME_LABEL && *value == metadata.name)
                || metadata.labels.get(key) == Some(value)
        };
        guard.spec.target_refs.is_empty() && !wanted.is_empty() && wanted.iter().all(has)
    })?;
    Some(found.metadata.resource(Kind::ApiGateway).to_string())
}

/// The classic Gateway that a plugin names as if it were one of the Gateway API.
fn classic_target(guard: &Extension, resources: &Resources) -> Option<String> {
    let namespace = &guard.metadata.namespace;
    let targets = guard
        .spec
        .target_refs
        .iter()
        .filter(|target| target.kind == "Gateway");
    let mut names = targets.map(|target| &target.name).filter(|name| {
        !resources.api_gateways.iter().any(|gateway| {
            gateway.metadata.name == **name && gateway.metadata.namespace == *namespace
        })
    });
    names.find_map(|name| {
        let mut gateways = resources.gateways.iter().map(|gateway| &gateway.metadata);
        let found = gateways.find(|found| found.name == *name && found.namespace == *namespace)?;
        Some(found.resource(Kind::Gateway).to_string())
    })
}
