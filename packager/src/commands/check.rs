//! `packager check`: what is wrong with the gateways of an input.

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use clap::ValueEnum;
use gateway::advice::Advice;
use gateway::findings::{self, Code, Info, Input, Report};
use gateway::{Certificates, Model};

use super::assumptions;
use super::inputs::Inputs;
use super::source::InputArgs;
use crate::console::{Console, ExitStatus};
use crate::render::{self, Format, Presentation, Style};
use crate::spelling;

/// Report hosts of gateways that break each other through connection coalescing, and other errors
///
/// Connection coalescing: a browser reuses the HTTP/2 connection of one host for other hosts, if the
/// certificate of the connection covers them. The gateway selects the routes by the first host, so requests
/// for the other hosts get a 404 or reach the wrong backend. The command finds such hosts in the
/// configuration. It sends no request to the gateway.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  packager check
  packager check --context production --namespace istio-system --namespace shop
  packager check gateways/
  kubectl get gateways.networking.istio.io,virtualservices,services,deployments,secrets -A -o yaml \\
    | packager check - --output json
  packager check gateways/ --output html > gateways.html
  packager check --explain SG101

Each finding has a code: SG101 to SG104 connection coalescing, SG201 to SG203 servers and routes, SG301 to
SG304 certificates, SG401 and SG402 installed filters.

The annotation sni-guard/ignore: \"SG101,SG203\" on a Gateway, ListenerSet, Ingress, WasmPlugin or
TrafficExtension hides findings with these codes about it.

From a cluster it reads Istio and Gateway API Gateways, their routes, Services, Pods and Secrets. If it
lacks permission to list a kind, it continues without it and prints a note.")]
pub(crate) struct Args {
    #[command(flatten)]
    input: InputArgs,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
    /// The lowest severity of a finding that makes the exit status 1: an error means that requests fail or
    /// reach the wrong backend, a warning that they may
    #[arg(long, value_enum, default_value = "error")]
    fail_on: FailOn,
    /// Print the meaning of a code such as SG101, with an example and the fix, and check nothing
    #[arg(long, value_name = "CODE", conflicts_with_all = ["paths", "cluster", "context", "namespace"])]
    explain: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Error,
    Warning,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    if let Some(code) = &args.explain {
        return explain(code, console);
    }
    let source = args.input.source();
    let inputs = source.read_with_manifests(console)?;
    let readable = inputs.finish(console);

    console.step("computing what the gateways serve");
    let model = Model::new(&inputs.resources);
    console.step("comparing connections and hosts");
    let mut report = report(&inputs, &model);
    // An unreadable document may have been a Gateway.
    report
        .summary
        .ignored
        .extend(inputs.faults.iter().map(ToString::to_string));
    console.end_steps();

    // A report about nothing would look like success. After an unreadable document its error is enough.
    if report.summary.servers == 0 && readable == ExitStatus::Success {
        bail!(source.has_no(
            "server of a gateway",
            "give Gateways with the VirtualServices or HTTPRoutes that are bound to them, such as \
             kubectl get gateways.networking.istio.io,virtualservices,secrets -A -o yaml prints"
        ));
    }

    print_notes(&inputs, &model, console);
    let presentation = Presentation {
        style: Style::default(),
        source: source.words(),
    };
    render::render(args.output, &report, &presentation, console.out)?;
    // The findings about a part of the input are no answer for all of it.
    match readable {
        ExitStatus::Success => Ok(status(&report, args.fail_on)),
        ExitStatus::Failure | ExitStatus::Error => Ok(readable),
    }
}

fn report(inputs: &Inputs, model: &Model) -> Report {
    findings::check(&Input {
        resources: &inputs.resources,
        model,
        certificates: &Certificates::new(&inputs.resources),
        now: DateTime::<Utc>::from(std::time::SystemTime::now()),
        has_all_secrets: inputs.has_all_secrets,
    })
}

fn status(report: &Report, fail_on: FailOn) -> ExitStatus {
    let failures = match fail_on {
        FailOn::Error => report.summary.errors,
        FailOn::Warning => report.summary.errors + report.summary.warnings,
    };
    if failures == 0 {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    }
}

/// Prints notes to standard error: ignored resources, assumptions of the model, and annotations that have no
/// effect.
fn print_notes(inputs: &Inputs, model: &Model, console: &mut Console<'_>) {
    for ignored in &model.ignored {
        console.message(format_args!("note: ignored {ignored}"));
    }
    assumptions::note_all(&model.workloads, console);
    for unknown in findings::unknown_codes(&inputs.resources) {
        console.message(format_args!("note: {unknown}; this has no effect"));
    }
}

fn explain(text: &str, console: &mut Console<'_>) -> Result<ExitStatus> {
    let Some(code) = Code::parse(text) else {
        bail!(unknown_code(text));
    };
    let Info {
        id,
        name,
        severity,
        what,
        why,
        example,
        fix,
        coalesced_answer: _,
    } = code.info();
    writeln!(
        console.out,
        "{id} {name} ({})\n\nWhat: {what}\n\nWhy: {why}\n\nExample: {example}\n\nFix: {fix}",
        severity.name()
    )?;
    Ok(ExitStatus::Success)
}

fn unknown_code(text: &str) -> Advice {
    let ids: Vec<&str> = Code::ALL.iter().map(|code| code.id()).collect();
    // A mistyped code gets a suggestion, and the list in case the suggestion is wrong.
    let mut hint = format!("the codes are {}", ids.join(", "));
    let nearest = spelling::nearest(text, ids.iter().copied());
    if let Some(question) = spelling::question(nearest.map(|code| (text, code))) {
        hint = format!("{question} Else {hint}");
    }
    Advice::new(format!("{text:?} is not a code of a finding"), hint)
}
