//! The script that carries out the plans of a folder, and the script that undoes them. The commands are in
//! `run.sh`; this module writes the data of the plans into it: shell functions that set variables or call
//! their arguments with more words.

mod plans;
mod tracked;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use gateway::merge::{Outlook, Plan, State, StepKind, Write};
use gateway::resources::ResourceName;
use gateway::shell;

use super::super::hidden::printable;
use super::folder::{self, File};
use super::kubectl::single_quoted;
use tracked::Tracked;
pub(super) use tracked::deletion_tests;

const SCRIPT: &str = include_str!("run.sh");

const UNDO: &str = r#"#!/bin/sh
# Undoes the applied steps of the plan, the last one first. It has the options of run.sh.
dir=$(dirname -- "$0")
case $dir in -*) dir=./$dir ;; esac
exec sh "$dir/run.sh" --undo "$@"
"#;

/// The line of the script that the data replaces.
const DATA: &str = "#DATA\n";

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
    let mut steps = Steps::new(start);
    for (index, plan) in outlook.plans.iter().enumerate() {
        steps.add_plan(index + 1, plan)?;
    }

    let mut data = String::new();
    writeln!(data, "plans={}", outlook.plans.len())?;
    writeln!(data, "steps={}", steps.count)?;
    writeln!(data, "resources={}", steps.resources.len())?;
    plans::write(&outlook.plans, start, &mut data)?;
    tracked::write_all(&steps.resources, &mut data)?;
    data.push_str(&steps.data);

    let mut files = vec![
        File::program("run.sh", SCRIPT.replacen(DATA, &data, 1)),
        File::program("undo.sh", UNDO.to_owned()),
    ];
    for (index, resource) in steps.resources.iter().enumerate() {
        resource.write_tests(index + 1, &mut files)?;
    }
    Ok(files)
}

/// The data of the steps so far, and the resources that they write.
struct Steps {
    state: State,
    count: usize,
    resources: Vec<Tracked>,
    /// The number of each resource in the script, from 1.
    numbers: BTreeMap<ResourceName, usize>,
    data: String,
}

impl Steps {
    fn new(start: &State) -> Self {
        Self {
            state: start.clone(),
            count: 0,
            resources: Vec::new(),
            numbers: BTreeMap::new(),
            data: String::new(),
        }
    }

    fn add_plan(&mut self, number: usize, plan: &Plan) -> Result<()> {
        for (index, step) in plan.steps.iter().enumerate() {
            self.count += 1;
            let folder = folder::name(self.count, step);
            let mut writes = Vec::new();
            for (write_index, write) in step.writes.iter().enumerate() {
                let stem = folder::file_stem(write_index, write);
                writes.push(self.add_write(write, &folder, &stem)?);
            }
            let header = StepHeader {
                number: self.count,
                plan: number,
                kind: step.kind,
                purpose: &step.purpose,
                is_last: index + 1 == plan.steps.len(),
            };
            header.write(&mut self.data)?;
            write_writes(self.count, &writes, &mut self.data)?;
        }
        Ok(())
    }

    fn add_write(&mut self, write: &Write, folder: &str, stem: &str) -> Result<ScriptWrite> {
        // Each resource has one number in the script, whichever plans write it. It is new before its
        // first write.
        let name = write.resource();
        let number = if let Some(number) = self.numbers.get(name) {
            *number
        } else {
            self.resources.push(Tracked::new(name, &self.state));
            self.numbers.insert(name.clone(), self.resources.len());
            self.resources.len()
        };
        self.state
            .apply(write)
            .ok()
            .context("a write does not fit the input")?;
        let resource = self
            .resources
            .get_mut(number - 1)
            .context("a resource has no number")?;
        let (action, undo_action) = match write {
            Write::Patch { .. } => ("patch", "patch"),
            Write::Delete { .. } => ("delete", "create"),
            // Only an undo creates a resource.
            Write::Create { .. } => ("create", "delete"),
        };
        Ok(ScriptWrite {
            resource: number,
            state: resource.add(write, self.count, &self.state),
            action,
            undo_action,
            file: format!("{folder}/{stem}.json"),
            undo_file: format!("{folder}/undo-{stem}.json"),
        })
    }
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
            yes_or_no(self.kind.needs_drain()),
            yes_or_no(self.is_last),
        )?;
        Ok(())
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
