//! Plans as folders, one for each step, with what it writes, the commands, and what takes it back.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use gateway::merge::{Outlook, Plan, State, Step, Write, without_status};
use gateway::resources::ResourceName;
use serde_json::{Value, json};

use super::{json as report, kubectl};
use crate::resource::to_yaml;

/// What a step's files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON patches (RFC 6902), which the API server refuses when a resource was changed meanwhile.
    Patches,
    /// Whole manifests.
    Full,
    /// A kustomize component, for those who apply what a repository holds.
    Kustomize,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it goes, below the folder.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
    /// Whether it is a program.
    pub is_program: bool,
}

/// A step with its number among all, and the state before it.
struct Place<'o> {
    plan: &'o Plan,
    step: &'o Step,
    folder: String,
    form: Form,
}

pub(super) fn files(outlook: &Outlook, start: &State, form: Form) -> Result<Vec<File>> {
    let plan = serde_json::to_string_pretty(&report::outlook(outlook))?;
    let mut files = vec![file("plan.json", plan + "\n")];
    let mut state = start.clone();
    let steps = outlook
        .plans
        .iter()
        .flat_map(|plan| plan.steps.iter().map(move |step| (plan, step)));
    for (at, (plan, step)) in steps.enumerate() {
        let folder = name(at + 1, step);
        let place = Place {
            plan,
            step,
            folder,
            form,
        };
        place.files(&mut state, &mut files)?;
    }
    Ok(files)
}

/// The folder of a step, which has its number among those of all plans.
pub(super) fn name(number: usize, step: &Step) -> String {
    format!("{number:02}-{}", step.name)
}

fn file(path: &str, text: String) -> File {
    File {
        path: path.into(),
        text,
        is_program: false,
    }
}

impl Place<'_> {
    fn files(&self, state: &mut State, files: &mut Vec<File>) -> Result<()> {
        if self.form == Form::Kustomize {
            files.push(file(
                &format!("{}/kustomization.yaml", self.folder),
                self.component(state)?,
            ));
            for write in &self.step.writes {
                self.apply(write, state)?;
            }
            return Ok(());
        }
        let (mut apply, mut undo) = (Vec::new(), Vec::new());
        for (at, write) in self.step.writes.iter().enumerate() {
            let before = state.manifest(write.resource()).map(without_status);
            self.apply(write, state)?;
            let after = state.manifest(write.resource()).map(without_status);
            apply.push(self.write("", at, write, after.as_ref(), files)?);
            undo.insert(
                0,
                self.write("undo-", at, &write.undo(), before.as_ref(), files)?,
            );
        }
        let purpose = &self.step.purpose;
        self.program("apply.sh", &format!("Step: {purpose}."), &apply, files);
        self.program("undo.sh", &format!("Takes back: {purpose}."), &undo, files);
        if let Some(probe) = kubectl::probe(self.plan) {
            let usage =
                ": \"${GATEWAY:?set it to the address and port of the gateway}\"".to_owned();
            let says = "Shows what every host is answered; at the end, that they share a server.";
            self.program("probe.sh", says, &[usage, probe], files);
        }
        Ok(())
    }

    fn apply(&self, write: &Write, state: &mut State) -> Result<()> {
        let applied = state.apply(write).ok();
        applied.with_context(|| format!("{} does not fit the input", self.folder))
    }

    /// The file of a write, and the command that makes it.
    fn write(
        &self,
        prefix: &str,
        at: usize,
        write: &Write,
        manifest: Option<&Value>,
        files: &mut Vec<File>,
    ) -> Result<String> {
        let ResourceName {
            kind,
            namespace,
            name,
        } = write.resource();
        let stem = format!(
            "{prefix}{}-{}-{namespace}-{name}",
            at + 1,
            kind.name().to_ascii_lowercase()
        );
        let (name, text) = match (write, manifest) {
            (Write::Delete { .. }, _) => return Ok(kubectl::command(write, None)),
            (Write::Create { manifest, .. }, _) => {
                let manifest = serde_json::to_string_pretty(&without_status(manifest))?;
                (format!("{stem}.json"), manifest + "\n")
            }
            (_, Some(manifest)) if self.form == Form::Full => {
                (format!("{stem}.yaml"), to_yaml(manifest)?)
            }
            _ => {
                let patch = serde_json::to_string_pretty(&write.operations())?;
                (format!("{stem}.json"), patch + "\n")
            }
        };
        files.push(file(&format!("{}/{name}", self.folder), text));
        let replaces = self.form == Form::Full && matches!(write, Write::Patch { .. });
        Ok(if replaces {
            kubectl::replace(&name)
        } else {
            kubectl::command(write, Some(&name))
        })
    }

    fn program(&self, name: &str, says: &str, commands: &[String], files: &mut Vec<File>) {
        let mut text = format!("#!/bin/sh\n# {says}\nset -eu\ncd \"$(dirname \"$0\")\"\n");
        for command in commands {
            let _ = writeln!(text, "{command}");
        }
        let path = PathBuf::from(format!("{}/{name}", self.folder));
        files.push(File {
            path,
            text,
            is_program: true,
        });
    }

    /// A component changes what comes before it: one after the other is added to the list of an
    /// overlay, and taken out again to undo a step.
    fn component(&self, state: &State) -> Result<String> {
        let patches = self.step.writes.iter().map(|write| patch(write, state));
        let component = json!({
            "apiVersion": "kustomize.config.k8s.io/v1alpha1",
            "kind": "Component",
            "patches": patches.collect::<Result<Vec<_>>>()?,
        });
        Ok(format!(
            "# Step: {}.\n{}",
            self.step.purpose,
            to_yaml(&component)?
        ))
    }
}

fn patch(write: &Write, state: &State) -> Result<Value> {
    let ResourceName {
        kind,
        namespace,
        name,
    } = write.resource();
    if let Write::Patch { .. } = write {
        let target = json!({
            "group": kind.group(),
            "kind": kind.name(),
            "name": name,
            "namespace": namespace,
        });
        let patch = serde_json::to_string(&write.operations())?;
        return Ok(json!({ "target": target, "patch": patch }));
    }
    let version = state
        .manifest(write.resource())
        .and_then(|found| found.get("apiVersion"));
    let deletion = json!({
        "$patch": "delete",
        "apiVersion": version,
        "kind": kind.name(),
        "metadata": { "name": name, "namespace": namespace },
    });
    Ok(json!({ "patch": to_yaml(&deletion)? }))
}
