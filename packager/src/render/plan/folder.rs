//! Plans as a folder: a folder for each step with its patches, its commands and its undo.

use std::path::PathBuf;

use anyhow::{Context, Result};
use gateway::merge::{Edit, Outlook, Plan, State, Step, Write, without_status};
use gateway::resources::ResourceName;
use serde_json::{Value, json};

use super::super::hidden::printable;
use super::{json as report, kubectl, run};
use crate::render::SourceWords;
use crate::resource::to_yaml;

/// What the files of a step contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON patches (RFC 6902). The API server refuses them if the resource was changed meanwhile.
    Patches,
    /// Whole manifests, each as it is after the step.
    Full,
    /// A kustomize component, for resources that are applied from a repository.
    Kustomize,
}

/// A file of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The path, relative to the folder.
    pub path: PathBuf,
    /// The whole content of the file.
    pub text: String,
    /// Whether the file is executable.
    pub is_program: bool,
}

/// A step of a plan with the folder for its files.
struct StepFolder<'o> {
    plan: &'o Plan,
    step: &'o Step,
    name: String,
    form: Form,
}

/// The files for all plans: `plan.json`, and a folder for each step.
///
/// # Errors
/// A write does not fit the resources, or a value cannot be written as YAML or JSON.
pub fn files(
    outlook: &Outlook,
    start: &State,
    form: Form,
    source: &SourceWords,
) -> Result<Vec<File>> {
    let plan = serde_json::to_string_pretty(&report::report(outlook, source))?;
    let mut files = vec![File::data("plan.json", plan + "\n")];
    // Whole manifests depend on the writes of all previous steps.
    let mut state = start.clone();
    let mut number = 0;
    for plan in &outlook.plans {
        for step in &plan.steps {
            number += 1;
            let folder = StepFolder {
                plan,
                step,
                name: name(number, step),
                form,
            };
            folder.write(&mut state, &mut files)?;
        }
    }
    // The scripts apply patches. A whole manifest would overwrite other changes of the resource, and an
    // overlay is applied from its repository.
    match form {
        Form::Patches => files.extend(run::files(outlook, start)?),
        Form::Full | Form::Kustomize => {}
    }
    Ok(files)
}

/// The name of a step's folder. The number counts the steps of all plans.
pub(super) fn name(number: usize, step: &Step) -> String {
    format!("{number:02}-{}", step.kind.name())
}

impl File {
    pub(super) fn data(path: &str, text: String) -> Self {
        Self {
            path: path.into(),
            text,
            is_program: false,
        }
    }

    pub(super) fn program(path: &str, text: String) -> Self {
        Self {
            is_program: true,
            ..Self::data(path, text)
        }
    }
}

impl StepFolder<'_> {
    /// Adds the files of the step and applies its writes to the state.
    fn write(&self, state: &mut State, files: &mut Vec<File>) -> Result<()> {
        match self.form {
            Form::Patches | Form::Full => self.write_programs(state, files),
            Form::Kustomize => {
                files.push(self.file("kustomization.yaml", self.component(state)?));
                // The next component refers to the state after this one.
                for write in &self.step.writes {
                    self.apply(write, state)?;
                }
                Ok(())
            }
        }
    }

    fn write_programs(&self, state: &mut State, files: &mut Vec<File>) -> Result<()> {
        let mut apply = Vec::new();
        let mut undo = Vec::new();
        for (index, write) in self.step.writes.iter().enumerate() {
            // The undo writes the manifest before the step; the step writes the one after it.
            let before = manifest_to_apply(write, state);
            self.apply(write, state)?;
            let after = manifest_to_apply(write, state);
            let stem = file_stem(index, write);
            let change = Change {
                write,
                before: before.as_ref(),
                after: after.as_ref(),
            };
            apply.push(self.write_command(&stem, change, files)?);
            let reverse = Change {
                write: &write.undo(),
                before: after.as_ref(),
                after: before.as_ref(),
            };
            undo.push(self.write_command(&format!("undo-{stem}"), reverse, files)?);
        }
        // The undo reverts the last write first.
        undo.reverse();

        // A line break would end the comment, and the shell would run the rest of the text.
        let purpose = printable(&self.step.purpose);
        files.push(self.program("apply.sh", &format!("Step: {purpose}."), &apply));
        files.push(self.program("undo.sh", &format!("Undo: {purpose}."), &undo));
        // The script stops with a message if the operator has not set the address.
        if let Some(probe) = kubectl::script_probe(self.plan) {
            let usage =
                ": \"${GATEWAY:?set it to the address and port of the gateway}\"".to_owned();
            let purpose =
                "Prints the answer for each host. After the last step, all hosts share a server.";
            files.push(self.program("probe.sh", purpose, &[usage, probe]));
        }
        Ok(())
    }

    fn apply(&self, write: &Write, state: &mut State) -> Result<()> {
        state
            .apply(write)
            .ok()
            .with_context(|| format!("{} does not fit the input", self.name))
    }

    /// Adds the file of a write, if it needs one, and returns the command that makes the write.
    fn write_command(
        &self,
        stem: &str,
        change: Change<'_>,
        files: &mut Vec<File>,
    ) -> Result<String> {
        let write = change.write;
        let name = format!("{stem}.json");
        match write {
            // Somebody may have changed the resource after the plan was made.
            Write::Delete { resource, manifest } => {
                let tests = serde_json::to_string_pretty(&run::deletion_tests(manifest))?;
                files.push(self.file(&name, tests + "\n"));
                Ok(kubectl::script_deletion(resource, manifest, &name))
            }
            // Only an undo creates a resource, with the manifest that was deleted.
            Write::Create { manifest, .. } => {
                let manifest = serde_json::to_string_pretty(&without_status(manifest))?;
                files.push(self.file(&name, manifest + "\n"));
                Ok(kubectl::script_command(write, &name))
            }
            Write::Patch { .. } => {
                if let (Form::Full, Some(manifest)) = (self.form, change.after) {
                    let name = format!("{stem}.yaml");
                    files.push(self.file(&name, to_yaml(manifest)?));
                    return Ok(kubectl::replace(&name));
                }
                let patch = serde_json::to_string_pretty(&change.patch()?)?;
                files.push(self.file(&name, patch + "\n"));
                Ok(kubectl::script_command(write, &name))
            }
        }
    }

    fn file(&self, name: &str, text: String) -> File {
        File::data(&format!("{}/{name}", self.name), text)
    }

    /// A shell script that runs commands in the folder of the step and stops at the first failure.
    fn program(&self, name: &str, purpose: &str, commands: &[String]) -> File {
        let commands = commands.join("\n");
        let text = format!(
            "#!/bin/sh\n# {purpose}\nset -eu\nCDPATH= cd -- \"$(dirname -- \"$0\")\"\n{commands}\n"
        );
        File::program(&format!("{}/{name}", self.name), text)
    }

    /// A kustomize component changes what an overlay has so far. The operator appends one component
    /// after the other to the overlay, and removes the last one to undo a step.
    fn component(&self, state: &State) -> Result<String> {
        let patches: Vec<Value> = self
            .step
            .writes
            .iter()
            .map(|write| component_patch(write, state))
            .collect::<Result<_>>()?;
        let component = json!({
            "apiVersion": "kustomize.config.k8s.io/v1alpha1",
            "kind": "Component",
            "patches": patches,
        });
        Ok(format!(
            "# Step: {}.\n{}",
            printable(&self.step.purpose),
            to_yaml(&component)?
        ))
    }
}

/// A write with the manifests of its resource before and after it.
#[derive(Clone, Copy)]
struct Change<'o> {
    write: &'o Write,
    before: Option<&'o Value>,
    after: Option<&'o Value>,
}

impl Change<'_> {
    /// The JSON patch. An insertion has no old value that it could test, so the patch first tests the whole
    /// list: a patch that is applied twice must not insert an item twice.
    fn patch(self) -> Result<Vec<Value>> {
        let Write::Patch { edits, .. } = self.write else {
            return Ok(Vec::new());
        };
        let mut patch = Vec::new();
        let insertion = edits.iter().find_map(|edit| match edit {
            Edit::Insert { path, .. } => path.rsplit_once('/'),
            Edit::Replace { .. } | Edit::Remove { .. } => None,
        });
        if let (Some((list, _)), Some(manifest)) = (insertion, self.before) {
            patch.push(json!({ "op": "test", "path": list, "value": manifest.pointer(list) }));
        }
        for operation in self.write.operations() {
            patch.push(serde_json::to_value(operation)?);
        }
        Ok(patch)
    }
}

/// The manifest of a write's resource in the present state; `None` if the resource does not exist.
fn manifest_to_apply(write: &Write, state: &State) -> Option<Value> {
    state.manifest(write.resource()).map(without_status)
}

/// The name of a write's file without its extension, such as `1-gateway-shop-gw-a`.
pub(super) fn file_stem(index: usize, write: &Write) -> String {
    let ResourceName {
        kind,
        namespace,
        name,
    } = write.resource();
    // The name of a file has at most 255 bytes, with a prefix and an extension. The number is unique.
    let name: String = format!("{namespace}-{name}")
        .chars()
        .map(|letter| match letter {
            // Names of resources have only these characters (RFC 1123). A file of the input can have others,
            // and a slash would lead to another folder.
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' => letter,
            _ => '_',
        })
        .take(200)
        .collect();
    format!("{}-{}-{name}", index + 1, kind.name().to_ascii_lowercase())
}

fn component_patch(write: &Write, state: &State) -> Result<Value> {
    let ResourceName {
        kind,
        namespace,
        name,
    } = write.resource();
    match write {
        Write::Patch { .. } => {
            let target = json!({
                "group": kind.group(),
                "kind": kind.name(),
                "name": name,
                "namespace": namespace,
            });
            let patch = serde_json::to_string(&write.operations())?;
            Ok(json!({ "target": target, "patch": patch }))
        }
        // A step never creates a resource; only the undo of a deletion does.
        Write::Delete { .. } | Write::Create { .. } => {
            let version = state
                .manifest(write.resource())
                .and_then(|manifest| manifest.get("apiVersion"));
            let deletion = json!({
                "$patch": "delete",
                "apiVersion": version,
                "kind": kind.name(),
                "metadata": { "name": name, "namespace": namespace },
            });
            Ok(json!({ "patch": to_yaml(&deletion)? }))
        }
    }
}
