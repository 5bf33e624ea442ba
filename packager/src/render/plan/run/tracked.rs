//! The data about each resource that the plans write, and the patches with which the script tests its state.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use gateway::merge::{Edit, State, Write};
use gateway::resources::ResourceName;
use serde_json::{Value, json};

use super::super::super::hidden::printable;
use super::super::folder::File;
use super::super::kubectl::{self, single_quoted};

/// The folder of the patches that only test.
const TESTS: &str = "run";

/// A resource that the plans write, in all its states: before the first write and after each write.
pub(super) struct Tracked {
    name: ResourceName,
    /// The manifests of the states; `None` if the resource does not exist.
    states: Vec<Option<Value>>,
    /// For each write, the number of its step.
    steps: Vec<usize>,
    /// The pointers to the fields that the writes change.
    fields: Vec<String>,
}

impl Tracked {
    /// A resource before its first write.
    pub(super) fn new(name: &ResourceName, state: &State) -> Self {
        Self {
            name: name.clone(),
            states: vec![state.manifest(name).cloned()],
            steps: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// Adds the state after a write, and returns the number of the state before it.
    pub(super) fn add(&mut self, write: &Write, step: usize, after: &State) -> usize {
        self.states.push(after.manifest(&self.name).cloned());
        self.steps.push(step);
        if let Write::Patch { edits, .. } = write {
            for edit in edits {
                let field = top_field(edit);
                if !self.fields.contains(&field) {
                    self.fields.push(field);
                }
            }
        }
        self.steps.len() - 1
    }

    /// Writes the patches that test each state: one for the whole spec, one for the changed fields.
    pub(super) fn write_tests(&self, number: usize, files: &mut Vec<File>) -> Result<()> {
        for (state, manifest) in self.states.iter().enumerate() {
            let Some(manifest) = manifest else {
                continue;
            };
            // The undo of a deletion restores labels and annotations too. So they must be the known ones from the
            // start, or the script would stop in the middle.
            let is_deleted_later = self.states.iter().skip(state).any(Option::is_none);
            let whole: &[&str] = if is_deleted_later {
                &DELETED_FIELDS
            } else {
                &["/spec"]
            };
            // A patch with at least one test makes the API server read the resource.
            let mut changed = vec!["/kind"];
            changed.extend(self.fields.iter().map(String::as_str));
            for (kind, pointers) in [("state", whole), ("fields", &changed)] {
                let text = serde_json::to_string(&tests(manifest, pointers))? + "\n";
                files.push(File::data(
                    &format!("{TESTS}/{kind}-{number}-{state}.json"),
                    text,
                ));
            }
        }
        Ok(())
    }
}

/// The fields that a deletion loses.
const DELETED_FIELDS: [&str; 3] = ["/spec", "/metadata/labels", "/metadata/annotations"];

/// A patch that tests whether a resource is still as it was when the plan was made, before its deletion.
pub(in crate::render::plan) fn deletion_tests(manifest: &Value) -> Vec<Value> {
    tests(manifest, &DELETED_FIELDS)
}

/// A patch that only tests some fields of a resource.
fn tests(manifest: &Value, pointers: &[&str]) -> Vec<Value> {
    pointers
        .iter()
        .map(|pointer| json!({ "op": "test", "path": pointer, "value": manifest.pointer(pointer) }))
        .collect()
}

/// The field of the spec in which an edit is, such as `/spec/servers`. Positions in its lists change with the
/// plan, so only the whole field identifies a state.
fn top_field(edit: &Edit) -> String {
    let (Edit::Replace { path, .. } | Edit::Remove { path, .. } | Edit::Insert { path, .. }) = edit;
    path.split('/').take(3).collect::<Vec<_>>().join("/")
}

/// The identities of all resources, and the function that lists them with one command for each namespace.
pub(super) fn write_all(tracked: &[Tracked], data: &mut String) -> Result<()> {
    let mut by_namespace: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (index, resource) in tracked.iter().enumerate() {
        let name = &resource.name;
        let kind = kubectl::plural(name.kind);
        let deleted = resource.states.iter().position(Option::is_none);
        let manifest = resource.states.first().and_then(Option::as_ref);
        let steps: Vec<String> = resource.steps.iter().map(ToString::to_string).collect();
        writeln!(
            data,
            "resource_{}() {{\n    kind={}\n    type={}\n    namespace={}\n    name={}\n    title={}\n    \
             path={}\n    last_state={}\n    deleted_state={}\n    moves='{}'\n}}",
            index + 1,
            single_quoted(name.kind.name()),
            single_quoted(&kind),
            single_quoted(&name.namespace),
            single_quoted(&name.name),
            single_quoted(&printable(&name.to_string())),
            single_quoted(&kubectl::api_path(name, manifest.unwrap_or(&Value::Null))),
            resource.steps.len(),
            deleted.map_or_else(|| "never".to_owned(), |state| state.to_string()),
            steps.join(" "),
        )?;
        by_namespace
            .entry(&name.namespace)
            .or_default()
            .push(single_quoted(&format!("{kind}/{}", name.name)));
    }
    writeln!(data, "list_resources() {{")?;
    for (namespace, names) in by_namespace {
        writeln!(
            data,
            "    \"$@\" {} {} || return 1",
            single_quoted(namespace),
            names.join(" ")
        )?;
    }
    writeln!(data, "}}")?;
    Ok(())
}
