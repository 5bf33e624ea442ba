//! `packager merge`: how servers that break each other become one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use gateway::Certificates;
use gateway::advice::Advice;
use gateway::merge::{Input, Outlook, State, Strategy, merge};
use tempfile::TempDir;

use super::ReportFormat;
use super::assumptions;
use super::source::InputArgs;
use crate::console::{Console, ExitStatus};
use crate::render::plan::{self, File, Form};

/// Plan how servers that break each other become one, without an outage
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kubectl get gateways.networking.istio.io,virtualservices,services,pods,secrets -A -o yaml > all.yaml
  packager merge all.yaml
  packager merge all.yaml --into merge/
  packager merge --cluster --into merge/
  sh merge/01-bind-routes/apply.sh

The command applies nothing. The plan has the commands of each step, and the undo.")]
pub(crate) struct Args {
    #[command(flatten)]
    input: InputArgs,
    /// How the servers are merged
    #[arg(long, value_enum, default_value = "seamless")]
    plan: PlanKind,
    /// Assume that certificates that are not in the input cover all hosts of their servers
    #[arg(long)]
    assume_same_certificate: bool,
    /// Write a folder for each step, with its patches, commands and undo
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    into: Option<PathBuf>,
    #[command(flatten)]
    files: Files,
    /// Print the plan and write no files
    #[arg(long)]
    dry_run: bool,
    /// The output format
    #[arg(long, visible_alias = "format", value_enum, default_value = "text")]
    output: ReportFormat,
}

/// The values of `--plan`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum PlanKind {
    /// No failed request; needs two wildcard hosts that no server has
    Seamless,
    /// Few steps; new connections may get 404 for some milliseconds
    Short,
}

impl From<PlanKind> for Strategy {
    fn from(plan: PlanKind) -> Self {
        match plan {
            PlanKind::Seamless => Self::Seamless,
            PlanKind::Short => Self::Short,
        }
    }
}

/// What is written.
#[derive(Debug, clap::Args)]
struct Files {
    /// Write whole manifests in place of patches
    #[arg(long, requires = "into", conflicts_with = "kustomize")]
    full: bool,
    /// Write each step as a kustomize component
    #[arg(long, requires = "into")]
    kustomize: bool,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    let source = args.input.source();
    let inputs = source.read_with_manifests(console)?;
    if inputs.finish(console) != ExitStatus::Success {
        // A plan for a part of the resources may be an outage for the others.
        return Ok(ExitStatus::Error);
    }
    if inputs.resources.gateways.is_empty() && inputs.resources.api_gateways.is_empty() {
        bail!(source.has_no(
            "Gateway",
            "give what kubectl get gateways.networking.istio.io,virtualservices,secrets -A -o yaml \
             prints"
        ));
    }
    let certificates = Certificates::of(&inputs.resources);
    let start = State::new(inputs.resources);
    assumptions::note_all(&start.model().workloads, console);
    let outlook = merge(&Input {
        start: &start,
        certificates: &certificates,
        strategy: args.plan.into(),
        may_assume_certificates: args.assume_same_certificate,
    });
    if let Some(folder) = args.into.as_deref().filter(|_| !args.dry_run) {
        let files = plan::files(&outlook, &start, args.files.form())?;
        write(folder, &files).with_context(|| format!("writing {}", folder.display()))?;
    }
    tell(args, &outlook, console)?;
    Ok(if outlook.refusals.is_empty() {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    })
}

impl Files {
    fn form(&self) -> Form {
        match (self.full, self.kustomize) {
            (true, _) => Form::Full,
            (_, true) => Form::Kustomize,
            _ => Form::Patches,
        }
    }
}

fn tell(args: &Args, outlook: &Outlook, console: &mut Console<'_>) -> Result<()> {
    match args.output {
        ReportFormat::Text => {
            // Components of kustomize have no commands.
            let written = args.into.as_deref();
            let folder = written.filter(|_| !args.dry_run && !args.files.kustomize);
            plan::text(outlook, folder, console.out)?;
        }
        ReportFormat::Json => plan::json(outlook, console.out)?,
    }
    Ok(())
}

/// Writes all files or none, into a folder that is not there or is empty.
fn write(folder: &Path, files: &[File]) -> Result<()> {
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!(Advice::new(
            "there is something in it",
            "name a new folder, or empty it"
        ));
    }
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent)?;
    let temporary = TempDir::new_in(parent)?;
    for file in files {
        let path = temporary.path().join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, &file.text)?;
        set_mode(&path, if file.is_program { 0o755 } else { 0o644 })?;
    }
    set_mode(temporary.path(), 0o755)?;
    // An empty folder gives way.
    fs::rename(temporary.path(), folder)?;
    let _ = temporary.keep();
    Ok(())
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> std::io::Result<()> {
    Ok(())
}
