//! The script that carries out the plans of a folder, and the script that undoes them. The commands are in
//! `run.sh`; this module writes the data of the plans into it: shell functions that set variables or call
//! their arguments with more words.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use gateway::merge::{Edit, ListenerId, Outlook, Plan, State, StepKind, Write};
use gateway::resources::ResourceName;
use gateway::shell;
use gateway::{Model, Workload};
use serde_json::{Value, json};

use super::super::hidden::printable;
use super::folder::{self, File};
use super::kubectl::{self, single_quoted};

const SCRIPT: &str = include_str!("run.sh");

const UNDO: &str = r#"#!/bin/sh
# Undoes the applied steps of the plan, the last one first. It has the options of run.sh.
exec sh "$(dirname "$0")/run.sh" --undo "$@"
"#;

/// The line of the script that the data replaces.
const DATA: &str = "#DATA\n";

/// The folder of the patches that only test.
const TESTS: &str = "run";

/// A resource that the plans write, in all its states: before the first write and after each write.
struct Tracked {
    name: ResourceName,
    /// The manifests of the states; `None` if the resource does not exist.
    states: Vec<Option<Value>>,
    /// For each write, the number of its step.
    steps: Vec<usize>,
    /// The pointers to the fields that the writes change.
    fields: Vec<String>,
}

/// A write in the data of its step.
struct ScriptWrite {
    /// The number of the resource, from 1.
    resource: usize,
    /// The state of the resource before the write.
    state: usize,
    action: &'static str,
    undo_action: &'static str,
    file: String,
    undo_file: String,
}

/// The scripts `run.sh` and `undo.sh`, and the patches with which they test the states of resources.
///
/// # Errors
/// A write does not fit the resources.
pub(super) fn files(outlook: &Outlook, start: &State) -> Result<Vec<File>> {
    if outlook.plans.is_empty() {
        return Ok(Vec::new());
    }
    let mut tracked: Vec<Tracked> = Vec::new();
    let mut numbers: BTreeMap<ResourceName, usize> = BTreeMap::new();
    let mut state = start.clone();
    let mut steps = String::new();
    let mut step_number = 0;
    for (plan_index, plan) in outlook.plans.iter().enumerate() {
        for (index, step) in plan.steps.iter().enumerate() {
            step_number += 1;
            let folder = folder::name(step_number, step);
            let mut writes = Vec::new();
            for (write_index, write) in step.writes.iter().enumerate() {
                // Each resource has one number in the script, whichever plans write it.
                let number = *numbers.entry(write.resource().clone()).or_insert_with(|| {
                    tracked.push(Tracked::new(write.resource(), &state));
                    tracked.len()
                });
                state.apply(write).ok().context("a write does not fit")?;
                let resource = tracked
                    .get_mut(number - 1)
                    .context("no resource has this number")?;
                let stem = format!("{folder}/{}", folder::file_stem(write_index, write));
                let undo_stem = format!("{folder}/undo-{}", folder::file_stem(write_index, write));
                writes.push(ScriptWrite::new(
                    write,
                    number,
                    resource.add(write, step_number, &state),
                    &stem,
                    &undo_stem,
                ));
            }
            let is_last = index + 1 == plan.steps.len();
            let header = StepHeader {
                number: step_number,
                plan: plan_index + 1,
                kind: step.kind,
                purpose: &step.purpose,
                is_last,
            };
            header.write(&mut steps)?;
            write_writes(step_number, &writes, &mut steps)?;
        }
    }

    let mut data = String::new();
    writeln!(data, "plans={}", outlook.plans.len())?;
    writeln!(data, "steps={step_number}")?;
    writeln!(data, "resources={}", tracked.len())?;
    write_plans(&outlook.plans, start, &mut data)?;
    write_resources(&tracked, &mut data)?;
    data.push_str(&steps);

    let mut files = vec![
        File::program("run.sh", SCRIPT.replacen(DATA, &data, 1)),
        File::program("undo.sh", UNDO.to_owned()),
    ];
    for (index, resource) in tracked.iter().enumerate() {
        resource.write_tests(index + 1, &mut files)?;
    }
    Ok(files)
}

/// Writes the commands that run the scripts of a folder.
///
/// # Errors
/// Writing to the sink fails.
pub fn write_commands(folder: &Path, sink: &mut dyn io::Write) -> io::Result<()> {
    for (purpose, script) in [
        (
            "carry out all steps, with the waits and probes between them, and stop at the first surprise:",
            "run.sh",
        ),
        ("undo the steps that are applied:", "undo.sh"),
    ] {
        let path = folder.join(script).display().to_string();
        writeln!(sink, "{purpose}\n  sh {}", shell::word(&shell::path(&path)))?;
    }
    Ok(())
}

/// Whether the gateways have to close open connections before the next step. After this step, open
/// connections still use the old routes, and the next step deletes these routes.
fn needs_drain(kind: StepKind) -> bool {
    match kind {
        StepKind::ShiftConnections => true,
        StepKind::SetCertificate
        | StepKind::BindRoutes
        | StepKind::AddWildcard
        | StepKind::MoveHosts
        | StepKind::DeleteServers
        | StepKind::ReplaceWildcard
        | StepKind::UnbindRoutes => false,
    }
}

fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// The facts about a step.
struct StepHeader<'p> {
    number: usize,
    plan: usize,
    kind: StepKind,
    purpose: &'p str,
    is_last: bool,
}

impl StepHeader<'_> {
    fn write(&self, data: &mut String) -> Result<()> {
        writeln!(
            data,
            "step_{}() {{\n    plan={}\n    step_kind={}\n    purpose={}\n    needs_drain={}\n    is_last={}\n}}",
            self.number,
            self.plan,
            single_quoted(self.kind.name()),
            single_quoted(&printable(self.purpose)),
            yes_or_no(needs_drain(self.kind)),
            yes_or_no(self.is_last),
        )?;
        Ok(())
    }
}

impl ScriptWrite {
    fn new(write: &Write, resource: usize, state: usize, stem: &str, undo_stem: &str) -> Self {
        let (action, undo_action) = match write {
            Write::Patch { .. } => ("patch", "patch"),
            Write::Delete { .. } => ("delete", "create"),
            // Only an undo creates a resource.
            Write::Create { .. } => ("create", "delete"),
        };
        Self {
            resource,
            state,
            action,
            undo_action,
            file: format!("{stem}.json"),
            undo_file: format!("{undo_stem}.json"),
        }
    }
}

/// The writes of a step, and the writes of its undo, which reverts the last write first.
fn write_writes(step: usize, writes: &[ScriptWrite], data: &mut String) -> Result<()> {
    writeln!(data, "writes_{step}() {{")?;
    for write in writes {
        writeln!(
            data,
            "    \"$@\" {} {} {} {}",
            write.resource,
            write.state,
            write.action,
            single_quoted(&write.file)
        )?;
    }
    writeln!(data, "}}\nundo_writes_{step}() {{")?;
    for write in writes.iter().rev() {
        writeln!(
            data,
            "    \"$@\" {} {} {} {}",
            write.resource,
            write.state,
            write.undo_action,
            single_quoted(&write.undo_file)
        )?;
    }
    writeln!(data, "}}")?;
    Ok(())
}

/// For each plan the pods that must have its steps, the address to probe, and the hosts.
fn write_plans(plans: &[Plan], start: &State, data: &mut String) -> Result<()> {
    let model = start.model();
    // Plans for one listener are probed at one address.
    let mut listeners: Vec<&ListenerId> = Vec::new();
    for plan in plans {
        if !listeners.contains(&&plan.listener) {
            listeners.push(&plan.listener);
        }
    }
    let variables: Vec<String> = (1..=listeners.len()).map(address_variable).collect();
    writeln!(data, "address_variables='{}'", variables.join(" "))?;
    for (index, plan) in plans.iter().enumerate() {
        let number = index + 1;
        let listener = listeners
            .iter()
            .position(|listener| **listener == plan.listener)
            .unwrap_or_default();
        let (namespace, selector) = pods(plan, start, &model);
        writeln!(
            data,
            "# {} on {}, listener {}",
            printable(&plan.target.to_string()),
            printable(&plan.listener.workload_name()),
            printable(&plan.listener.listener_name()),
        )?;
        writeln!(
            data,
            "plan_{number}() {{\n    pods_namespace={}\n    pods_selector={}\n    address_variable={}\n}}",
            single_quoted(&namespace),
            single_quoted(&selector),
            address_variable(listener + 1),
        )?;
        writeln!(
            data,
            "probe_{number}() {{\n    \"$@\"{}\n}}",
            probe_words(plan)
        )?;
    }
    Ok(())
}

/// The variable with the address of a listener, by its number from 1.
fn address_variable(number: usize) -> String {
    if number == 1 {
        "GATEWAY".to_owned()
    } else {
        format!("GATEWAY_{number}")
    }
}

/// The arguments of a probe of all hosts on a connection for the first one.
fn probe_words(plan: &Plan) -> String {
    let mut words = String::new();
    for (index, host) in plan.hosts.iter().enumerate() {
        let host = single_quoted(host);
        if index == 0 {
            words = format!(" --sni {host}");
        }
        words += &format!(" --authority {host}");
    }
    words
}

/// The namespace and the labels of the pods that run the target's Gateway. Without a selector a Gateway
/// selects all gateways, so the labels of the workload are used.
fn pods(plan: &Plan, start: &State, model: &Model) -> (String, String) {
    let workload: Option<&Workload> = plan.listener.find(model).map(|(workload, _)| workload);
    let namespace = workload.map(|workload| workload.namespace.clone());
    let selector: Vec<String> = start
        .manifest(&plan.target.resource)
        .and_then(|manifest| manifest.pointer("/spec/selector"))
        .and_then(Value::as_object)
        .map(|labels| {
            labels
                .iter()
                .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
                .collect()
        })
        .unwrap_or_default();
    let labels = if selector.is_empty() {
        workload
            .iter()
            .flat_map(|workload| &workload.labels)
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    } else {
        selector
    };
    (namespace.unwrap_or_default(), labels.join(","))
}

/// The identities of all resources, and the function that lists them with one command for each namespace.
fn write_resources(tracked: &[Tracked], data: &mut String) -> Result<()> {
    let mut by_namespace: BTreeMap<&str, String> = BTreeMap::new();
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
        *by_namespace.entry(&name.namespace).or_default() +=
            &format!(" {}", single_quoted(&format!("{kind}/{}", name.name)));
    }
    writeln!(data, "list_resources() {{")?;
    for (namespace, names) in by_namespace {
        writeln!(
            data,
            "    \"$@\" {}{names} || return 1",
            single_quoted(namespace)
        )?;
    }
    writeln!(data, "}}")?;
    Ok(())
}

impl Tracked {
    /// A resource before its first write.
    fn new(name: &ResourceName, state: &State) -> Self {
        Self {
            name: name.clone(),
            states: vec![state.manifest(name).cloned()],
            steps: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// Adds the state after a write, and returns the number of the state before it.
    fn add(&mut self, write: &Write, step: usize, after: &State) -> usize {
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
    fn write_tests(&self, number: usize, files: &mut Vec<File>) -> Result<()> {
        for (state, manifest) in self.states.iter().enumerate() {
            let Some(manifest) = manifest else {
                continue;
            };
            let mut whole = vec!["/spec"];
            // The undo of a deletion restores labels and annotations too, so they must be the known ones.
            if self.states.get(state + 1).is_some_and(Option::is_none) {
                whole.extend(["/metadata/labels", "/metadata/annotations"]);
            }
            // A patch with at least one test makes the API server read the resource.
            let mut changed = vec!["/kind"];
            changed.extend(self.fields.iter().map(String::as_str));
            for (kind, pointers) in [("state", whole), ("fields", changed)] {
                let tests: Vec<Value> = pointers
                    .iter()
                    .map(|pointer| {
                        json!({ "op": "test", "path": pointer, "value": manifest.pointer(pointer) })
                    })
                    .collect();
                let text = serde_json::to_string(&tests)? + "\n";
                files.push(File::data(
                    &format!("{TESTS}/{kind}-{number}-{state}.json"),
                    text,
                ));
            }
        }
        Ok(())
    }
}

/// The field of the spec in which an edit is, such as `/spec/servers`. Positions in its lists change with the
/// plan, so only the whole field identifies a state.
fn top_field(edit: &Edit) -> String {
    let (Edit::Replace { path, .. } | Edit::Remove { path, .. } | Edit::Insert { path, .. }) = edit;
    path.split('/').take(3).collect::<Vec<_>>().join("/")
}
