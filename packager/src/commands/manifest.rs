//! `packager manifest`: the Kubernetes resource that installs the filter or the Lua script, or the boundary for
//! hosts with mutual TLS.

mod configuration;
mod flags;
mod output;
mod policy;
mod script;
mod servers;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use gateway::advice::Advice;
use gateway::tables::Listing;

use self::output::Document;
use super::inputs::{ExcludeArgs, Paths, StrictArgs};
use super::source::{ClusterArgs, MeshArgs, Source};
use crate::console::{Console, ExitStatus};
use crate::resource::{
    Draft, FailStrategy, FilterKind, ManifestKind, Phase, Release, Request, Resource, notes,
    pull_secret,
};

/// Write the Kubernetes resource that installs the filter or its Lua script on a gateway, or the
/// AuthorizationPolicy for hosts with mutual TLS
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # Install the filter on the gateways with a label, with a configuration of your own
  packager manifest --image registry.example.com/sni-guard:1@sha256:… \\
      --selector istio=ingressgateway --config plugin.yaml
  # On a gateway of the Gateway API: first report only, and leave one host alone
  packager manifest --image registry.example.com/sni-guard:1@sha256:… \\
      --namespace shop --target-ref Gateway/public --action report --host b.example.com=off
  # List the servers whose hosts overlap, from files or from the cluster
  packager manifest --image registry.example.com/sni-guard:1@sha256:… \\
      --selector istio=ingressgateway --from gateways.yaml > sni-guard.yaml
  packager manifest --image registry.example.com/sni-guard:1@sha256:… \\
      --selector istio=ingressgateway --cluster > sni-guard.yaml
  # Without an image: the same rule as a Lua script
  packager manifest --lua --selector istio=ingressgateway --cluster | kubectl apply -f -
  # For Envoy Gateway
  packager manifest --kind EnvoyExtensionPolicy --namespace shop --target-ref Gateway/public \\
      --image registry.example.com/sni-guard:1@sha256:… --config plugin.yaml
  # Deny requests that bypass a client certificate
  packager manifest --kind AuthorizationPolicy --selector istio=ingressgateway --cluster
  # Compare with the resource in the cluster
  kubectl get wasmplugin sni-guard --namespace istio-system --output yaml | \\
      packager manifest --image registry.example.com/sni-guard:1@sha256:… \\
          --selector istio=ingressgateway --check -

An AuthorizationPolicy takes no flags of the filter, such as --image. If the resources need none, nothing
is written.")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each one is a flag of the command line"
)]
pub(crate) struct Args {
    /// The image, pinned by its digest, as `packager push` prints it. `packager verify` reports whether
    /// gateways load it; they do not load an index by its digest. Neither --lua nor an
    /// AuthorizationPolicy needs it
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Take an image without a digest, or with the tag latest, which may be another one tomorrow
    #[arg(long)]
    allow_mutable: bool,
    /// Write the rule as a Lua script, which needs no image. It lists all servers, and cannot see virtual
    /// hosts
    #[arg(long)]
    lua: bool,
    /// The kind of the resource [default: WasmPlugin; with --lua TrafficExtension, or EnvoyFilter for Istio
    /// before 1.30 and for scripts above 65,536 octets]
    #[arg(long, value_enum)]
    kind: Option<ManifestKind>,
    /// The release of Istio to write for, such as 1.30 or istio@1.30 [default: 1.30]
    #[arg(long, visible_alias = "for", value_name = "RELEASE")]
    istio: Option<String>,
    /// The name of the resource
    #[arg(long, default_value = "sni-guard")]
    name: String,
    /// The namespace of the gateway: a resource reaches no gateway in another
    #[arg(short, long, default_value = "istio-system")]
    namespace: String,
    /// A label of the gateway's pods; repeat it for more. It selects no Gateways: the table of a pod needs all
    /// Gateways that the pod has
    #[arg(
        short = 'l',
        long,
        value_name = "KEY=VALUE",
        conflicts_with = "target_ref"
    )]
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
    #[arg(short = 'f', long, visible_alias = "filename", value_name = "PATH", num_args = 1..)]
    #[arg(conflicts_with_all = ["cluster", "context", "kubeconfig"])]
    from: Vec<PathBuf>,
    /// The same as --from
    #[arg(value_name = "PATH", conflicts_with_all = ["cluster", "context", "kubeconfig"])]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    exclude: ExcludeArgs,
    #[command(flatten)]
    strict: StrictArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Read all namespaces of the cluster, which is what the command always does: --namespace is the one of the
    /// new resource
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    #[command(flatten)]
    mesh: MeshArgs,
    /// List all servers of --from or --cluster. By default only servers whose hosts overlap are
    /// listed, which is enough on gateways of istiod; an EnvoyExtensionPolicy and a script list all
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
    #[arg(short, long, value_enum, default_value = "yaml")]
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
    fn kind(&self) -> ManifestKind {
        self.kind
            .unwrap_or(ManifestKind::Filter(FilterKind::WasmPlugin))
    }

    /// The release of Istio to write for; `None` for the default.
    fn release(&self) -> Result<Option<Release>> {
        self.istio
            .as_deref()
            .map(Release::parse)
            .transpose()
            .context("--istio")
    }

    /// Which servers to list. istiod gives a gateway only routes that the server's own hosts cover, so
    /// there the servers whose hosts overlap are enough.
    fn listing(&self) -> Listing {
        if self.all_servers || self.lua || !self.kind().is_istio() {
            Listing::All
        } else {
            Listing::Overlapping
        }
    }

    /// Where to read the servers. A cluster is read with all its namespaces: Gateways of any namespace
    /// may select the pods that the resource reaches.
    fn source(&self) -> Option<Source<'_>> {
        let paths = Paths {
            named: [&self.paths, &self.from],
            exclude: &self.exclude.exclude,
            is_strict: self.strict.strict,
        };
        self.cluster.source(&[], paths)
    }
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    flags::refuse_unused(args)?;
    if args.lua {
        return script::run(args, console);
    }
    let kind = match args.kind() {
        ManifestKind::Filter(kind) => kind,
        ManifestKind::EnvoyFilter => bail!(Advice::new(
            "an EnvoyFilter runs the rule as a Lua script only",
            "add --lua, or use --kind WasmPlugin"
        )),
        ManifestKind::AuthorizationPolicy => return policy::run(args, console),
    };

    // One resource becomes several where the servers differ by port.
    let draft = draft(args, kind, console)?;
    let drafts = match args.source() {
        None => vec![draft],
        Some(source) => match servers::drafts(&draft, source, args, console)? {
            Some(drafts) => drafts,
            None => return Ok(ExitStatus::Error),
        },
    };
    let requests = drafts
        .into_iter()
        .map(Request::parse)
        .collect::<Result<Vec<_>>>()?;

    if let Some(path) = &args.check {
        return output::check(requests.into_iter().map(Resource::from), path, console);
    }
    // The resources differ in name, ports and servers only, so the warnings about one cover all.
    if let Some(request) = requests.first() {
        warn(request, console);
    }
    let documents: Vec<Document> = requests.into_iter().map(Document::from).collect();
    output::write(&documents, args.output, console)
}

fn warn(request: &Request, console: &mut Console<'_>) {
    for warning in notes::warnings(request) {
        console.message(format_args!("warning: {warning}"));
    }
    if let Some(command) = pull_secret::create_command(request) {
        console.message(format_args!("hint: create the Secret with `{command}`"));
    }
}

fn draft(args: &Args, kind: FilterKind, console: &mut Console<'_>) -> Result<Draft> {
    // clap cannot require --image: AuthorizationPolicy does not need it.
    let Some(image) = args.image.clone() else {
        bail!(Advice::new(
            format!(
                "--image is missing: {} needs the image of the filter",
                kind.name()
            ),
            "give the reference that `packager push` prints, or write a Lua script with --lua"
        ));
    };
    Ok(Draft {
        kind,
        release: args.release()?,
        image,
        allow_mutable: args.allow_mutable,
        name: args.name.clone(),
        namespace: args.namespace.clone(),
        labels: flags::labels(args)?,
        targets: args.target_ref.clone(),
        mesh_wide: args.mesh_wide,
        ports: args.port.clone(),
        phase: args.phase,
        priority: args.priority,
        // FAIL_OPEN by default: a gateway without the filter is better than one that rejects
        // everything.
        fail_strategy: args.fail_strategy.unwrap_or(FailStrategy::FailOpen),
        image_pull_secret: args.image_pull_secret.clone(),
        settings: configuration::settings(args, console)?,
    })
}
