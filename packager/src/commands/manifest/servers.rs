//! `--from` and `--cluster`: the servers of the gateways that a resource reaches, as its configuration.

use anyhow::{Context, Result, bail};
use gateway::advice::{Advice, KUBECTL_GET};
use gateway::tables::{Conflict, Table, Tables};
use gateway::{Model, Workload};

use super::Args;
use crate::commands::assumptions;
use crate::commands::source::Source;
use crate::console::{Console, ExitStatus};
use crate::resource::{Draft, Request, memory_warning, reached_workloads};

/// The resources to write instead of one: one for each port if servers differ by port. `None` if the
/// input cannot be read, which is already reported.
pub(super) fn drafts(
    draft: &Draft,
    source: Source<'_>,
    args: &Args,
    console: &mut Console<'_>,
) -> Result<Option<Vec<Draft>>> {
    let mut inputs = source.read(console)?;
    args.mesh.apply(&mut inputs)?;
    if inputs.finish(console) != ExitStatus::Success {
        return Ok(None);
    }

    // Only the workloads that the resource reaches get its configuration.
    let model = Model::new(&inputs.resources);
    let request = Request::parse(draft.clone())?;
    let namespace = request.metadata.namespace.to_string();
    let reached = reached_workloads(&model, &namespace, &request.attachment);

    // A filter has one list of servers, so workloads that share a port have to agree on it.
    let tables =
        Tables::new(reached.iter().copied(), args.listing()).map_err(|error| conflict(&error))?;
    if tables.tables.is_empty() {
        bail!(nothing_reached(source, &model, &namespace));
    }
    if tables.tables.len() > 1 && !tables.ports_are_certain {
        bail!(Advice::new(
            "the servers differ by port, and a Service that is not in the input decides which port \
             Envoy listens on for each",
            "give the gateway's Service and its pods or Deployment too"
        ));
    }

    note(&reached, &tables, console);
    let is_only = tables.tables.len() == 1;
    let mut drafts = Vec::new();
    for table in tables.tables {
        let draft = with_table(draft, table, tables.ports_are_certain, is_only)?;
        if let Some(warning) = memory_warning(draft.settings.size(), &reached) {
            console.message(format_args!("warning: {warning}"));
        }
        drafts.push(draft);
    }
    Ok(Some(drafts))
}

/// The resource with a table of servers for its ports.
fn with_table(
    draft: &Draft,
    table: Table,
    ports_are_certain: bool,
    is_only: bool,
) -> Result<Draft> {
    let mut draft = draft.clone();
    draft.settings.set_servers(&table.servers);
    draft.settings.check().context("the servers of the input")?;
    if ports_are_certain {
        draft.ports = table.ports;
    }
    // Several resources need different names.
    if !is_only && let Some(port) = draft.ports.first() {
        draft.name = format!("{}-{port}", draft.name);
    }
    Ok(draft)
}

fn conflict(conflict: &Conflict) -> Advice {
    let Conflict {
        port,
        workloads: [one, other],
    } = conflict;
    if one == other {
        return Advice::new(
            format!("the servers of {one} differ between two addresses of port {port}"),
            "a resource applies to all addresses: write the list of servers yourself",
        );
    }
    Advice::new(
        format!("on port {port} the servers of {one} differ from the servers of {other}"),
        "write one resource for each workload, with labels that only its pods have",
    )
}

/// The error for a resource that reaches no TLS server of the model.
pub(super) fn nothing_reached(source: Source<'_>, model: &Model, namespace: &str) -> Advice {
    let workloads: Vec<String> = model.workloads.iter().map(with_labels).collect();
    if workloads.is_empty() {
        return source.has_no(
            "gateway with a TLS server",
            &format!(
                "give the Gateways, their pods and Services, which this prints: {KUBECTL_GET}"
            ),
        );
    }
    Advice::new(
        format!("the resource in namespace {namespace} reaches no pods with a TLS server"),
        format!("the input has {}", workloads.join("; ")),
    )
}

fn with_labels(workload: &Workload) -> String {
    let labels: Vec<String> = workload
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    format!("{} ({})", workload.full_name(), labels.join(","))
}

fn note(reached: &[&Workload], tables: &Tables, console: &mut Console<'_>) {
    for workload in reached {
        assumptions::note_pods(workload, console);
        warn_of_rejected_listeners(workload, console);
    }
    if !tables.ports_are_certain {
        console.note(
            "a Service that is not in the input decides which ports Envoy listens on, so the \
             filter applies to all ports",
        );
    }
}

/// Warns of each listener of a workload that Envoy rejects.
pub(super) fn warn_of_rejected_listeners(workload: &Workload, console: &mut Console<'_>) {
    for listener in &workload.listeners {
        if listener.is_rejected() {
            console.message(format_args!(
                "warning: Envoy rejects listener {} of {}: two servers have the same host",
                listener.name(),
                workload.full_name()
            ));
        }
    }
}
