//! Commands of kubectl for hints. A renderer adds the kubeconfig and the context of this run.

use serde_json::Value;

use super::Command;
use crate::resources::ResourceName;

/// The command that changes a resource by a JSON merge patch (RFC 7386).
pub(super) fn merge_patch(resource: &ResourceName, patch: &Value) -> Command {
    patch_command(
        &resource.object_of_kubectl(),
        &resource.namespace,
        "merge",
        patch,
    )
}

/// The command that changes a resource by a JSON patch (RFC 6902).
pub(super) fn json_patch(resource: &ResourceName, patch: &Value) -> Command {
    patch_command(
        &resource.object_of_kubectl(),
        &resource.namespace,
        "json",
        patch,
    )
}

/// The command that adds a port to a Service.
pub(super) fn add_service_port(namespace: &str, service: &str, port: &Value) -> Command {
    let patch = serde_json::json!([{"op": "add", "path": "/spec/ports/-", "value": port}]);
    patch_command(&format!("service/{service}"), namespace, "json", &patch)
}

/// The command that adds DNS names to a `Certificate` of cert-manager, which has some already.
pub(super) fn add_dns_names(namespace: &str, certificate: &str, names: &[String]) -> Command {
    let patch: Value = names
        .iter()
        .map(|name| serde_json::json!({"op": "add", "path": "/spec/dnsNames/-", "value": name}))
        .collect();
    patch_command(&issued_certificate(certificate), namespace, "json", &patch)
}

/// The command that sets a label of a resource, `KEY=VALUE`.
pub(super) fn label(resource: &ResourceName, label: &str) -> Command {
    command(&[
        "label",
        &resource.object_of_kubectl(),
        "--namespace",
        &resource.namespace,
        "--overwrite",
        label,
    ])
}

/// The command that opens a resource in an editor.
pub(super) fn edit(resource: &ResourceName) -> Command {
    command(&[
        "edit",
        &resource.object_of_kubectl(),
        "--namespace",
        &resource.namespace,
    ])
}

/// The command that prints a resource with its status. Of a Secret it prints the keys and no values.
pub(super) fn describe(resource: &ResourceName) -> Command {
    describe_object(&resource.object_of_kubectl(), &resource.namespace)
}

/// The command that prints a `Certificate` of cert-manager, with the events of its renewal.
pub(super) fn describe_issued_certificate(namespace: &str, certificate: &str) -> Command {
    describe_object(&issued_certificate(certificate), namespace)
}

/// The command that creates a Secret from the files `tls.crt` and `tls.key` of the working directory. `None`
/// for a name that is not a name of Kubernetes, which kubectl could read as a flag.
pub(super) fn create_tls_secret(secret: &ResourceName) -> Option<Command> {
    let is_name = secret
        .name
        .starts_with(|first: char| first.is_ascii_alphanumeric());
    is_name.then(|| {
        command(&[
            "create",
            "secret",
            "tls",
            &secret.name,
            "--namespace",
            &secret.namespace,
            "--cert",
            "tls.crt",
            "--key",
            "tls.key",
        ])
    })
}

/// The command that lists the Secrets with certificates of a namespace.
pub(super) fn tls_secrets(namespace: &str) -> Command {
    command(&[
        "get",
        "secrets",
        "--namespace",
        namespace,
        "--field-selector",
        "type=kubernetes.io/tls",
    ])
}

/// The command that lists the resources of a kind in one namespace.
pub(super) fn list(kinds: &str, namespace: &str) -> Command {
    command(&["get", kinds, "--namespace", namespace])
}

/// The command that lists the resources of a kind in all namespaces.
pub(super) fn list_everywhere(kinds: &str) -> Command {
    command(&["get", kinds, "--all-namespaces"])
}

/// The command that lists all pods with their labels.
pub(super) fn pods_with_labels() -> Command {
    command(&["get", "pods", "--all-namespaces", "--show-labels"])
}

fn describe_object(object: &str, namespace: &str) -> Command {
    command(&["describe", object, "--namespace", namespace])
}

fn patch_command(object: &str, namespace: &str, form: &str, patch: &Value) -> Command {
    command(&[
        "patch",
        object,
        "--namespace",
        namespace,
        "--type",
        form,
        "--patch",
        &patch.to_string(),
    ])
}

fn command(words: &[&str]) -> Command {
    Command::Kubectl(words.iter().map(|word| (*word).to_owned()).collect())
}

fn issued_certificate(name: &str) -> String {
    format!("certificates.cert-manager.io/{name}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{create_tls_secret, json_patch};
    use crate::findings::Command;
    use crate::resources::{Kind, ResourceName};

    fn named(kind: Kind, name: &str) -> ResourceName {
        ResourceName {
            kind,
            namespace: "shop".into(),
            name: name.into(),
        }
    }

    #[test]
    fn a_name_is_not_an_option() {
        let resource = named(Kind::VirtualService, "--kubeconfig=x");
        let Command::Kubectl(words) = json_patch(&resource, &json!([])) else {
            panic!("no command of kubectl");
        };
        assert_eq!(
            words[1],
            "virtualservices.networking.istio.io/--kubeconfig=x"
        );
        assert_eq!(create_tls_secret(&named(Kind::Secret, "--as=admin")), None);
        assert!(create_tls_secret(&named(Kind::Secret, "w")).is_some());
    }
}
