//! Plans for people.

use std::io::{self, Write};

use super::kubectl;
use crate::merge::{Outlook, Plan, Refusal, Strategy};

pub(super) fn write(outlook: &Outlook, sink: &mut dyn Write) -> io::Result<()> {
    for plan in &outlook.plans {
        write_plan(plan, sink)?;
    }
    for refusal in &outlook.refusals {
        write_refusal(refusal, sink)?;
    }
    if outlook.plans.is_empty() && outlook.refusals.is_empty() {
        writeln!(sink, "there is nothing to merge: no servers break each other")?;
    }
    Ok(())
}

fn write_plan(plan: &Plan, sink: &mut dyn Write) -> io::Result<()> {
    writeln!(sink, "merge into {}", plan.target)?;
    writeln!(sink, "  at: workload {}, listener {}", plan.workload, plan.listener)?;
    for absorbed in &plan.absorbed {
        writeln!(sink, "  absorbs: {absorbed}")?;
    }
    writeln!(sink, "  hosts: {}", plan.hosts.join(", "))?;
    writeln!(sink, "  plan: {}", described(plan))?;
    for warning in &plan.warnings {
        writeln!(sink, "  warning: {warning}")?;
    }
    for (at, step) in plan.steps.iter().enumerate() {
        writeln!(sink, "\nstep {}, {}: {}", at + 1, step.name, step.purpose)?;
        for write in &step.writes {
            writeln!(sink, "  {}", kubectl::command(write, None))?;
        }
        for write in step.writes.iter().rev() {
            writeln!(sink, "  undo: {}", kubectl::command(&write.undo(), None))?;
        }
    }
    writeln!(
        sink,
        "\nafter each step, wait until the gateways have it (istioctl proxy-status), then"
    )?;
    if let Some(probe) = kubectl::probe(plan) {
        writeln!(sink, "  {probe}")?;
    }
    writeln!(sink)
}

fn described(plan: &Plan) -> String {
    match (plan.strategy, &plan.fallback) {
        (Strategy::Seamless, _) => "seamless, no host's answer changes at any step".into(),
        (Strategy::Short, None) => {
            "short, new connections may get 404 for some milliseconds at the step take-over".into()
        }
        (Strategy::Short, Some(why)) => format!(
            "short, since {why}; new connections may get 404 for some milliseconds at the step \
             take-over"
        ),
    }
}

fn write_refusal(refusal: &Refusal, sink: &mut dyn Write) -> io::Result<()> {
    let Refusal { workload, listener, servers, message, hint, .. } = refusal;
    writeln!(sink, "refused: {message}")?;
    writeln!(sink, "  at: workload {workload}, listener {listener}")?;
    writeln!(sink, "  servers: {}", servers.join(", "))?;
    writeln!(sink, "  hint: {hint}\n")
}
