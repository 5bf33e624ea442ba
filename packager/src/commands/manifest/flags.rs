//! Flags of `packager manifest` that need more than clap checks.

use anyhow::{Result, bail};
use gateway::advice::Advice;

use super::Args;
use crate::commands::source::Source;
use crate::resource::{FilterKind, ManifestKind};

/// A flag, and whether the command line has it.
type Flag = (&'static str, bool);

/// Refuses flags that have no effect on the kind of the resource or beside another flag.
pub(super) fn refuse_unused(args: &Args) -> Result<()> {
    // These apply to every kind.
    refuse_ports_of_source(args)?;
    refuse_mesh_without_source(args)?;
    let kind = args.kind();
    if args.lua {
        return refuse("a Lua script", &flags_of_image(args), "it is no image");
    }
    match kind {
        ManifestKind::AuthorizationPolicy => refuse(
            kind.name(),
            &[&flags_of_image(args)[..], &flags_of_filter(args)].concat(),
            "it does not run the filter",
        ),
        ManifestKind::Filter(FilterKind::EnvoyExtensionPolicy) => {
            // Envoy Gateway has no phases: EnvoyProxy orders all filters of a Gateway.
            let order = [
                ("--phase", args.phase.is_some()),
                ("--priority", args.priority.is_some()),
            ];
            refuse(
                kind.name(),
                &[("--istio", args.istio.is_some())],
                "it belongs to Envoy Gateway, not to Istio",
            )?;
            refuse(
                kind.name(),
                &[("--port", !args.port.is_empty())],
                "it applies to all listeners of the Gateway",
            )?;
            refuse(
                kind.name(),
                &order,
                "spec.filterOrder of the EnvoyProxy sets the order",
            )
        }
        // The command refuses an EnvoyFilter without --lua.
        ManifestKind::Filter(FilterKind::WasmPlugin | FilterKind::TrafficExtension)
        | ManifestKind::EnvoyFilter => Ok(()),
    }
}

/// The resources of a gateway have its ports, and a second list of ports could contradict them.
fn refuse_ports_of_source(args: &Args) -> Result<()> {
    let Some(source) = args.source() else {
        return Ok(());
    };
    if args.port.is_empty() {
        return Ok(());
    }
    bail!(Advice::new(
        format!(
            "--port cannot be used with {}, which reads the ports from the resources",
            flag_of(source)
        ),
        "remove --port"
    ))
}

/// The mesh configuration matters only for what gateways do with resources.
fn refuse_mesh_without_source(args: &Args) -> Result<()> {
    if args.mesh.is_given() && args.source().is_none() {
        bail!(Advice::new(
            "--mesh-config has no effect without the resources of gateways",
            "give them with --from PATH or --cluster, or remove --mesh-config"
        ));
    }
    Ok(())
}

/// The flag that names a source of resources, for messages.
pub(super) fn flag_of(source: Source<'_>) -> &'static str {
    match source {
        Source::Paths(_) => "--from",
        Source::Cluster(_) | Source::Overlay(..) => "--cluster",
    }
}

fn refuse(target: &str, flags: &[Flag], reason: &str) -> Result<()> {
    for (flag, is_given) in flags {
        if *is_given {
            bail!(Advice::new(
                format!("{flag} has no effect on {target}: {reason}"),
                format!("remove {flag}")
            ));
        }
    }
    Ok(())
}

/// The flags about the image of the filter.
fn flags_of_image(args: &Args) -> [Flag; 4] {
    [
        ("--image", args.image.is_some()),
        ("--allow-mutable", args.allow_mutable),
        ("--fail-strategy", args.fail_strategy.is_some()),
        ("--image-pull-secret", args.image_pull_secret.is_some()),
    ]
}

/// The other flags that only a resource with the rule has.
fn flags_of_filter(args: &Args) -> [Flag; 9] {
    [
        ("--istio", args.istio.is_some()),
        ("--config", args.config.is_some()),
        ("--host", !args.host.is_empty()),
        ("--action", args.action.is_some()),
        ("--rule", args.rule.is_some()),
        ("--all-servers", args.all_servers),
        ("--port", !args.port.is_empty()),
        ("--phase", args.phase.is_some()),
        ("--priority", args.priority.is_some()),
    ]
}

/// The labels of the gateway's pods, from `--selector`.
pub(super) fn labels(args: &Args) -> Result<Vec<(String, String)>> {
    args.selector
        .iter()
        .map(|text| {
            let example = "write, for example, --selector istio=ingressgateway";
            pair(text, "--selector", "KEY=VALUE", example)
        })
        .collect()
}

/// The actions for single hosts, from `--host`.
pub(super) fn host_actions(args: &Args) -> Result<Vec<(String, String)>> {
    let mut actions: Vec<(String, String)> = Vec::new();
    for text in &args.host {
        let example = "write, for example, --host b.example.com=off";
        let (host, action) = pair(text, "--host", "NAME=ACTION", example)?;
        // A repeated host would silently override the earlier action.
        if actions.iter().any(|(earlier, _)| *earlier == host) {
            bail!(Advice::new(
                format!("--host {host} is given twice"),
                "give one action for each host"
            ));
        }
        actions.push((host, action));
    }
    Ok(actions)
}

fn pair(text: &str, flag: &str, form: &str, example: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => bail!(Advice::new(
            format!("{flag} {text:?} does not have the form {form}"),
            example
        )),
    }
}
