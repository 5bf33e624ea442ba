//! `packager merge`: plans that merge servers which break each other.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use gateway::advice::{Advice, KUBECTL_GET};
use gateway::findings::leave_others_alone;
use gateway::merge::{Input, Outlook, Selection, State, Strategy, UnknownServer, merge};
use gateway::resources::LabelQuery;
use gateway::{Certificates, Model, ServerId};
use glob::Pattern;
use tempfile::TempDir;

use super::ReportFormat;
use super::assumptions;
use super::source::InputArgs;
use crate::console::{Console, ExitStatus, unless_closed};
use crate::render::SourceWords;
use crate::render::plan::{self, File, Form};
use crate::spelling;

/// Plan how to merge servers that break each other into one server, without an outage
#[derive(Debug, clap::Args)]
#[command(after_help = after_help())]
pub(crate) struct Args {
    #[command(flatten)]
    input: InputArgs,
    /// Merge only servers of Gateways with these labels, such as team=shop or 'tier in (web,api)', and leave the
    /// others as they are
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<LabelQuery>,
    /// How to merge the servers
    #[arg(long, value_enum, default_value = "seamless")]
    plan: PlanKind,
    /// Assume that certificates which are not in the input cover all hosts to merge
    #[arg(long)]
    assume_same_certificate: bool,
    #[command(flatten)]
    servers: Servers,
    /// Leave out files and folders whose name, or path below PATH, matches a glob such as 'charts/**'; repeat it
    /// for more
    #[arg(long, value_name = "GLOB", value_parser = Pattern::new)]
    exclude_files: Vec<Pattern>,
    /// Write a folder for each step with its patches and scripts, `run.sh`, which carries out all steps, and `undo.sh`
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    into: Option<PathBuf>,
    #[command(flatten)]
    files: Files,
    /// Print the plan but write no files
    #[arg(long)]
    dry_run: bool,
    /// The output format
    #[arg(
        short,
        long,
        visible_alias = "format",
        value_enum,
        default_value = "text"
    )]
    output: ReportFormat,
}

fn after_help() -> String {
    let gather = KUBECTL_GET.replace(" | ", " \\\n    | ");
    format!(
        "Examples:
  # Plan from files, and print the commands
  {gather} > all.yaml
  packager merge all.yaml
  # Write the plan as a folder, print what its script would do, and carry it out
  packager merge all.yaml --into merge/
  sh merge/run.sh --dry-run
  GATEWAY=gateway.example.com:443 sh merge/run.sh
  # Plan from the cluster of the kubeconfig
  packager merge --cluster --into merge/

Two servers break each other if a client reuses a connection to one of them for a host of the other
(connection coalescing) and gets a 404 or a wrong route. A plan moves all hosts to one server, in steps
that keep the answer for every host. `packager check` finds such servers.

The command does not change the cluster. It prints the kubectl commands of each step, the commands that
undo the step, and a `packager probe` command that checks the result. `run.sh` of the folder carries out all
steps: it waits after each step until all gateways have applied it, and stops at the first surprise.
`undo.sh` goes back.

A server that cannot be merged, for example because it demands a client certificate, is set aside: the
plan is for the others of its group, and the report has the reason and the command that installs the filter
for the rest. --only and --exclude select servers. A group of which no two servers can be merged is refused.
The exit status is then 1, also if other groups have a plan."
    )
}

/// The values of `--plan`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum PlanKind {
    /// No request fails. Needs two wildcard hosts that no server has
    Seamless,
    /// Few steps. New connections may get 404 for some milliseconds
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

/// The servers that are merged.
#[derive(Debug, clap::Args)]
struct Servers {
    #[arg(
        long,
        value_name = "NAME",
        num_args = 1..,
        help = "Merge only these servers: namespace/gateway, or \"namespace/gateway servers[0]\"; \
                \"Gateway\" may precede it"
    )]
    only: Vec<String>,
    /// Merge all servers but these
    #[arg(long, value_name = "NAME", num_args = 1..)]
    exclude: Vec<String>,
}

impl Servers {
    /// The servers that are not selected.
    fn left_out(&self, model: &Model) -> Result<Vec<ServerId>> {
        let selection = Selection {
            only: self.only.clone(),
            exclude: self.exclude.clone(),
        };
        selection.left_out(model).map_err(|error| {
            let UnknownServer { name, known } = error;
            let near = spelling::nearest_names(&name, &known);
            let hint = if near.is_empty() {
                "give the name of a Gateway as namespace/name".to_owned()
            } else {
                format!("did you mean {}?", near.join(", "))
            };
            anyhow!(Advice::new(
                format!("the input has no server {name:?}"),
                hint
            ))
        })
    }
}

/// The form of the files that `--into` writes.
#[derive(Debug, clap::Args)]
struct Files {
    /// Write whole manifests instead of patches. There is no `run.sh`: apply the steps yourself, one after the other
    #[arg(long, requires = "into", conflicts_with = "kustomize")]
    full: bool,
    /// Write each step as a kustomize component. There is no `run.sh`: add the components yourself, one in each commit
    #[arg(long, requires = "into")]
    kustomize: bool,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<ExitStatus> {
    let source = args.input.source(&args.exclude_files)?;
    let mut inputs = args.input.read_with_manifests(&source, console)?;
    if inputs.finish(console) != ExitStatus::Success {
        // A plan for some of the resources may be an outage for the others.
        return Ok(ExitStatus::Error);
    }
    let resources = &inputs.resources;
    if resources.gateways.is_empty()
        && resources.api_gateways.is_empty()
        && resources.ingresses.is_empty()
    {
        bail!(source.has_no(
            "Gateway",
            &format!(
                "give the Gateways, their routes and Secrets, which this prints: {KUBECTL_GET}"
            )
        ));
    }
    if let Some(labels) = &args.selector {
        leave_others_alone(&mut inputs.resources, labels);
        console.note(format_args!(
            "servers of Gateways without the labels {labels} stay as they are"
        ));
    }
    let certificates = Certificates::new(&inputs.resources);
    let start = State::new(inputs.resources);
    let model = start.model();
    assumptions::note_settings(&model, start.resources(), console);
    assumptions::note_all(&model.workloads, console);
    let left_out = args.servers.left_out(&model)?;
    let outlook = merge(&Input {
        start: &start,
        certificates: &certificates,
        strategy: args.plan.into(),
        may_assume_certificates: args.assume_same_certificate,
        left_out: &left_out,
    });
    // The files come first: the printed commands refer to them.
    if let Some(folder) = args.into.as_deref().filter(|_| !args.dry_run) {
        let files = plan::files(&outlook, &start, args.files.form(), &source.words())?;
        write(folder, &files).with_context(|| format!("writing {}", folder.display()))?;
    }
    unless_closed(print(args, &outlook, &source.words(), console))?;
    Ok(if outlook.refusals.is_empty() {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    })
}

impl Files {
    fn form(&self) -> Form {
        // clap rejects both flags together.
        if self.full {
            Form::Full
        } else if self.kustomize {
            Form::Kustomize
        } else {
            Form::Patches
        }
    }
}

fn print(
    args: &Args,
    outlook: &Outlook,
    source: &SourceWords,
    console: &mut Console<'_>,
) -> Result<()> {
    match args.output {
        ReportFormat::Text => {
            // Kustomize components have no scripts, so the report prints the commands themselves.
            let has_scripts = !args.dry_run && !args.files.kustomize;
            let folder = if has_scripts {
                args.into.as_deref()
            } else {
                None
            };
            plan::text(outlook, folder, source, console.out)?;
            if args.into.is_none() || args.dry_run || outlook.plans.is_empty() {
                return Ok(());
            }
            match (args.files.form(), folder) {
                (Form::Patches, Some(folder)) => plan::script_commands(folder, console.out)?,
                (Form::Patches, None) => {}
                // A script for all steps would overwrite later changes of the whole manifests.
                (Form::Full, _) => writeln!(
                    console.out,
                    "--full writes no run.sh: run the apply.sh of each step in this order, and wait and probe after each"
                )?,
                (Form::Kustomize, _) => writeln!(
                    console.out,
                    "--kustomize writes no run.sh: add one component in each commit, and wait and probe after each"
                )?,
            }
        }
        ReportFormat::Json => plan::json(outlook, source, console.out)?,
    }
    Ok(())
}

/// Writes all files or none, into a new or empty folder.
fn write(folder: &Path, files: &[File]) -> Result<()> {
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!(Advice::new(
            "the folder is not empty",
            "use a new folder, or empty it"
        ));
    }
    // The folder may be the current one or a mount point, which no other folder can replace.
    if folder.is_dir() {
        return fill(folder, files);
    }
    // A folder beside the target can be renamed to it. An error leaves nothing behind, because the
    // temporary folder is removed.
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent)?;
    let temporary = write_temporary(parent, files)?;
    // Temporary folders are private to the user.
    set_mode(temporary.path(), 0o755)?;
    fs::rename(temporary.path(), folder)?;
    let _ = temporary.keep();
    Ok(())
}

/// Writes all files or none into an empty folder.
fn fill(folder: &Path, files: &[File]) -> Result<()> {
    let temporary = write_temporary(folder, files)?;
    let mut moved: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(temporary.path())? {
        let entry = entry?;
        let target = folder.join(entry.file_name());
        if let Err(error) = fs::rename(entry.path(), &target) {
            // The temporary folder, which is removed, gets back what it had.
            for path in moved {
                if let Some(name) = path.file_name() {
                    let _ = fs::rename(&path, temporary.path().join(name));
                }
            }
            return Err(error.into());
        }
        moved.push(target);
    }
    Ok(())
}

/// Writes files into a new folder with a temporary name.
fn write_temporary(parent: &Path, files: &[File]) -> Result<TempDir> {
    let temporary = TempDir::new_in(parent)?;
    for file in files {
        let path = temporary.path().join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, &file.text)?;
        set_mode(&path, if file.is_program { 0o755 } else { 0o644 })?;
    }
    Ok(temporary)
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
