//! Plans for people.

use std::io::{self, Write};
use std::path::Path;

use gateway::merge::{Outlook, Plan, Refusal, Step, Strategy};

use super::kubectl;

pub(super) fn write(
    outlook: &Outlook,
    folder: Option<&Path>,
    sink: &mut dyn Write,
) -> io::Result<()> {
    let mut number = 0;
    for plan in &outlook.plans {
        write_head(plan, sink)?;
        for step in &plan.steps {
            number += 1;
            writeln!(sink, "\nstep {number}, {}: {}", step.name, step.purpose)?;
            match folder {
                Some(folder) => {
                    let step = folder.join(super::folder::name(number, step));
                    writeln!(sink, "  sh {}", step.join("apply.sh").display())?;
                }
                None => write_commands(step, sink)?,
            }
        }
        write_tail(plan, sink)?;
    }
    for refusal in &outlook.refusals {
        write_refusal(refusal, sink)?;
    }
    if outlook.plans.is_empty() && outlook.refusals.is_empty() {
        writeln!(
            sink,
            "there is nothing to merge: no servers break each other"
        )?;
    }
    Ok(())
}

fn write_head(plan: &Plan, sink: &mut dyn Write) -> io::Result<()> {
    writeln!(sink, "merge into {}", plan.target)?;
    writeln!(
        sink,
        "  at: workload {}, listener {}",
        plan.workload, plan.listener
    )?;
    for absorbed in &plan.absorbed {
        writeln!(sink, "  absorbs: {absorbed}")?;
    }
    writeln!(sink, "  hosts: {}", plan.hosts.join(", "))?;
    writeln!(sink, "  plan: {}", described(plan))?;
    for warning in &plan.warnings {
        writeln!(sink, "  warning: {warning}")?;
    }
    Ok(())
}

fn write_commands(step: &Step, sink: &mut dyn Write) -> io::Result<()> {
    for write in &step.writes {
        writeln!(sink, "  {}", kubectl::command(write, None))?;
    }
    for write in step.writes.iter().rev() {
        writeln!(sink, "  undo: {}", kubectl::command(&write.undo(), None))?;
    }
    Ok(())
}

fn write_tail(plan: &Plan, sink: &mut dyn Write) -> io::Result<()> {
    if plan.strategy == Strategy::Seamless {
        writeln!(
            sink,
            "\nafter each hand-over, also wait until the gateways have drained their connections \
             (drainDuration, by default 45 seconds): idle connections still use the old routes"
        )?;
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
