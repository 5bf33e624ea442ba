//! Writes as kubectl commands. Resources have full names, because `gateway` alone may be a Gateway of
//! Istio or of the Gateway API.

use gateway::merge::{Plan, Write, without_status};
use gateway::resources::{Kind, ResourceName};
use gateway::shell;
use serde_json::Value;

use super::super::hidden::printable;

/// The command that makes a write, for an operator who pastes it. It contains the patch or manifest.
pub(super) fn command(write: &Write) -> String {
    let resource = write.resource();
    let object = object(resource, shell::word);
    match write {
        Write::Patch { .. } => {
            let patch = serde_json::to_string(&write.operations()).unwrap_or_default();
            format!(
                "kubectl patch {object} --type json --patch {}",
                shell::word(&patch)
            )
        }
        Write::Delete { .. } => format!("kubectl delete {object}"),
        Write::Create { manifest, .. } => {
            let text = serde_json::to_string(&without_status(manifest)).unwrap_or_default();
            format!(
                "echo {} | kubectl create --raw {} --filename -",
                shell::word(&text),
                shell::word(&api_path(resource, manifest))
            )
        }
    }
}

/// The command that makes a write, for a script. It reads the patch or manifest from `file`. A deletion has no
/// check: [`script_deletion`] has one.
pub(super) fn script_command(write: &Write, file: &str) -> String {
    let resource = write.resource();
    let object = object(resource, script_word);
    let file = script_word(file);
    match write {
        Write::Patch { .. } => format!("kubectl patch {object} --type json --patch-file {file}"),
        Write::Delete { .. } => format!("kubectl delete {object}"),
        Write::Create { manifest, .. } => format!(
            "kubectl create --raw {} --filename {file}",
            script_word(&api_path(resource, manifest))
        ),
    }
}

/// The commands that delete a resource, for a script, if it passes the tests in `file` and does not change after
/// them.
pub(super) fn script_deletion(resource: &ResourceName, manifest: &Value, file: &str) -> String {
    let path = format!("{}/{}", api_path(resource, manifest), resource.name);
    let options =
        r#"{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"resourceVersion":"%s"}}"#;
    format!(
        "version=$(kubectl patch {} --type json --dry-run=server --patch-file {} --output \
         'jsonpath={{.metadata.resourceVersion}}')\nprintf {} \"$version\" \\\n    | kubectl delete --raw {} \
         --filename - >/dev/null\necho {}",
        object(resource, script_word),
        script_word(file),
        single_quoted(options),
        script_word(&path),
        single_quoted(&printable(&format!("{resource} deleted"))),
    )
}

/// The command that replaces a resource by a whole manifest, for a script.
pub(super) fn replace(file: &str) -> String {
    format!("kubectl replace --filename {}", script_word(file))
}

/// The command that requests every host on one connection and on a connection of its own, for an operator
/// who pastes it.
pub(super) fn probe(plan: &Plan) -> Option<String> {
    probe_with(plan, shell::word)
}

/// The same command for a script.
pub(super) fn script_probe(plan: &Plan) -> Option<String> {
    probe_with(plan, script_word)
}

fn probe_with(plan: &Plan, quote: fn(&str) -> String) -> Option<String> {
    let sni = quote(plan.hosts.first()?);
    let mut command = format!("packager probe --connect \"$GATEWAY\" --sni {sni}");
    // The host of the connection is requested too: its answer must not change either.
    for host in &plan.hosts {
        command.push_str(" --authority ");
        command.push_str(&quote(host));
    }
    Some(command)
}

/// A word for a script. `sh` may be a shell without `$'…'`, which [`shell::word`] uses for characters that a
/// terminal does not show.
fn script_word(word: &str) -> String {
    if word.chars().any(shell::is_hidden) {
        single_quoted(word)
    } else {
        shell::word(word)
    }
}

/// A word in single quotes. Inside of them no character has a meaning for a POSIX shell, not even a line
/// break, and a single quote ends them (IEEE Std 1003.1-2024, "Single-Quotes").
pub(super) fn single_quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A resource as arguments of kubectl.
fn object(resource: &ResourceName, quote: fn(&str) -> String) -> String {
    let kind = plural(resource.kind);
    let name = quote(&resource.name);
    let namespace = quote(&resource.namespace);
    // A name that begins with a dash would be a flag, if it were an argument of its own.
    let separator = if resource.name.starts_with('-') {
        '/'
    } else {
        ' '
    };
    format!("{kind}{separator}{name} --namespace {namespace}")
}

/// The API path that creates resources of a kind. The API server stores a raw request unchanged, while
/// `kubectl create` would change the annotation in which `kubectl apply` keeps its last input.
pub(super) fn api_path(resource: &ResourceName, manifest: &Value) -> String {
    // The undo of a deletion uses the version that the manifest was written with.
    let ResourceName {
        kind, namespace, ..
    } = resource;
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
pub(super) fn plural(kind: Kind) -> String {
    format!("{}s.{}", kind.name().to_ascii_lowercase(), kind.group())
}
