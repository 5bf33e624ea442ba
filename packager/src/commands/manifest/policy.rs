//! `--kind AuthorizationPolicy`: the boundary for hosts that a client can reach without the client
//! certificate that their server requires.

use anyhow::{Result, bail};
use gateway::advice::Advice;
use gateway::protected::Boundary;
use gateway::{Listener, Model};

use super::output::Document;
use super::{Args, flags, output, servers};
use crate::commands::assumptions;
use crate::console::{Console, ExitStatus};
use crate::resource::{
    Attachment, AuthorizationPolicy, ManifestKind, Metadata, Ports, Resource, boundary_notes,
    invalid, reached_workloads,
};

const KIND: ManifestKind = ManifestKind::AuthorizationPolicy;

pub(super) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    let labels = flags::labels(args)?;
    let attachment = Attachment::parse(KIND, &labels, &args.target_ref, args.mesh_wide)?;
    let metadata = metadata(args)?;
    let Some(boundary) = boundary(args, &metadata, &attachment, console)? else {
        return Ok(ExitStatus::Error);
    };

    // Warnings come first: some of them matter even if no resource is needed.
    let ports = Ports::needed(&boundary, &attachment)?;
    let warnings = boundary_notes::warnings(&boundary, &metadata, &attachment, ports);
    for warning in &warnings {
        console.message(format_args!("warning: {warning}"));
    }
    if boundary.denials.is_empty() {
        console.note(format_args!(
            "no {} is needed: connections to other servers have no routes of hosts with mutual \
             TLS",
            KIND.name()
        ));
        return Ok(ExitStatus::Success);
    }

    let comments = [boundary_notes::comments(ports), warnings].concat();
    let policy = AuthorizationPolicy::new(metadata, attachment, &boundary, ports)?;
    let resource = Resource::AuthorizationPolicy(policy);
    match &args.check {
        Some(path) => output::check([resource], path, console),
        None => output::write(&[Document { comments, resource }], args.output, console),
    }
}

fn metadata(args: &Args) -> Result<Metadata> {
    Metadata::parse(&args.name, &args.namespace).map_err(|faults| invalid(KIND, faults))
}

/// The boundary of the workloads that the resource reaches. `None` if the input cannot be read, which
/// is already reported.
fn boundary(
    args: &Args,
    metadata: &Metadata,
    attachment: &Attachment,
    console: &mut Console<'_>,
) -> Result<Option<Boundary>> {
    let Some(source) = args.source() else {
        bail!(Advice::new(
            format!("{} needs the resources of the gateways", KIND.name()),
            "give them with --from PATH or --cluster"
        ));
    };
    let Some(inputs) = servers::read(source, args, console)? else {
        return Ok(None);
    };
    // The rules depend on the servers that share a listener, so the model has to be complete.
    let model = Model::new(&inputs.resources);
    let namespace = metadata.namespace.to_string();
    let reached = reached_workloads(&model, &namespace, attachment);
    if !reached
        .iter()
        .flat_map(|workload| &workload.listeners)
        .any(Listener::is_tls)
    {
        bail!(servers::nothing_reached(source, &model, &namespace));
    }
    let boundary = Boundary::new(&reached);
    for workload in &reached {
        servers::warn_of_rejected_listeners(workload, console);
        // Assumptions about pods do not matter where no resource is written.
        if !boundary.denials.is_empty() {
            assumptions::note_pods(workload, console);
        }
    }
    Ok(Some(boundary))
}
