//! Writes as commands of kubectl, with full names of resources: `gateway` alone is one of two kinds.

use gateway::merge::{Plan, Write};
use gateway::resources::{Kind, ResourceName};
use serde_json::Value;

/// A command that makes a write, with the patch or manifest in it or read from a file.
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
            quoted(&serde_json::to_string(&write.operations()).unwrap_or_default())
        ),
        (Write::Delete { .. }, _) => {
            format!("kubectl delete {plural} {name} --namespace {namespace}")
        }
        (Write::Create { manifest, .. }, Some(file)) => {
            format!(
                "kubectl create --raw {} --filename {file}",
                path(write, manifest)
            )
        }
        (Write::Create { manifest, .. }, None) => {
            let text = serde_json::to_string(&gateway::merge::without_status(manifest));
            let text = quoted(&text.unwrap_or_default());
            format!(
                "echo {text} | kubectl create --raw {} --filename -",
                path(write, manifest)
            )
        }
    }
}

/// A command that puts a whole manifest in the place of a resource.
pub(super) fn replace(file: &str) -> String {
    format!("kubectl replace --filename {file}")
}

/// What shows that every host is answered on a connection of its own.
pub(super) fn probe(plan: &Plan) -> Option<String> {
    let sni = plan.hosts.first()?;
    let authorities = plan.hosts.iter().map(|host| format!(" --authority {host}"));
    let authorities: String = authorities.collect();
    Some(format!(
        "packager probe --connect \"$GATEWAY\" --sni {sni}{authorities}"
    ))
}

/// Where resources of a kind are made. What is sent there arrives as it is, where `kubectl create`
/// would change the annotation that `kubectl apply` keeps its last input in.
fn path(write: &Write, manifest: &Value) -> String {
    let ResourceName {
        kind, namespace, ..
    } = write.resource();
    let version = manifest.get("apiVersion").and_then(Value::as_str);
    let version = version.unwrap_or("networking.istio.io/v1");
    format!(
        "/apis/{version}/namespaces/{namespace}/{}s",
        kind.name().to_ascii_lowercase()
    )
}

/// The resource as kubectl names it (Kubernetes: the plural and the group of a definition).
fn plural(kind: Kind) -> String {
    format!("{}s.{}", kind.name().to_ascii_lowercase(), kind.group())
}

/// A text as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
