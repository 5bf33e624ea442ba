//! Plans as text, for the terminal.

use std::io::{self, Write};
use std::path::Path;

use gateway::ServerId;
use gateway::findings::Remedy;
use gateway::merge::{
    Blocker, DRAIN_SECONDS, Outlook, Plan, Refusal, Step, StepKind, Strategy, Waits,
};
use gateway::shell;

use super::{effects, kubectl, owners};
use crate::render::SourceWords;
use crate::render::command_line::one_line;
use crate::render::count::count;
use crate::render::hidden::printable;

/// Writes plans as text. Each step has its commands, or the program in `folder` that runs them.
///
/// # Errors
/// Writing to the sink fails.
pub fn write(
    outlook: &Outlook,
    folder: Option<&Path>,
    source: &SourceWords,
    sink: &mut dyn Write,
) -> io::Result<()> {
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
                printable(&step.purpose)
            )?;
            match folder {
                Some(folder) => {
                    let program = folder
                        .join(super::folder::name(number, step))
                        .join("apply.sh");
                    let program = shell::path(&program.display().to_string());
                    writeln!(sink, "  sh {}", shell::word(&program))?;
                }
                None => write_commands(step, sink)?,
            }
        }
        write_tail(plan, sink)?;
    }
    // What is not merged comes last, so that an operator sees it after a long plan.
    for blocker in &outlook.blockers {
        write_blocker(blocker, source, sink)?;
    }
    for refusal in &outlook.refusals {
        write_refusal(refusal, source, sink)?;
    }
    if outlook.plans.is_empty() && outlook.refusals.is_empty() {
        let selected = if outlook.blockers.is_empty() {
            "no servers"
        } else {
            "no selected servers"
        };
        writeln!(sink, "nothing to merge: {selected} break each other")?;
    }
    Ok(())
}

fn write_head(plan: &Plan, sink: &mut dyn Write) -> io::Result<()> {
    writeln!(sink, "merge into {}", printable(&plan.target.to_string()))?;
    writeln!(
        sink,
        "  at: workload {}, listener {}",
        printable(&plan.listener.workload_name()),
        printable(&plan.listener.listener_name())
    )?;
    for absorbed in &plan.absorbed {
        writeln!(sink, "  absorbs: {}", printable(&absorbed.to_string()))?;
    }
    writeln!(sink, "  hosts: {}", printable(&plan.hosts.join(", ")))?;
    writeln!(sink, "  plan: {}", printable(&description(plan)))?;
    writeln!(sink, "  takes: {}", duration(plan))?;
    for line in effects::lines(plan) {
        writeln!(sink, "  for users: {}", printable(&line))?;
    }
    for line in effects::warnings(plan) {
        writeln!(sink, "  warning: {}", printable(&line))?;
    }
    for managed in &plan.owners {
        writeln!(sink, "  warning: {}", printable(&owners::warning(managed)))?;
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

/// How long the plan takes, with the number of its steps and waits.
fn duration(plan: &Plan) -> String {
    let minutes = plan.seconds(DRAIN_SECONDS).div_ceil(60);
    let time = match (minutes / 60, minutes % 60) {
        (0, 1) => "a minute".to_owned(),
        (0, minutes) => format!("{minutes} minutes"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    };
    let Waits { syncs, drains } = plan.waits();
    let waits = match drains {
        0 => String::new(),
        1 => format!(", {DRAIN_SECONDS} s to drain connections"),
        _ => format!(", {drains} times {DRAIN_SECONDS} s to drain connections"),
    };
    format!("about {time}: {}{waits}", count(syncs, "step"))
}

/// What the short plan costs.
fn short_gap() -> String {
    format!(
        "new connections may get 404 for some milliseconds at the step {}",
        StepKind::MoveHosts.name()
    )
}

/// How many servers a blocker lists. `--only` may leave out hundreds.
const MAX_SERVERS: usize = 10;

fn write_blocker(blocker: &Blocker, source: &SourceWords, sink: &mut dyn Write) -> io::Result<()> {
    writeln!(sink, "set aside: {}", printable(&blocker.message))?;
    writeln!(
        sink,
        "  at: workload {}, listener {}",
        printable(&blocker.listener.workload_name()),
        blocker.listener.listener_name()
    )?;
    let mut servers = names(blocker.servers.iter().take(MAX_SERVERS));
    if blocker.servers.len() > MAX_SERVERS {
        servers = format!("{servers} and {} more", blocker.servers.len() - MAX_SERVERS);
    }
    writeln!(sink, "  servers: {servers}")?;
    write!(
        sink,
        "  still broken: {}",
        count(blocker.remaining.count, "pair")
    )?;
    if let Some(example) = &blocker.remaining.example {
        write!(
            sink,
            ", for example requests for {} on connections for {}",
            printable(&example.authority),
            printable(&example.sni)
        )?;
    }
    writeln!(sink)?;
    write_hints(&blocker.remedies, source, sink)
}

fn write_refusal(refusal: &Refusal, source: &SourceWords, sink: &mut dyn Write) -> io::Result<()> {
    let Refusal {
        workload,
        listener,
        servers,
        message,
        remedies,
        ..
    } = refusal;
    writeln!(sink, "refused: {}", printable(message))?;
    writeln!(
        sink,
        "  at: workload {}, listener {listener}",
        printable(workload)
    )?;
    writeln!(sink, "  servers: {}", names(servers))?;
    write_hints(remedies, source, sink)
}

fn names<'s>(servers: impl IntoIterator<Item = &'s ServerId>) -> String {
    let names: Vec<String> = servers
        .into_iter()
        .map(|server| printable(&server.to_string()))
        .collect();
    names.join(", ")
}

fn write_hints(remedies: &[Remedy], source: &SourceWords, sink: &mut dyn Write) -> io::Result<()> {
    for remedy in remedies {
        writeln!(sink, "  hint: {}", printable(&one_line(remedy, source)))?;
    }
    writeln!(sink)
}
