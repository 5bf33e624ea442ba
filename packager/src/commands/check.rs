//! `packager check`: who breaks whom.

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use clap::ValueEnum;
use gateway::advice::Advice;
use gateway::findings::{self, Code, Documentation, Input, Report};
use gateway::{Certificates, Model};

use super::assumptions;
use super::inputs::Inputs;
use super::source::InputArgs;
use crate::console::{Console, ExitStatus};
use crate::render::{self, Format};
use crate::spelling;

/// Report hosts of gateways that break each other through connection coalescing, and other errors
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  packager check
  packager check --context production --namespace istio-system --namespace shop
  packager check gateways/
  kubectl get gateways.networking.istio.io,virtualservices,services,deployments,secrets -A -o yaml \\
    | packager check - --output json
  packager check gateways/ --output html > gateways.html
  packager check --explain SG101

The annotation sni-guard/ignore: \"SG203\" on a Gateway suppresses these findings about it.

From a cluster it reads Istio and Gateway API Gateways, their routes, Services, Pods and Secrets. If it
lacks permission to list a kind, it continues without it and prints a note.")]
pub(crate) struct Args {
    #[command(flatten)]
    input: InputArgs,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
    /// The lowest severity that makes the exit status 1
    #[arg(long, value_enum, default_value = "error")]
    fail_on: FailOn,
    /// Print what the code of a finding means, and how to fix it
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
    let inputs = source.read(console)?;
    let readable = inputs.finish(console);
    console.step("working out what the gateways serve");
    let model = Model::of(&inputs.resources);
    console.step("comparing connections and hosts");
    let report = report(&inputs, &model);
    console.end_steps();
    if report.summary.servers == 0 && readable == ExitStatus::Success {
        bail!(source.has_no(
            "server of a gateway",
            "give Gateways with the VirtualServices or HTTPRoutes that are bound to them, such as \
             kubectl get gateways.networking.istio.io,virtualservices,secrets -A -o yaml prints"
        ));
    }
    tell_assumptions(&model, console);
    for unknown in findings::unknown_codes(&inputs.resources) {
        console.message(format_args!(
            "note: {unknown}, and nothing is left out for it"
        ));
    }
    render::render(args.output, &report, console.out)?;
    Ok(if readable == ExitStatus::Success {
        status(&report, args.fail_on)
    } else {
        readable
    })
}

fn report(inputs: &Inputs, model: &Model) -> Report {
    findings::check(&Input {
        resources: &inputs.resources,
        model,
        certificates: &Certificates::of(&inputs.resources),
        now: DateTime::<Utc>::from(std::time::SystemTime::now()),
        has_all_secrets: inputs.has_all_secrets,
    })
}

fn status(report: &Report, fail_on: FailOn) -> ExitStatus {
    let warnings = if fail_on == FailOn::Warning {
        report.summary.warnings
    } else {
        0
    };
    if report.summary.errors + warnings == 0 {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    }
}

/// What was left out, and what was guessed.
fn tell_assumptions(model: &Model, console: &mut Console<'_>) {
    for ignored in &model.ignored {
        console.message(format_args!("note: left out: {ignored}"));
    }
    assumptions::note_all(&model.workloads, console);
}

fn explain(text: &str, console: &mut Console<'_>) -> Result<ExitStatus> {
    let Some(code) = Code::parse(text) else {
        let codes: Vec<&str> = Code::ALL.into_iter().map(Code::id).collect();
        let mut hint = format!("the codes are {}", codes.join(", "));
        let nearest = spelling::nearest(text, codes.iter().copied());
        if let Some(question) = spelling::question(nearest.map(|code| (text, code))) {
            hint = format!("{question} Else {hint}");
        }
        bail!(Advice::new(
            format!("{text:?} is not a code of this program"),
            hint
        ));
    };
    let Documentation {
        what,
        why,
        example,
        fix,
    } = code.documentation();
    let severity = code.severity().name();
    writeln!(
        console.out,
        "{code} {} ({severity})\n\nWhat: {what}\n",
        code.name()
    )?;
    writeln!(
        console.out,
        "Why: {why}\n\nExample: {example}\n\nFix: {fix}"
    )?;
    Ok(ExitStatus::Success)
}
