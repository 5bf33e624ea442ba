//! `packager manifest`: the resource that names the image.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_saphyr::SerializerOptions;

use super::files;
use crate::console::{Console, ExitStatus, Hinted};
use crate::resource::{
    Attachment, FailStrategy, Phase, PinnedImage, PolicyTarget, Request, WasmPlugin,
};
use crate::settings::Settings;

/// Write the Kubernetes resource that has a gateway run the filter
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  packager manifest --image registry.example.com/sni-guard:1@sha256:… \\
      --selector istio=ingressgateway --config plugin.yaml
  packager manifest --image registry.example.com/sni-guard:1@sha256:… \\
      --namespace shop --target-ref Gateway/public --action report --host b.example.com=off

Exit status: 0 written, 2 the image, the configuration or the attachment is invalid.")]
pub(crate) struct Args {
    /// The image, pinned by its digest, as `packager push` prints it
    #[arg(long, value_name = "IMAGE")]
    image: String,
    /// The kind of the resource
    #[arg(long, value_enum, default_value = "WasmPlugin")]
    kind: Kind,
    /// The name of the resource
    #[arg(long, default_value = "sni-guard")]
    name: String,
    /// The namespace of the gateway
    #[arg(long, default_value = "istio-system")]
    namespace: String,
    /// A label of the gateway's pods; repeat it for more
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "target_ref")]
    selector: Vec<String>,
    /// A managed gateway of the Gateway API; repeat it for more
    #[arg(long, value_name = "KIND/NAME")]
    target_ref: Vec<String>,
    /// Attach to every proxy of the namespace, and of the mesh in its root namespace
    #[arg(long, conflicts_with_all = ["selector", "target_ref"])]
    mesh_wide: bool,
    /// The filter's configuration, YAML or JSON; - for standard input
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The action for one host: enforce, report or off; repeat it for more
    #[arg(long, value_name = "NAME=ACTION")]
    host: Vec<String>,
    /// The action for all other hosts: enforce, report or off
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// The rule: servers, unrouted or exact
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// A port that Envoy listens on, which is the target port of the gateway's Service, not the
    /// port of the Gateway; repeat it for more
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Vec<u16>,
    /// Where in the filter chain the filter goes
    #[arg(long, value_enum, default_value = "AUTHN")]
    phase: Phase,
    /// The filter's place among the plugins of its phase; the highest comes first
    #[arg(long, value_name = "N", default_value = "1000", allow_negative_numbers = true)]
    priority: i32,
    /// What a gateway does without the module
    #[arg(long, value_enum, default_value = "FAIL_OPEN")]
    fail_strategy: FailStrategy,
    /// The Secret, in the same namespace, to pull the image with
    #[arg(long, value_name = "NAME")]
    image_pull_secret: Option<String>,
    /// The form of the resource
    #[arg(long, value_enum, default_value = "yaml")]
    output: ResourceFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Istio's WasmPlugin
    #[value(name = "WasmPlugin")]
    WasmPlugin,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ResourceFormat {
    /// YAML that every version of kubectl reads alike
    Yaml,
    /// JSON
    Json,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    let Kind::WasmPlugin = args.kind;
    let request = Request {
        image: PinnedImage::parse(&args.image)?,
        name: args.name.clone(),
        namespace: args.namespace.clone(),
        attachment: attachment(args)?,
        ports: args.port.clone(),
        phase: args.phase,
        priority: args.priority,
        fail_strategy: args.fail_strategy,
        image_pull_secret: args.image_pull_secret.clone(),
        settings: settings(args, console)?,
    };
    let resource = WasmPlugin::from(request);
    match args.output {
        ResourceFormat::Json => {
            writeln!(console.out, "{}", serde_json::to_string_pretty(&resource)?)?;
        }
        ResourceFormat::Yaml => {
            let yaml = serde_saphyr::to_string_with_options(&resource, one_line_strings())
                .context("writing the resource")?;
            writeln!(console.out, "{}", yaml.trim_end())?;
        }
    }
    Ok(ExitStatus::Yes)
}

/// People search a resource for its image.
fn one_line_strings() -> SerializerOptions {
    serde_saphyr::ser_options! { prefer_block_scalars: false }
}

fn attachment(args: &Args) -> Result<Attachment> {
    let targets: Vec<_> =
        args.target_ref.iter().map(|text| PolicyTarget::parse(text)).collect::<Result<_>>()?;
    let labels: BTreeMap<_, _> = args
        .selector
        .iter()
        .map(|text| pair(text, "--selector", "KEY=VALUE"))
        .collect::<Result<_>>()?;
    match (labels.is_empty(), targets.is_empty(), args.mesh_wide) {
        (false, _, _) => Ok(Attachment::Selector(labels)),
        (true, false, _) => Ok(Attachment::Targets(targets)),
        (true, true, true) => Ok(Attachment::Everything),
        (true, true, false) => bail!(Hinted::new(
            "the resource names no gateway, and without one it is for every proxy of the namespace",
            "name the gateway with --selector istio=ingressgateway or --target-ref Gateway/NAME, \
             or say --mesh-wide",
        )),
    }
}

/// The configuration of the file, with what the command line says on top, checked.
fn settings(args: &Args, console: &mut Console<'_>) -> Result<Settings> {
    let mut settings = files::read_settings(args.config.as_deref(), console)?;
    if let Some(rule) = &args.rule {
        settings.set("rule", rule.as_str());
    }
    if let Some(action) = &args.action {
        settings.set("action", action.as_str());
    }
    for text in &args.host {
        let (host, action) = pair(text, "--host", "NAME=ACTION")?;
        settings.set_host(&host, &action);
    }
    settings.check().with_context(|| files::origin(args.config.as_deref()))?;
    Ok(settings)
}

fn pair(text: &str, flag: &str, form: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => bail!("{flag} {text:?} is not of the form {form}"),
    }
}
