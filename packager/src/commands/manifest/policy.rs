//! `--kind AuthorizationPolicy`: the boundary for hosts whose client certificates can be bypassed.

use anyhow::{Result, bail};
use gateway::advice::Advice;
use gateway::protected::Boundary;
use gateway::{Listener, Model};

use super::{Args, ResourceFormat, check, labels, servers};
use crate::commands::inputs;
use crate::console::{Console, ExitStatus};
use crate::resource::{
    Attachment, AuthorizationPolicy, ManifestKind, Metadata, Ports, Resource, boundary_notes,
    to_yaml,
};

const KIND: ManifestKind = ManifestKind::AuthorizationPolicy;

pub(super) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    refuse_foreign(args)?;
    let attachment = Attachment::parse(KIND, &labels(args)?, &args.target_ref, args.mesh_wide)?;
    let metadata = Metadata::parse(KIND, &args.name, &args.namespace)?;
    let Some(boundary) = boundary(args, &metadata, &attachment, console)? else {
        return Ok(ExitStatus::Unable);
    };
    let ports = Ports::needed(&boundary, &attachment)?;
    let warnings = boundary_notes::warnings(&boundary, &metadata, &attachment, ports);
    for warning in &warnings {
        console.say(format_args!("warning: {warning}"));
    }
    if boundary.denials.is_empty() {
        console.say(format_args!(
            "note: no {} is needed: no host with mutual TLS has its routes on the connections of \
             another server",
            KIND.name()
        ));
        return Ok(ExitStatus::Yes);
    }
    let comments = [boundary_notes::comments(ports), warnings].concat();
    let policy = AuthorizationPolicy::new(metadata, attachment, &boundary, ports)?;
    let resource = Resource::AuthorizationPolicy(policy);
    match &args.check {
        Some(path) => check([resource], path, console),
        None => write(&resource, &comments, args.output, console),
    }
}

/// The boundary of the workloads that the resource reaches. `None` where the input cannot be read,
/// which was said.
fn boundary(
    args: &Args,
    metadata: &Metadata,
    attachment: &Attachment,
    console: &mut Console<'_>,
) -> Result<Option<Boundary>> {
    let Some(source) = args.source() else {
        bail!(Advice::new(
            format!("{} is made from the resources of the gateways", KIND.name()),
            "give them with --from PATH, or say --cluster"
        ));
    };
    let inputs = source.read(console)?;
    if inputs.finish(console) != ExitStatus::Yes {
        return Ok(None);
    }
    let model = Model::new(&inputs.resources);
    let namespace = metadata.namespace.to_string();
    let reached = servers::reached(&model, &namespace, attachment);
    let mut listeners = reached.iter().flat_map(|workload| &workload.listeners);
    if !listeners.any(Listener::is_tls) {
        bail!(servers::nothing_reached(source, &model, &namespace));
    }
    let boundary = Boundary::new(&reached);
    for workload in &reached {
        servers::warn_of_rejected(workload, console);
        // What was guessed of the pods does not matter where nothing is written.
        if !boundary.denials.is_empty() {
            inputs::tell_assumed(workload, console);
        }
    }
    Ok(Some(boundary))
}

fn write(
    resource: &Resource,
    comments: &[String],
    output: ResourceFormat,
    console: &mut Console<'_>,
) -> Result<ExitStatus> {
    match output {
        ResourceFormat::Json => {
            writeln!(console.out, "{}", serde_json::to_string_pretty(resource)?)?;
        }
        ResourceFormat::Yaml => {
            for comment in comments {
                writeln!(console.out, "# {comment}")?;
            }
            write!(console.out, "{}", to_yaml(resource)?)?;
        }
    }
    Ok(ExitStatus::Yes)
}

/// Refuses what is for the filter.
fn refuse_foreign(args: &Args) -> Result<()> {
    let foreign = [
        ("--image", args.image.is_some()),
        ("--allow-mutable", args.allow_mutable),
        ("--istio", args.istio.is_some()),
        ("--config", args.config.is_some()),
        ("--host", !args.host.is_empty()),
        ("--action", args.action.is_some()),
        ("--rule", args.rule.is_some()),
        ("--all-servers", args.all_servers),
        ("--port", !args.port.is_empty()),
        ("--phase", args.phase.is_some()),
        ("--priority", args.priority.is_some()),
        ("--fail-strategy", args.fail_strategy.is_some()),
        ("--image-pull-secret", args.image_pull_secret.is_some()),
    ];
    for (flag, is_given) in foreign {
        if is_given {
            bail!(Advice::new(
                format!(
                    "{flag} means nothing to {}: it does not run the filter",
                    KIND.name()
                ),
                format!("leave {flag} out")
            ));
        }
    }
    Ok(())
}
