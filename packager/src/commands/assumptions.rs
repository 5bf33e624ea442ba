//! Notes on what the model assumes where the input has no Pods and no Services.

use gateway::{Model, Resources, Workload};

use crate::console::Console;

/// Notes that the visibility of routes depends on a setting of the mesh that the input does not have.
pub(crate) fn note_settings(model: &Model, resources: &Resources, console: &mut Console<'_>) {
    if model.assumes_export_to(resources) {
        console.message(
            "note: VirtualServices without exportTo are assumed to apply in all namespaces, which \
             --mesh-config or the ConfigMap istio can change",
        );
    }
}

/// Notes everything that is assumed about workloads.
pub(crate) fn note_all<'m>(
    workloads: impl IntoIterator<Item = &'m Workload>,
    console: &mut Console<'_>,
) {
    for workload in workloads {
        note_pods(workload, console);
        for listener in &workload.listeners {
            // Only a Service shows to which target port a port of the Gateway is mapped.
            if listener.is_tls() && !listener.port_is_certain {
                console.note(format_args!(
                    "port {} of {} may be mapped to another by a Service that is not in the input",
                    listener.port,
                    workload.full_name()
                ));
            }
        }
    }
}

/// Notes that the pods of a workload are assumed from the selector of a Gateway.
pub(crate) fn note_pods(workload: &Workload, console: &mut Console<'_>) {
    if workload.is_assumed {
        let name = workload.full_name();
        console.note(format_args!(
            "no pods of {name} in the input, some are assumed"
        ));
    }
}
