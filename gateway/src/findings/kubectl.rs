//! Commands of kubectl for hints, which run as they are printed.

use serde_json::Value;

use crate::resources::ResourceName;
use crate::shell::word;

/// The command that changes a resource by a JSON merge patch (RFC 7386).
pub(super) fn merge_patch(resource: &ResourceName, patch: &Value) -> String {
    patch_command(&kind(resource), resource, "merge", patch)
}

/// The command that changes a resource by a JSON patch (RFC 6902).
pub(super) fn json_patch(resource: &ResourceName, patch: &Value) -> String {
    patch_command(&kind(resource), resource, "json", patch)
}

/// The command that adds a port to a Service.
pub(super) fn add_service_port(namespace: &str, service: &str, port: &Value) -> String {
    let patch = serde_json::json!([{"op": "add", "path": "/spec/ports/-", "value": port}]);
    format!(
        "kubectl patch {} --namespace {} --type json --patch {}",
        word(&format!("service/{service}")),
        word(namespace),
        word(&patch.to_string())
    )
}

/// The command that opens a resource in an editor.
pub(super) fn edit(resource: &ResourceName) -> String {
    format!(
        "kubectl edit {} --namespace {}",
        word(&format!("{}/{}", kind(resource), resource.name)),
        word(&resource.namespace)
    )
}

/// The command that prints a resource with its status.
pub(super) fn describe(resource: &ResourceName) -> String {
    format!(
        "kubectl describe {} --namespace {}",
        word(&format!("{}/{}", kind(resource), resource.name)),
        word(&resource.namespace)
    )
}

fn patch_command(kind: &str, resource: &ResourceName, form: &str, patch: &Value) -> String {
    // `KIND/NAME` is one word, so a name that begins with a dash is not an option.
    format!(
        "kubectl patch {} --namespace {} --type {form} --patch {}",
        word(&format!("{kind}/{}", resource.name)),
        word(&resource.namespace),
        word(&patch.to_string())
    )
}

/// The kind with its group: Istio and the Gateway API both have Gateways.
fn kind(resource: &ResourceName) -> String {
    let name = resource.kind.name().to_ascii_lowercase();
    match resource.kind.group() {
        "" => name,
        group => format!("{name}s.{group}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::json_patch;
    use crate::resources::{Kind, ResourceName};

    #[test]
    fn a_name_is_not_a_command() {
        let resource = ResourceName {
            kind: Kind::VirtualService,
            namespace: "shop;reboot".into(),
            name: "--kubeconfig=x".into(),
        };
        let command = json_patch(&resource, &json!([]));
        assert_eq!(
            command,
            "kubectl patch virtualservices.networking.istio.io/--kubeconfig=x \
             --namespace 'shop;reboot' --type json --patch '[]'"
        );
    }
}
