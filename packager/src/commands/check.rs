//! `packager check`: what is wrong with the gateways of an input.

mod codes;
mod status;

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use gateway::advice::KUBECTL_GET;
use gateway::findings::{self, Input, Report};
use gateway::resources::LabelQuery;
use gateway::{Certificates, Model};

use self::status::{FailOn, Judgement};
use super::assumptions;
use super::inputs::{ExcludeArgs, Inputs};
use super::source::InputArgs;
use crate::console::{Console, ExitStatus, unless_closed};
use crate::render::{self, Format, Presentation};

/// Report hosts of gateways that break each other through connection coalescing, and other errors
///
/// Connection coalescing: a browser reuses the HTTP/2 connection of one host for other hosts, if the
/// certificate of the connection covers them. The gateway selects the routes by the first host, so requests
/// for the other hosts get a 404 or reach the wrong backend. The command finds such hosts in the
/// configuration. It sends no request to the gateway.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help())]
pub(crate) struct Args {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    exclude: ExcludeArgs,
    /// Report only findings about resources with these labels, such as team=shop or 'tier in (web,api)'. The
    /// check reads the others too, because they can break these
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<LabelQuery>,
    /// The output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
    /// The lowest severity of a finding that makes the exit status 1: an error means that requests fail or
    /// reach the wrong backend, a warning that they may
    #[arg(long, value_enum, default_value = "error")]
    fail_on: FailOn,
    /// An earlier report, from --output json: its findings do not count for the exit status
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Report certificates that end within this many days
    #[arg(long, value_name = "DAYS", default_value = "21")]
    expires_within: u16,
    /// Print the meaning of codes such as SG101 or names such as coalesce-not-found, with an example and
    /// the fix, and check nothing. Without a value, list all codes
    #[arg(long, value_name = "CODE", num_args = 0..)]
    #[arg(conflicts_with_all = ["paths", "filenames", "cluster", "context", "kubeconfig", "namespace", "selector"])]
    explain: Option<Vec<String>>,
}

fn after_help() -> String {
    let gather = KUBECTL_GET.replace(" | ", " \\\n    | ");
    format!(
        "Examples:
  # The cluster of the current context
  packager check
  # Some namespaces of another cluster
  packager check --context production -n istio-system -n shop
  # Files, or a folder of a GitOps repository
  packager check gateways/ --exclude 'charts/**'
  # A dump of a cluster, made elsewhere
  {gather} > all.yaml
  packager check all.yaml
  # The findings of one team
  packager check -l team=shop
  # What would this change break in the cluster?
  packager check --cluster gateways/
  # Report only what is new since the last report
  packager check gateways/ --output json > baseline.json
  packager check gateways/ --baseline baseline.json
  # A page with a picture
  packager check gateways/ --output html > gateways.html
  # What a code means
  packager check --explain SG101

Each finding has a code: SG1xx connection coalescing, SG2xx servers and routes, SG3xx certificates, SG4xx \
installed filters. --explain lists them.

The annotation sni-guard/ignore: \"SG101,host-unattached\" on a Gateway, ListenerSet, Ingress, \
VirtualService, route, WasmPlugin or TrafficExtension hides findings with these codes or names about it.

In folders it reads files that end in .yaml, .yml or .json. Documents that are not Kubernetes resources, such \
as values.yaml, templates and patches, are skipped with a note.

From a cluster it reads Istio and Gateway API Gateways, their routes, Services, Pods and Secrets. If it \
lacks permission to list a kind, it continues without it and prints a note."
    )
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    if let Some(codes) = &args.explain {
        return codes::explain(codes, console);
    }
    let source = args.input.source(&args.exclude.exclude)?;
    // An invalid baseline is reported before the input is read, which may take long.
    let baseline = status::read_baseline(args.baseline.as_deref())?;
    let inputs = args.input.read_with_manifests(&source, console)?;
    let readable = inputs.finish(console);

    console.step("computing what the gateways serve");
    let model = Model::new(&inputs.resources);
    console.step("comparing connections and hosts");
    let mut report = report(args, &inputs, &model);
    if let Some(labels) = &args.selector {
        report.select(labels, &inputs.resources);
    }
    // A green report must not mean that a document was not looked at.
    report.summary.ignored.extend(inputs.left_out());
    console.end_steps();

    // A hook that passes changed files often passes no Gateway. After an unreadable document its error is enough.
    if report.summary.servers == 0 && readable == ExitStatus::Success {
        console.note(match &args.selector {
            Some(labels) => format!("no server of a gateway has the labels {labels}"),
            None => source.lacks("server of a gateway"),
        });
    }
    print_notes(&inputs, &model, console);
    let judgement = Judgement::new(&report, &baseline)?;
    let presentation = Presentation {
        style: console.style(),
        source: args.input.words(&source),
        time: Some(SystemTime::now().into()),
        known: args.baseline.is_some().then(|| judgement.known()),
        is_incomplete: readable != ExitStatus::Success,
    };
    unless_closed(write(args, &report, &presentation, &judgement, console))?;
    // The findings about a part of the input are no answer for all of it.
    match readable {
        ExitStatus::Success => Ok(judgement.status(args.fail_on)),
        ExitStatus::Failure | ExitStatus::Error => Ok(readable),
    }
}

fn report(args: &Args, inputs: &Inputs, model: &Model) -> Report {
    findings::check(&Input {
        resources: &inputs.resources,
        model,
        certificates: &Certificates::new(&inputs.resources),
        now: DateTime::<Utc>::from(SystemTime::now()),
        has_all_secrets: inputs.has_all_secrets,
        has_all_gateways: inputs.has_all_gateways,
        expires_within: TimeDelta::days(args.expires_within.into()),
    })
}

fn write(
    args: &Args,
    report: &Report,
    presentation: &Presentation,
    judgement: &Judgement,
    console: &mut Console<'_>,
) -> Result<()> {
    render::render(args.output, report, presentation, console.out)?;
    // Programs compare reports themselves, and other formats have no lines for people.
    if args.output == Format::Text {
        judgement.write(console.out)?;
    }
    Ok(console.out.flush()?)
}

/// Prints notes to standard error: ignored resources, assumptions of the model, and annotations that have no
/// effect.
fn print_notes(inputs: &Inputs, model: &Model, console: &mut Console<'_>) {
    for ignored in &model.ignored {
        console.note(format_args!("ignored {ignored}"));
    }
    assumptions::note_settings(model, &inputs.resources, console);
    assumptions::note_all(&model.workloads, console);
    for unknown in findings::unknown_codes(&inputs.resources) {
        console.note(format_args!("{unknown}; this has no effect"));
    }
}
