//! Compares an existing resource with the resource that would be written. Fields that the API server adds, order
//! and style do not count.

use anyhow::{Context, Result};
use gateway::merge::without_status;
use serde_json::{Map, Value};
use similar::TextDiff;

use super::{Resource, to_yaml};
use crate::settings::{Settings, yaml_problem};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The paths of the filter's configuration in the kinds.
const CONFIGURATIONS: [&str; 3] = [
    "/spec/pluginConfig",
    "/spec/wasm/pluginConfig",
    "/spec/wasm/0/config",
];

/// A unified diff from `text`, YAML or JSON, to the resource; `None` without a difference. `origin` is the name
/// of the text in the diff. If the text has several resources, the one with the same kind, name and namespace is
/// compared.
///
/// # Errors
/// The text is not YAML.
pub(crate) fn difference(resource: &Resource, text: &str, origin: &str) -> Result<Option<String>> {
    let mut expected = normal(&serde_json::to_value(resource)?);
    let mut documents: Vec<Value> = documents(text)?.iter().map(normal).collect();
    // A compact table has no labels, so labels cannot be compared if one of the tables is compact.
    if documents.iter().chain([&expected]).any(has_compact_servers) {
        documents.iter_mut().for_each(unlabel_servers);
        unlabel_servers(&mut expected);
    }
    // A single resource is compared even under another name, so that the diff shows the names.
    let found = match documents.as_slice() {
        [only] => Some(only),
        many => many
            .iter()
            .find(|found| identity(found) == identity(&expected)),
    };
    if found == Some(&expected) {
        return Ok(None);
    }
    let old = found.map(readable).transpose()?.unwrap_or_default();
    let new = readable(&expected)?;
    // Both sides are written by the same code, so style does not show in the diff.
    let diff = TextDiff::from_lines(&old, &new);
    Ok(Some(
        diff.unified_diff()
            .header(origin, "packager manifest")
            .to_string(),
    ))
}

/// A resource as YAML, with each text of several lines as a list of its lines: a script in one line has no readable
/// diff.
fn readable(resource: &Value) -> Result<String> {
    let mut resource = resource.clone();
    split_texts(&mut resource);
    to_yaml(&resource)
}

fn split_texts(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\n') => {
            *value = text.lines().map(Value::from).collect();
        }
        Value::Array(items) => items.iter_mut().for_each(split_texts),
        Value::Object(entries) => entries.values_mut().for_each(split_texts),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The resources of a text: its documents, and the items of Lists.
fn documents(text: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)
        .map_err(|error| anyhow::anyhow!(yaml_problem(&error)))
        .context("reading it as YAML")?;
    Ok(documents.into_iter().flat_map(items).collect())
}

fn items(document: Value) -> Vec<Value> {
    match document.get("items") {
        Some(Value::Array(items)) => items.clone(),
        _ => vec![document],
    }
}

/// The fields that identify a resource in a cluster. The version of the API is not one of them.
fn identity(resource: &Value) -> [Option<&Value>; 3] {
    ["/kind", "/metadata/name", "/metadata/namespace"].map(|path| resource.pointer(path))
}

/// The resource without the fields that the API server adds.
fn normal(resource: &Value) -> Value {
    let mut resource = without_status(resource);
    if let Some(Value::Object(metadata)) = resource.get_mut("metadata") {
        remove_last_applied(metadata);
    }
    for path in CONFIGURATIONS {
        if let Some(configuration) = resource.pointer_mut(path) {
            spell_actions(configuration);
        }
    }
    resource
}

fn remove_last_applied(metadata: &mut Map<String, Value>) {
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.remove(LAST_APPLIED);
        // An empty map would be a difference.
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
}

/// Replaces actions that are booleans by their words.
fn spell_actions(configuration: &mut Value) {
    if let Value::Object(map) = configuration {
        *configuration = Settings::from(std::mem::take(map)).into_value();
    }
}

fn has_compact_servers(resource: &Value) -> bool {
    CONFIGURATIONS
        .iter()
        .filter_map(|path| resource.pointer(path)?.get("servers"))
        .any(Value::is_string)
}

/// Writes a table of servers as a map, with the first host of each as its label.
fn unlabel_servers(resource: &mut Value) {
    for path in CONFIGURATIONS {
        let Some(Value::Object(configuration)) = resource.pointer_mut(path) else {
            continue;
        };
        let settings = Settings::from(configuration.clone());
        // An invalid table is compared as it is.
        let Some(servers) = settings.servers() else {
            continue;
        };
        let mut by_host = Map::new();
        for hosts in servers {
            if let Some(label) = hosts.first() {
                by_host.insert(label.clone(), serde_json::json!(hosts));
            }
        }
        configuration.insert("servers".into(), Value::Object(by_host));
    }
}
