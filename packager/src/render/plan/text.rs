//! Plans as text, for the terminal.

use std::io::{self, Write};
use std::path::Path;

use gateway::merge::{Outlook, Plan, Refusal, Step, StepKind, Strategy};

use super::kubectl;

/// Writes plans as text. Each step has its commands, or the program in `folder` that runs them.
///
/// # Errors
/// Writing to the sink fails.
pub fn write(outlook: &Outlook, folder: Option<&Path>, sink: &mut dyn Write) -> io::Result<()> {
    // The numbers go on from plan to plan, because all steps are in one folder.
    let mut number = 0;
    for plan in &outlook.plans {
        write_head(plan, sink)?;
        for step in &plan.steps {
            number += 1;
            writeln!(
                sink,
                "\nstep {number}, {}: {}",
                step.kind.name(),
                step.purpose
            )?;
            match folder {
                Some(folder) => {
                    let program = folder
                        .join(super::folder::name(number, step))
                        .join("apply.sh");
                    writeln!(sink, "  sh {}", program.display())?;
                }
                None => write_commands(step, sink)?,
            }
        }
        write_tail(plan, sink)?;
    }
    // Refusals come last, so that an operator sees them after a long plan.
    for refusal in &outlook.refusals {
        write_refusal(refusal, sink)?;
    }
    if outlook.plans.is_empty() && outlook.refusals.is_empty() {
        writeln!(sink, "nothing to merge: no servers break each other")?;
    }
    Ok(())
}

fn write_head(plan: &Plan, sink: &mut dyn Write) -> io::Result<()> {
    writeln!(sink, "merge into {}", plan.target)?;
    writeln!(
        sink,
        "  at: workload {}, listener {}",
        plan.listener.workload_name(),
        plan.listener.listener_name()
    )?;
    for absorbed in &plan.absorbed {
        writeln!(sink, "  absorbs: {absorbed}")?;
    }
    writeln!(sink, "  hosts: {}", plan.hosts.join(", "))?;
    writeln!(sink, "  plan: {}", description(plan))?;
    for warning in &plan.warnings {
        writeln!(sink, "  warning: {warning}")?;
    }
    Ok(())
}

fn write_commands(step: &Step, sink: &mut dyn Write) -> io::Result<()> {
    for write in &step.writes {
        writeln!(sink, "  {}", kubectl::command(write))?;
    }
    // The undo of a step reverts its last write first.
    for write in step.writes.iter().rev() {
        writeln!(sink, "  undo: {}", kubectl::command(&write.undo()))?;
    }
    Ok(())
}

fn write_tail(plan: &Plan, sink: &mut dyn Write) -> io::Result<()> {
    // An open connection stays on its filter chain until Envoy has drained it.
    if plan.strategy == Strategy::Seamless {
        writeln!(
            sink,
            "\nafter each step {}, also wait until the gateways have drained their connections \
             (drainDuration, by default 45 seconds): idle connections still use the old routes",
            StepKind::ShiftConnections.name()
        )?;
    }
    writeln!(
        sink,
        "\nafter each step, wait until all gateways have applied it (istioctl proxy-status), then run"
    )?;
    if let Some(probe) = kubectl::probe(plan) {
        writeln!(sink, "  {probe}")?;
    }
    writeln!(sink)
}

fn description(plan: &Plan) -> String {
    match (plan.strategy, &plan.fallback) {
        (Strategy::Seamless, _) => "seamless, no answer changes at any step".to_owned(),
        (Strategy::Short, None) => format!("short, {}", short_gap()),
        (Strategy::Short, Some(reason)) => format!("short, because {reason}; {}", short_gap()),
    }
}

/// What the short plan costs.
fn short_gap() -> String {
    format!(
        "new connections may get 404 for some milliseconds at the step {}",
        StepKind::MoveHosts.name()
    )
}

fn write_refusal(refusal: &Refusal, sink: &mut dyn Write) -> io::Result<()> {
    let Refusal {
        workload,
        listener,
        servers,
        message,
        hint,
        ..
    } = refusal;
    writeln!(sink, "refused: {message}")?;
    writeln!(sink, "  at: workload {workload}, listener {listener}")?;
    writeln!(sink, "  servers: {}", servers.join(", "))?;
    writeln!(sink, "  hint: {hint}\n")
}
