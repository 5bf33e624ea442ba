//! Plans as JSON, for scripts.

use std::io;

use gateway::ServerId;
use gateway::findings::Remedy;
use gateway::merge::{Blocker, DRAIN_SECONDS, Outlook, Plan, Refusal, Step, Write, without_status};
use serde_json::{Value, json};

use super::{effects, kubectl, owners};
use crate::render::SourceWords;
use crate::render::command_line::one_line;

/// Writes plans as one JSON object in a line.
///
/// # Errors
/// Writing to the sink fails.
pub fn write(outlook: &Outlook, source: &SourceWords, sink: &mut dyn io::Write) -> io::Result<()> {
    writeln!(sink, "{}", serde_json::to_string(&report(outlook, source))?)
}

/// The object that [`write()`] writes, which a folder also has as a file.
pub(super) fn report(outlook: &Outlook, source: &SourceWords) -> Value {
    json!({
        "plans": outlook.plans.iter().map(plan).collect::<Vec<_>>(),
        "blockers": outlook.blockers.iter().map(|entry| blocker(entry, source)).collect::<Vec<_>>(),
        "refusals": outlook.refusals.iter().map(|entry| refusal(entry, source)).collect::<Vec<_>>(),
    })
}

fn blocker(blocker: &Blocker, source: &SourceWords) -> Value {
    let example = blocker
        .remaining
        .example
        .as_ref()
        .map(|example| json!({ "sni": example.sni, "authority": example.authority }));
    json!({
        "reason": blocker.reason,
        "workload": blocker.listener.workload_name(),
        "listener": blocker.listener.listener_name(),
        "servers": names(&blocker.servers),
        "message": blocker.message,
        "pairCount": blocker.remaining.count,
        "example": example,
        "hint": hint(&blocker.remedies, source),
    })
}

fn refusal(refusal: &Refusal, source: &SourceWords) -> Value {
    json!({
        "reason": refusal.reason,
        "workload": refusal.workload,
        "listener": refusal.listener,
        "servers": names(&refusal.servers),
        "message": refusal.message,
        "hint": hint(&refusal.remedies, source),
    })
}

fn names(servers: &[ServerId]) -> Vec<String> {
    servers.iter().map(ToString::to_string).collect()
}

/// All remedies with their commands in one text.
fn hint(remedies: &[Remedy], source: &SourceWords) -> String {
    let remedies: Vec<String> = remedies
        .iter()
        .map(|remedy| one_line(remedy, source))
        .collect();
    remedies.join("; or ")
}

fn plan(plan: &Plan) -> Value {
    json!({
        "workload": plan.listener.workload_name(),
        "listener": plan.listener.listener_name(),
        "target": plan.target.to_string(),
        "absorbed": names(&plan.absorbed),
        "hosts": plan.hosts,
        "plan": plan.strategy,
        "fallback": plan.fallback,
        "warnings": plan.owners.iter().map(owners::warning).collect::<Vec<_>>(),
        "effects": effects::object(plan),
        "owners": plan.owners.iter().map(owners::object).collect::<Vec<_>>(),
        "takes": {
            "seconds": plan.seconds(DRAIN_SECONDS),
            "steps": plan.waits().syncs,
            "drains": plan.waits().drains,
        },
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
        "drain": step.kind.needs_drain(),
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
