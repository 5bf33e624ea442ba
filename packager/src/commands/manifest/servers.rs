//! `--from` and `--cluster`: the servers of the gateways that a resource reaches, as its configuration.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use gateway::advice::Advice;
use gateway::istio::{PluginTarget, Reach, reaches};
use gateway::tables::{Conflict, Listing, Tables};
use gateway::{Model, Workload};

use crate::commands::inputs::{self, Inputs};
use crate::commands::source::Source;
use crate::console::{Console, ExitStatus};
use crate::resource::{Attachment, Draft, PolicyTarget, Request};

/// The memory that a configuration may take before it is worth a warning, in octets.
const NOTEWORTHY_MEMORY: usize = 100 << 20;
/// How many copies of a configuration Envoy keeps for each filter chain, settled and at the peak of an
/// update. Measured: 2.0 to 2.4 and 4.1 to 4.7, see bench/MEMORY.md.
const COPIES: usize = 2;
const COPIES_IN_UPDATE: usize = 4;

/// The resources to write in place of one: one for each port where servers differ by port.
/// `None` where the input cannot be read, which was said.
pub(super) fn drafts(
    draft: &Draft,
    source: Source<'_>,
    listing: Listing,
    console: &mut Console<'_>,
) -> Result<Option<Vec<Draft>>> {
    let inputs: Inputs = source.read(console)?;
    if inputs.finish(console) != ExitStatus::Yes {
        return Ok(None);
    }
    let model = Model::new(&inputs.resources);
    let request = Request::parse(draft.clone())?;
    let namespace = request.metadata.namespace.to_string();
    let reached = reached(&model, &namespace, &request.attachment);
    let tables = Tables::new(reached.iter().copied(), listing).map_err(differ)?;
    if tables.tables.is_empty() {
        bail!(nothing_reached(source, &model, &namespace));
    }
    let is_only = tables.tables.len() == 1;
    if !is_only && !tables.ports_are_certain {
        bail!(Advice::new(
            "the servers differ by port, and which port Envoy listens on for each depends on a \
             Service that is not in the input",
            "give the gateway's Service and its pods or Deployment too"
        ));
    }
    tell(&reached, &tables, console);
    let drafts = tables.tables.into_iter().map(|table| {
        let mut draft = draft.clone();
        draft.settings.set_servers(&table.servers);
        draft.settings.check().context("the servers of the input")?;
        warn_of_memory(draft.settings.size(), &reached, console);
        if tables.ports_are_certain {
            draft.ports = table.ports;
        }
        if let (false, Some(port)) = (is_only, draft.ports.first()) {
            draft.name = format!("{}-{port}", draft.name);
        }
        Ok(draft)
    });
    drafts.collect::<Result<_>>().map(Some)
}

/// The workloads that a resource applies to.
pub(super) fn reached<'m>(
    model: &'m Model,
    namespace: &str,
    attachment: &Attachment,
) -> Vec<&'m Workload> {
    let target = plugin_target(attachment);
    model
        .workloads
        .iter()
        .filter(|workload| reaches(namespace, &target, workload) == Reach::Yes)
        .collect()
}

fn plugin_target(attachment: &Attachment) -> PluginTarget {
    match attachment {
        Attachment::Everything => PluginTarget::Selector(BTreeMap::new()),
        Attachment::Selector(labels) => PluginTarget::Selector(
            labels
                .iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        ),
        Attachment::Targets(targets) => {
            PluginTarget::Gateways(targets.iter().map(PolicyTarget::name).collect())
        }
    }
}

fn differ(
    Conflict {
        port,
        workloads: [one, other],
    }: Conflict,
) -> anyhow::Error {
    if one == other {
        let message = format!("{one} has other servers on each of two addresses of port {port}");
        return Advice::new(
            message,
            "a resource is for all addresses: list the servers yourself",
        )
        .into();
    }
    let message = format!("on port {port} the servers of {one} are not those of {other}");
    Advice::new(
        message,
        "write a resource for each, with labels that only its pods have",
    )
    .into()
}

pub(super) fn nothing_reached(source: Source<'_>, model: &Model, namespace: &str) -> Advice {
    let found = model.workloads.iter().map(|workload| {
        let labels = workload
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"));
        format!(
            "{} ({})",
            workload.full_name(),
            labels.collect::<Vec<_>>().join(",")
        )
    });
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        return source.has_no(
            "gateway with a TLS server",
            "give the Gateways, such as kubectl get gateways.networking.istio.io -A -o yaml prints",
        );
    }
    Advice::new(
        format!("no TLS server of the input is on pods that the resource in {namespace} reaches"),
        format!("the input has {}", found.join("; ")),
    )
}

fn tell(reached: &[&Workload], tables: &Tables, console: &mut Console<'_>) {
    for workload in reached {
        inputs::tell_assumed(workload, console);
        warn_of_rejected(workload, console);
    }
    if !tables.ports_are_certain {
        console.say(
            "note: the ports that Envoy listens on depend on a Service that is not in the input, so \
             the filter is for all of them",
        );
    }
}

/// Says which listeners of a workload Envoy refuses.
pub(super) fn warn_of_rejected(workload: &Workload, console: &mut Console<'_>) {
    for listener in workload
        .listeners
        .iter()
        .filter(|listener| listener.is_rejected())
    {
        console.say(format_args!(
            "warning: Envoy refuses listener {} of {}: two servers have one host",
            listener.name(),
            workload.full_name()
        ));
    }
}

/// Warns where the configuration costs a gateway much memory: Envoy keeps it for each filter chain.
fn warn_of_memory(size: usize, reached: &[&Workload], console: &mut Console<'_>) {
    let most_chains = reached
        .iter()
        .map(|workload| {
            let listeners = workload.listeners.iter();
            listeners.map(|listener| listener.chains.len()).sum()
        })
        .max();
    let chains: usize = most_chains.unwrap_or_default();
    let settled = size.saturating_mul(chains).saturating_mul(COPIES);
    if settled > NOTEWORTHY_MEMORY {
        let in_update = settled / COPIES * COPIES_IN_UPDATE;
        console.say(format_args!(
            "warning: Envoy keeps the configuration ({} kB) for each of {chains} filter chains: about \
             {} MiB in each gateway pod, {} MiB while it is replaced",
            size / 1_000,
            settled >> 20,
            in_update >> 20,
        ));
    }
}
