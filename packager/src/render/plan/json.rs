//! Plans as JSON, for scripts.

use std::io;

use gateway::merge::{Outlook, Plan, Step, Write, without_status};
use serde_json::{Value, json};

use super::kubectl;

/// Writes plans as one JSON object in a line.
///
/// # Errors
/// Writing to the sink fails.
pub fn write(outlook: &Outlook, sink: &mut dyn io::Write) -> io::Result<()> {
    writeln!(sink, "{}", serde_json::to_string(&report(outlook))?)
}

/// The object that [`write()`] writes, which a folder also has as a file.
pub(super) fn report(outlook: &Outlook) -> Value {
    json!({
        "plans": outlook.plans.iter().map(plan).collect::<Vec<_>>(),
        "refusals": outlook.refusals,
    })
}

fn plan(plan: &Plan) -> Value {
    json!({
        "workload": plan.listener.workload_name(),
        "listener": plan.listener.listener_name(),
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
    // The undo of a step reverts its last write first.
    let undo: Vec<Value> = step
        .writes
        .iter()
        .rev()
        .map(|applied| write_object(&applied.undo()))
        .collect();
    json!({
        "name": step.kind.name(),
        "purpose": step.purpose,
        "writes": step.writes.iter().map(write_object).collect::<Vec<_>>(),
        "undo": undo,
    })
}

fn write_object(write: &Write) -> Value {
    let resource = write.resource();
    let (action, patch, manifest) = match write {
        Write::Patch { .. } => ("patch", Some(write.operations()), None),
        Write::Delete { .. } => ("delete", None, None),
        Write::Create { manifest, .. } => ("create", None, Some(without_status(manifest))),
    };
    json!({
        "action": action,
        "kind": resource.kind.name(),
        "namespace": resource.namespace,
        "name": resource.name,
        "patch": patch,
        "manifest": manifest,
        "command": kubectl::command(write),
    })
}
