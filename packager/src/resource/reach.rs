//! Which workloads a resource applies to.

use gateway::{Model, Workload};

use super::Attachment;

/// The root namespace of a default installation of Istio: a resource there reaches pods of every
/// namespace (Istio `pilot/pkg/model/extensions.go`).
const ROOT_NAMESPACE: &str = "istio-system";
/// The label of pods that Istio creates for a Gateway of the Gateway API, with its name.
const MANAGED_GATEWAY: &str = "gateway.networking.k8s.io/gateway-name";

/// The workloads of a model that a resource in a namespace reaches.
pub(crate) fn reached_workloads<'m>(
    model: &'m Model,
    namespace: &str,
    attachment: &Attachment,
) -> Vec<&'m Workload> {
    model
        .workloads
        .iter()
        .filter(|workload| is_reached(workload, namespace, attachment))
        .collect()
}

fn is_reached(workload: &Workload, namespace: &str, attachment: &Attachment) -> bool {
    let is_same_namespace = workload.namespace == namespace;
    let is_in_scope = is_same_namespace || namespace == ROOT_NAMESPACE;
    match attachment {
        Attachment::Everything => is_in_scope,
        // A selector matches pods that have all of its labels.
        Attachment::Selector(labels) => {
            is_in_scope
                && labels.iter().all(|(key, value)| {
                    workload.labels.get(key).is_some_and(|found| found == value)
                })
        }
        // targetRefs have no namespace: they name Gateways in the resource's own.
        Attachment::Targets(targets) => {
            is_same_namespace
                && workload
                    .labels
                    .get(MANAGED_GATEWAY)
                    .is_some_and(|gateway| targets.iter().any(|target| *gateway == target.name()))
        }
    }
}
