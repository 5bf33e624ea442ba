//! Plans for programs.

use gateway::merge::{Outlook, Plan, Step, Write, without_status};
use serde_json::{Value, json};

use super::kubectl;

pub(super) fn outlook(outlook: &Outlook) -> Value {
    json!({
        "plans": outlook.plans.iter().map(plan).collect::<Vec<_>>(),
        "refusals": outlook.refusals,
    })
}

fn plan(plan: &Plan) -> Value {
    json!({
        "workload": plan.workload,
        "listener": plan.listener,
        "target": plan.target.to_string(),
        "absorbed": plan.absorbed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "hosts": plan.hosts,
        "plan": plan.strategy,
        "fallback": plan.fallback,
        "warnings": plan.warnings,
        "steps": plan.steps.iter().map(step).collect::<Vec<_>>(),
        "probe": kubectl::probe(plan),
    })
}

fn step(step: &Step) -> Value {
    json!({
        "name": step.name,
        "purpose": step.purpose,
        "writes": step.writes.iter().map(write).collect::<Vec<_>>(),
        "undo": step.writes.iter().rev().map(|found| write(&found.undo())).collect::<Vec<_>>(),
    })
}

fn write(write: &Write) -> Value {
    let name = write.resource();
    let (action, patch, manifest) = match write {
        Write::Patch { .. } => ("patch", Some(write.operations()), None),
        Write::Delete { .. } => ("delete", None, None),
        Write::Create { manifest, .. } => ("create", None, Some(without_status(manifest))),
    };
    json!({
        "action": action,
        "kind": name.kind.name(),
        "namespace": name.namespace,
        "name": name.name,
        "patch": patch,
        "manifest": manifest,
        "command": kubectl::command(write, None),
    })
}
