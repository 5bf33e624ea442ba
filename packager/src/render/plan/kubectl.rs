//! Writes as kubectl commands. Resources have full names, because `gateway` alone may be a Gateway of
//! Istio or of the Gateway API.

use gateway::merge::{Plan, Write, without_status};
use gateway::resources::{Kind, ResourceName};
use gateway::shell;
use serde_json::Value;

/// The command that makes a write. It reads the patch or manifest from `file`, or contains it.
pub(super) fn command(write: &Write, file: Option<&str>) -> String {
    let ResourceName {
        kind,
        namespace,
        name,
    } = write.resource();
    let plural = plural(*kind);
    match (write, file) {
        (Write::Patch { .. }, Some(file)) => format!(
            "kubectl patch {plural} {name} --namespace {namespace} --type json --patch-file {file}"
        ),
        (Write::Patch { .. }, None) => format!(
            "kubectl patch {plural} {name} --namespace {namespace} --type json --patch {}",
            shell::word(&serde_json::to_string(&write.operations()).unwrap_or_default())
        ),
        (Write::Delete { .. }, _) => {
            format!("kubectl delete {plural} {name} --namespace {namespace}")
        }
        (Write::Create { manifest, .. }, Some(file)) => {
            format!(
                "kubectl create --raw {} --filename {file}",
                api_path(write, manifest)
            )
        }
        (Write::Create { manifest, .. }, None) => {
            let text = serde_json::to_string(&without_status(manifest)).unwrap_or_default();
            format!(
                "echo {} | kubectl create --raw {} --filename -",
                shell::word(&text),
                api_path(write, manifest)
            )
        }
    }
}

/// The command that replaces a resource by a whole manifest.
pub(super) fn replace(file: &str) -> String {
    format!("kubectl replace --filename {file}")
}

/// The command that requests every host on one connection and on a connection of its own.
pub(super) fn probe(plan: &Plan) -> Option<String> {
    let sni = plan.hosts.first()?;
    let mut command = format!("packager probe --connect \"$GATEWAY\" --sni {sni}");
    // The host of the connection is requested too: its answer must not change either.
    for host in &plan.hosts {
        command.push_str(" --authority ");
        command.push_str(host);
    }
    Some(command)
}

/// The API path that creates resources of a kind. The API server stores a raw request unchanged, while
/// `kubectl create` would change the annotation in which `kubectl apply` keeps its last input.
fn api_path(write: &Write, manifest: &Value) -> String {
    // The undo of a deletion uses the version that the manifest was written with.
    let ResourceName {
        kind, namespace, ..
    } = write.resource();
    let version = manifest
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or("networking.istio.io/v1");
    format!(
        "/apis/{version}/namespaces/{namespace}/{}s",
        kind.name().to_ascii_lowercase()
    )
}

/// The name of a kind in kubectl: the plural and the API group.
fn plural(kind: Kind) -> String {
    format!("{}s.{}", kind.name().to_ascii_lowercase(), kind.group())
}
