//! `--kind AuthorizationPolicy`: the boundary for hosts whose client certificates can be bypassed.

use anyhow::{Result, bail};

use super::{Args, ResourceFormat, check, labels, servers};
use crate::commands::inputs;
use crate::console::{Console, ExitStatus, Hinted};
use crate::gateway::protected::Boundary;
use crate::gateway::{Listener, Model};
use crate::resource::{
    Attachment, AuthorizationPolicy, ManifestKind, Metadata, Ports, Resource, boundary_notes,
    to_yaml,
};

const KIND: ManifestKind = ManifestKind::AuthorizationPolicy;

pub(super) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    refuse_foreign(args)?;
    let attachment = Attachment::parse(KIND, &labels(args)?, &args.target_ref, args.mesh_wide)?;
    let metadata = Metadata::parse(KIND, &args.name, &args.namespace)?;
    let Some(source) = args.source() else {
        bail!(Hinted::new(
            format!("{} is made from the resources of the gateways", KIND.name()),
            "give them with --from PATH, or say --cluster"
        ));
    };
    let inputs = source.read(console)?;
    if inputs.finish(console) != ExitStatus::Yes {
        return Ok(ExitStatus::Unable);
    }
    let model = Model::of(&inputs.resources);
    let namespace = metadata.namespace.to_string();
    let reached = servers::reached(&model, &namespace, &attachment);
    let mut listeners = reached.iter().flat_map(|workload| &workload.listeners);
    if !listeners.any(Listener::is_tls) {
        bail!(servers::nothing_reached(source, &model, &namespace));
    }
    for workload in &reached {
        servers::warn_of_rejected(workload, console);
    }
    let boundary = Boundary::of(&reached);
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
    for workload in &reached {
        inputs::tell_assumed(workload, console);
    }
    let comments = [boundary_notes::comments(ports), warnings].concat();
    let policy = AuthorizationPolicy::new(metadata, attachment, &boundary, ports);
    let resource = Resource::AuthorizationPolicy(policy);
    match &args.check {
        Some(path) => check([resource], path, console),
        None => write(&resource, &comments, args.output, console),
    }
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
        ("--port", !args.port.is_empty()),
        ("--phase", args.phase.is_some()),
        ("--priority", args.priority.is_some()),
        ("--fail-strategy", args.fail_strategy.is_some()),
        ("--image-pull-secret", args.image_pull_secret.is_some()),
    ];
    for (flag, is_given) in foreign {
        if is_given {
            bail!(Hinted::new(
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
