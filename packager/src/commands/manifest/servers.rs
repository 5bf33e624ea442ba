//! `--from` and `--cluster`: the servers of the gateways that a resource reaches, as its configuration.

use anyhow::{Context, Result, bail};
use gateway::advice::{Advice, KUBECTL_GET};
use gateway::tables::{Conflict, Table, Tables};
use gateway::{Model, Workload};

use super::Args;
use crate::commands::assumptions;
use crate::commands::inputs::Inputs;
use crate::commands::source::Source;
use crate::console::{Console, ExitStatus};
use crate::resource::{Attachment, Draft, Request, memory_warning, reached_workloads};
use crate::settings::Settings;

/// The gateways that a resource reaches, and the tables of their servers.
pub(super) struct Reached<'m> {
    pub(super) workloads: Vec<&'m Workload>,
    tables: Tables,
}

/// A resource for some ports. A resource has one list of servers, so servers that differ by port need several.
pub(super) struct Part {
    /// The name of the resource.
    pub(super) name: String,
    /// The ports that Envoy listens on; none for all of them.
    pub(super) ports: Vec<u16>,
    /// The configuration with the servers of the ports.
    pub(super) settings: Settings,
}

/// The resources of gateways. `None` if the input cannot be read, which is already reported.
pub(super) fn read(
    source: Source<'_>,
    args: &Args,
    console: &mut Console<'_>,
) -> Result<Option<Inputs>> {
    let mut inputs = source.read(console)?;
    args.mesh.apply(&mut inputs)?;
    Ok((inputs.finish(console) == ExitStatus::Success).then_some(inputs))
}

impl<'m> Reached<'m> {
    /// Finds the gateways that a resource of a namespace reaches, and prints what is assumed about them.
    pub(super) fn new(
        model: &'m Model,
        namespace: &str,
        attachment: &Attachment,
        source: Source<'_>,
        args: &Args,
        console: &mut Console<'_>,
    ) -> Result<Self> {
        // Only the workloads that the resource reaches get its configuration.
        let workloads = reached_workloads(model, namespace, attachment);
        // A filter has one list of servers, so workloads that share a port have to agree on it.
        let tables = Tables::new(workloads.iter().copied(), args.listing())
            .map_err(|error| conflict(&error))?;
        if tables.tables.is_empty() {
            bail!(nothing_reached(source, model, namespace));
        }
        if tables.tables.len() > 1 && !tables.ports_are_certain {
            bail!(Advice::new(
                "the servers differ by port, and a Service that is not in the input decides which port \
                 Envoy listens on for each",
                "give the gateway's Service and its pods or Deployment too"
            ));
        }
        note(&workloads, &tables, console);
        Ok(Self { workloads, tables })
    }

    /// The resources to write: one for each table.
    pub(super) fn parts(&self, name: &str, settings: &Settings) -> Result<Vec<Part>> {
        self.tables
            .tables
            .iter()
            .map(|table| self.part(table, name, settings))
            .collect()
    }

    fn part(&self, table: &Table, name: &str, settings: &Settings) -> Result<Part> {
        let mut settings = settings.clone();
        settings.set_servers(&table.servers);
        settings.check().context("the servers of the input")?;
        let ports = if self.tables.ports_are_certain {
            table.ports.clone()
        } else {
            vec![]
        };
        // Several resources need different names.
        let name = match ports.first() {
            Some(port) if self.tables.tables.len() > 1 => format!("{name}-{port}"),
            _ => name.to_owned(),
        };
        Ok(Part {
            name,
            ports,
            settings,
        })
    }
}

/// The resources to write instead of one: one for each port if servers differ by port. `None` if the
/// input cannot be read, which is already reported.
pub(super) fn drafts(
    draft: &Draft,
    source: Source<'_>,
    args: &Args,
    console: &mut Console<'_>,
) -> Result<Option<Vec<Draft>>> {
    let Some(inputs) = read(source, args, console)? else {
        return Ok(None);
    };
    let model = Model::new(&inputs.resources);
    let request = Request::parse(draft.clone())?;
    let namespace = request.placement.metadata.namespace.to_string();
    let reached = Reached::new(
        &model,
        &namespace,
        &request.placement.attachment,
        source,
        args,
        console,
    )?;
    let mut drafts = Vec::new();
    for part in reached.parts(&draft.name, &draft.settings)? {
        if let Some(warning) = memory_warning(part.settings.size(), &reached.workloads) {
            console.message(format_args!("warning: {warning}"));
        }
        drafts.push(Draft {
            name: part.name,
            ports: part.ports,
            settings: part.settings,
            ..draft.clone()
        });
    }
    Ok(Some(drafts))
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
