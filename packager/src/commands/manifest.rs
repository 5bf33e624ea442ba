//! `packager manifest`: the resource that names the image.

mod policy;
mod servers;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use gateway::advice::Advice;
use gateway::tables::Listing;
use rule::{Config, Rule};
use serde_json::json;

use super::files;
use super::source::{ClusterArgs, Source};
use crate::console::{Console, ExitStatus};
use crate::resource::difference::difference;
use crate::resource::{
    Draft, FailStrategy, Kind, ManifestKind, Phase, Request, Resource, notes, pull_secret, to_yaml,
};
use crate::settings::Settings;

/// Write the Kubernetes resource that installs the filter on a gateway, or the AuthorizationPolicy
/// for hosts with mutual TLS
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  packager manifest --image registry.example.com/sni-guard:1@sha256:… \\
      --selector istio=ingressgateway --config plugin.yaml
  packager manifest --image registry.example.com/sni-guard:1@sha256:… \\
      --namespace shop --target-ref Gateway/public --action report --host b.example.com=off
  packager manifest --image registry.example.com/sni-guard:1@sha256:… \\
      --selector istio=ingressgateway --from gateways.yaml > sni-guard.yaml
  packager manifest --image registry.example.com/sni-guard:1@sha256:… \\
      --selector istio=ingressgateway --cluster > sni-guard.yaml
  packager manifest --kind EnvoyExtensionPolicy --namespace shop --target-ref Gateway/public \\
      --image registry.example.com/sni-guard:1@sha256:… --config plugin.yaml
  packager manifest --kind AuthorizationPolicy --selector istio=ingressgateway --cluster
  kubectl get wasmplugin sni-guard --namespace istio-system --output yaml | \\
      packager manifest --image registry.example.com/sni-guard:1@sha256:… \\
          --selector istio=ingressgateway --check -

An AuthorizationPolicy takes no flags of the filter, such as --image. If the resources need none, nothing
is written.")]
pub(crate) struct Args {
    /// The image, pinned by its digest, as `packager push` prints it. `packager verify` reports whether
    /// gateways load it; they do not load an index by its digest. Every kind but
    /// AuthorizationPolicy needs it
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Take an image without a digest, or with the tag latest, which may be another one tomorrow
    #[arg(long)]
    allow_mutable: bool,
    /// The kind of the resource
    #[arg(long, value_enum, default_value = "WasmPlugin")]
    kind: ManifestKind,
    /// The release of Istio to write for [default: 1.30]
    #[arg(long, value_name = "RELEASE")]
    istio: Option<String>,
    /// The name of the resource
    #[arg(long, default_value = "sni-guard")]
    name: String,
    /// The namespace of the gateway: a resource reaches no gateway in another
    #[arg(long, default_value = "istio-system")]
    namespace: String,
    /// A label of the gateway's pods; repeat it for more
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "target_ref")]
    selector: Vec<String>,
    /// A managed gateway of the Gateway API, as Gateway/NAME; repeat it for more
    #[arg(long, value_name = "KIND/NAME")]
    target_ref: Vec<String>,
    /// Attach to every proxy of the namespace, and of the mesh in its root namespace
    #[arg(long, conflicts_with_all = ["selector", "target_ref"])]
    mesh_wide: bool,
    /// The filter's configuration, YAML or JSON; - for standard input
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Files and folders with the resources of gateways, for the servers that they have; - for
    /// standard input
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["cluster", "context", "port"])]
    from: Vec<PathBuf>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// List all servers of --from or --cluster. By default only servers whose hosts overlap are
    /// listed, which is enough on gateways of istiod; an EnvoyExtensionPolicy lists all
    #[arg(long)]
    all_servers: bool,
    /// The action for one host: enforce, report or off; repeat it for more
    #[arg(long, value_name = "NAME=ACTION")]
    host: Vec<String>,
    /// The action for all other hosts: enforce, report or off
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// The rule: exact compares only the two names
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// A port that Envoy listens on, which is the target port of the gateway's Service, not the
    /// port of the Gateway; repeat it for more
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    #[arg(conflicts_with_all = ["cluster", "context"])]
    port: Vec<u16>,
    /// The position in the filter chain [default: AUTHN]
    #[arg(long, value_enum)]
    phase: Option<Phase>,
    /// The priority among the plugins of its phase; the highest runs first [default: 1000]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// What a gateway does without the module [default: FAIL_OPEN]
    #[arg(long, value_enum)]
    fail_strategy: Option<FailStrategy>,
    /// The Secret, in the same namespace, to pull the image with
    #[arg(long, value_name = "NAME")]
    image_pull_secret: Option<String>,
    /// The output format
    #[arg(long, value_enum, default_value = "yaml")]
    output: ResourceFormat,
    /// Write nothing, and compare with the resource in a file, YAML or JSON; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    check: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ResourceFormat {
    /// YAML that every version of kubectl reads alike
    Yaml,
    /// JSON
    Json,
}

impl Args {
    /// Which servers to list. Only istiod's gateways have no routes for hosts of other servers.
    fn listing(&self) -> Listing {
        if self.all_servers || !self.kind.is_istio() {
            Listing::All
        } else {
            Listing::Overlapping
        }
    }

    /// Where the servers are from. Those of a cluster are from all its namespaces: the Gateways of
    /// any may be on the pods that the resource reaches.
    fn source(&self) -> Option<Source<'_>> {
        self.cluster.source(&[], &self.from)
    }
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    let kind = match args.kind {
        ManifestKind::Filter(kind) => kind,
        ManifestKind::AuthorizationPolicy => return policy::run(args, console),
    };
    let draft = draft(args, kind, console)?;
    let drafts = match args.source() {
        None => vec![draft],
        Some(source) => match servers::drafts(&draft, source, args.listing(), console)? {
            Some(drafts) => drafts,
            None => return Ok(ExitStatus::Unable),
        },
    };
    let requests = drafts
        .into_iter()
        .map(Request::parse)
        .collect::<Result<Vec<_>>>()?;
    match &args.check {
        None => write(requests, args.output, console),
        Some(path) => check(requests.into_iter().map(Resource::from), path, console),
    }
}

fn write(
    requests: Vec<Request>,
    output: ResourceFormat,
    console: &mut Console<'_>,
) -> Result<ExitStatus> {
    if let Some(request) = requests.first() {
        for warning in notes::warnings(request) {
            console.say(format_args!("warning: {warning}"));
        }
        if let Some(command) = pull_secret::create_command(request) {
            console.say(format_args!("hint: the Secret is made by `{command}`"));
        }
    }
    match output {
        ResourceFormat::Json => write_json(requests, console),
        ResourceFormat::Yaml => write_yaml(requests, console),
    }?;
    Ok(ExitStatus::Yes)
}

fn write_json(requests: Vec<Request>, console: &mut Console<'_>) -> Result<()> {
    let resources: Vec<Resource> = requests.into_iter().map(Resource::from).collect();
    let json = match resources.as_slice() {
        [only] => serde_json::to_string_pretty(only)?,
        several => serde_json::to_string_pretty(&json!({
            "apiVersion": "v1", "kind": "List", "items": several,
        }))?,
    };
    Ok(writeln!(console.out, "{json}")?)
}

fn write_yaml(requests: Vec<Request>, console: &mut Console<'_>) -> Result<()> {
    for (index, request) in requests.into_iter().enumerate() {
        if index > 0 {
            writeln!(console.out, "---")?;
        }
        for comment in notes::comments(&request) {
            writeln!(console.out, "# {comment}")?;
        }
        write!(console.out, "{}", to_yaml(&Resource::from(request))?)?;
    }
    Ok(())
}

fn check(
    resources: impl IntoIterator<Item = Resource>,
    path: &Path,
    console: &mut Console<'_>,
) -> Result<ExitStatus> {
    let text = files::read_text(path, console)?;
    let origin = path.display().to_string();
    let mut status = ExitStatus::Yes;
    for resource in resources {
        let difference =
            difference(&resource, &text, &origin).with_context(|| format!("checking {origin}"))?;
        if let Some(difference) = difference {
            write!(console.out, "{difference}")?;
            status = ExitStatus::No;
        }
    }
    Ok(status)
}

fn draft(args: &Args, kind: Kind, console: &mut Console<'_>) -> Result<Draft> {
    let Some(image) = args.image.clone() else {
        bail!(Advice::new(
            format!(
                "--image is missing: {} needs the image of the filter",
                kind.name()
            ),
            "give the reference that `packager push` prints"
        ));
    };
    Ok(Draft {
        kind,
        release: args.istio.clone(),
        image,
        allow_mutable: args.allow_mutable,
        name: args.name.clone(),
        namespace: args.namespace.clone(),
        labels: labels(args)?,
        targets: args.target_ref.clone(),
        mesh_wide: args.mesh_wide,
        ports: args.port.clone(),
        phase: args.phase,
        priority: args.priority,
        fail_strategy: args.fail_strategy.unwrap_or(FailStrategy::FailOpen),
        image_pull_secret: args.image_pull_secret.clone(),
        settings: settings(args, console)?,
    })
}

/// The labels of the gateway's pods.
fn labels(args: &Args) -> Result<Vec<(String, String)>> {
    pairs(
        &args.selector,
        "--selector",
        "KEY=VALUE",
        "write, for example, --selector istio=ingressgateway",
    )
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
    let hosts = pairs(
        &args.host,
        "--host",
        "NAME=ACTION",
        "write, for example, --host b.example.com=off",
    )?;
    for (index, (host, action)) in hosts.iter().enumerate() {
        if hosts.iter().take(index).any(|(earlier, _)| earlier == host) {
            bail!(Advice::new(
                format!("--host {host} is given twice"),
                "say one action for a host"
            ));
        }
        settings.set_host(host, action);
    }
    let origin = files::origin(args.config.as_deref());
    let config = settings.check().with_context(|| origin.clone())?;
    match args.source() {
        Some(source) => refuse_second_table(&settings, &config, &origin, source)?,
        None if args.all_servers => bail!(Advice::new(
            "--all-servers lists the servers of resources, and none are given",
            "name them with --from PATH or --cluster"
        )),
        None => {}
    }
    Ok(settings)
}

/// Refuses a configuration that lists servers itself, or does not read any.
fn refuse_second_table(
    settings: &Settings,
    config: &Config,
    origin: &str,
    source: Source<'_>,
) -> Result<()> {
    let flag = match source {
        Source::Paths(_) => "--from",
        Source::Cluster(_) => "--cluster",
    };
    let hint = "leave out the one or the other";
    if settings.has("servers") {
        let message = format!("{origin}: it lists servers, and {flag} does too");
        bail!(Advice::new(message, hint));
    }
    if matches!(config.rule(), Rule::Exact) {
        let message = format!("{origin}: rule exact does not read servers, and {flag} lists them");
        bail!(Advice::new(message, hint));
    }
    Ok(())
}

fn pairs(texts: &[String], flag: &str, form: &str, example: &str) -> Result<Vec<(String, String)>> {
    let pair = |text: &String| match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => bail!(Advice::new(
            format!("{flag} {text:?} is not of the form {form}"),
            example
        )),
    };
    texts.iter().map(pair).collect()
}
