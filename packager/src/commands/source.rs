//! The arguments that name the source of resources: files, a cluster, or files over a cluster.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, bail};
use gateway::Resources;
use gateway::advice::Advice;
use gateway::resources::mesh::{InvalidMeshConfig, MeshConfig};
use glob::Pattern;

use super::cluster::{self, Scope};
use super::files;
use super::inputs::{self, Inputs, Paths, StrictArgs};
use crate::console::Console;
use crate::render::{ClusterWords, SourceWords};
use crate::resource::names::Namespace;

/// The arguments of commands that always need resources.
#[derive(Debug, clap::Args)]
pub(crate) struct InputArgs {
    /// Files and folders with the resources of gateways; - for standard input. With --cluster they are put
    /// over the resources of the cluster, as kubectl apply would. By default the resources are read from
    /// the cluster of the kubeconfig
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The same as PATH
    #[arg(short = 'f', long = "filename", visible_alias = "from", value_name = "PATH", num_args = 1..)]
    filenames: Vec<PathBuf>,
    #[command(flatten)]
    strict: StrictArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Read only this namespace of the cluster; repeat it for more
    #[arg(short, long, value_name = "NAMESPACE", value_parser = namespace)]
    namespace: Vec<String>,
    #[command(flatten)]
    mesh: MeshArgs,
    /// Read all namespaces of the cluster, which is the default
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
}

/// The flag for the mesh configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct MeshArgs {
    /// Use this mesh configuration of istiod, a YAML file, instead of the ConfigMap istio of the input
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    mesh_config: Option<PathBuf>,
}

/// The flags for a cluster.
#[derive(Debug, clap::Args)]
pub(crate) struct ClusterArgs {
    /// Read the resources from the cluster of the kubeconfig, or from the cluster that the program
    /// runs in
    #[arg(long)]
    cluster: bool,
    /// Use this context of the kubeconfig instead of the current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Use this kubeconfig instead of the file that KUBECONFIG names, or ~/.kube/config
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    kubeconfig: Option<PathBuf>,
}

/// The source of resources.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    Paths(Paths<'a>),
    Cluster(Scope<'a>),
    /// Files that replace resources of a cluster.
    Overlay(Scope<'a>, Paths<'a>),
}

impl InputArgs {
    /// The paths without those that are excluded, if there are any paths, else the cluster.
    ///
    /// # Errors
    /// A flag has no effect.
    pub(crate) fn source<'a>(&'a self, exclude: &'a [Pattern]) -> Result<Source<'a>> {
        let paths = Paths {
            named: [&self.paths, &self.filenames],
            exclude,
            is_strict: self.strict.strict,
        };
        let scope = self.cluster.scope(&self.namespace);
        if paths.is_empty() {
            return Ok(Source::Cluster(scope));
        }
        if self.cluster.cluster {
            return Ok(Source::Overlay(scope, paths));
        }
        // Without the refusal a user would believe that only this namespace of the files is checked.
        if let Some(flag) = self.flag_of_cluster() {
            bail!(Advice::new(
                format!("{flag} has no effect on files"),
                format!("remove {flag}, or add --cluster to put the files over the cluster")
            ));
        }
        Ok(Source::Paths(paths))
    }

    /// A flag that selects a part of a cluster, if one is given.
    fn flag_of_cluster(&self) -> Option<&'static str> {
        if self.cluster.context.is_some() {
            Some("--context")
        } else if self.cluster.kubeconfig.is_some() {
            Some("--kubeconfig")
        } else if !self.namespace.is_empty() {
            Some("--namespace")
        } else {
            None
        }
    }

    /// Reads the resources, with the manifests that plans of `merge` change, and the mesh configuration.
    pub(crate) fn read_with_manifests(
        &self,
        source: &Source<'_>,
        console: &mut Console<'_>,
    ) -> Result<Inputs> {
        let mut inputs = source.read_with_manifests(console)?;
        self.mesh.apply(&mut inputs)?;
        Ok(inputs)
    }

    /// The source as arguments of other commands.
    pub(crate) fn words(&self, source: &Source<'_>) -> SourceWords {
        SourceWords {
            mesh_config: self.mesh.word(),
            ..source.words()
        }
    }
}

impl MeshArgs {
    /// Whether the flag is given.
    pub(crate) fn is_given(&self) -> bool {
        self.mesh_config.is_some()
    }

    /// Replaces the mesh configuration of an input.
    pub(crate) fn apply(&self, inputs: &mut Inputs) -> Result<()> {
        if let Some(file) = &self.mesh_config {
            inputs.resources.given_mesh_config = Some(mesh_config(file)?);
        }
        Ok(())
    }

    fn word(&self) -> Option<String> {
        let file = self.mesh_config.as_ref()?;
        Some(file.display().to_string())
    }
}

/// Reads a mesh configuration, as istiod reads it.
fn mesh_config(file: &Path) -> Result<MeshConfig> {
    let text = String::from_utf8(files::read(file)?)
        .with_context(|| format!("reading {}", file.display()))?;
    MeshConfig::parse(&text).map_err(|InvalidMeshConfig { line, problem }| {
        anyhow!(Advice::new(
            format!("reading {}:{line}: {problem}", file.display()),
            "give the value of the key mesh of the ConfigMap istio in istio-system"
        ))
    })
}

impl ClusterArgs {
    /// The cluster if a flag for it is given, else the paths if there are any.
    pub(crate) fn source<'a>(
        &'a self,
        namespaces: &'a [String],
        paths: impl Into<Paths<'a>>,
    ) -> Option<Source<'a>> {
        // clap already refuses a cluster together with paths.
        let paths = paths.into();
        let is_cluster = self.cluster || self.context.is_some() || self.kubeconfig.is_some();
        if is_cluster || !namespaces.is_empty() {
            return Some(Source::Cluster(self.scope(namespaces)));
        }
        (!paths.is_empty()).then_some(Source::Paths(paths))
    }

    fn scope<'a>(&'a self, namespaces: &'a [String]) -> Scope<'a> {
        Scope {
            kubeconfig: self.kubeconfig.as_deref(),
            context: self.context.as_deref(),
            namespaces,
        }
    }
}

impl Source<'_> {
    pub(crate) fn read(self, console: &mut Console<'_>) -> Result<Inputs> {
        self.read_to(Resources::default(), console)
    }

    /// Reads the resources, and keeps the manifests that plans of `merge` change.
    pub(crate) fn read_with_manifests(self, console: &mut Console<'_>) -> Result<Inputs> {
        self.read_to(Resources::with_manifests(), console)
    }

    fn read_to(self, empty: Resources, console: &mut Console<'_>) -> Result<Inputs> {
        match self {
            Self::Paths(paths) => read_paths(empty, paths, console),
            Self::Cluster(scope) => cluster::read(scope, &empty, console),
            Self::Overlay(scope, paths) => {
                // The files come first: an error in them is known without a cluster.
                let files = read_paths(empty.clone(), paths, console)?;
                let mut inputs = cluster::read(scope, &empty, console)?;
                inputs
                    .resources
                    .apply(files.resources, SystemTime::now().into());
                inputs.faults.extend(files.faults);
                inputs.skipped.extend(files.skipped);
                Ok(inputs)
            }
        }
    }

    /// What the source lacks, for notes and errors.
    pub(crate) fn lacks(self, what: &str) -> String {
        match self {
            Self::Paths(_) => format!("the input has no {what}"),
            Self::Cluster(Scope { namespaces: [], .. }) => format!("the cluster has no {what}"),
            Self::Cluster(_) => format!("the cluster has no {what} in these namespaces"),
            Self::Overlay(..) => format!("neither the files nor the cluster has a {what}"),
        }
    }

    /// The source as arguments of other commands.
    pub(crate) fn words(self) -> SourceWords {
        let (scope, paths) = match self {
            Self::Paths(paths) => (None, Some(paths)),
            Self::Cluster(scope) => (Some(scope), None),
            Self::Overlay(scope, paths) => (Some(scope), Some(paths)),
        };
        // A path may be given twice, with a flag and without.
        let mut named: Vec<String> = Vec::new();
        for path in paths.into_iter().flat_map(Paths::iter) {
            let path = path.display().to_string();
            if !named.contains(&path) {
                named.push(path);
            }
        }
        let exclude = paths.map_or(&[][..], |paths| paths.exclude);
        SourceWords {
            exclude: exclude.iter().map(ToString::to_string).collect(),
            paths: named,
            cluster: scope.map(|scope| ClusterWords {
                kubeconfig: scope
                    .kubeconfig
                    .map(|kubeconfig| kubeconfig.display().to_string()),
                context: scope.context.map(str::to_owned),
                namespaces: scope.namespaces.to_vec(),
            }),
            mesh_config: None,
        }
    }

    /// The error that the source lacks something. `hint` is for files.
    pub(crate) fn has_no(self, what: &str, hint: &str) -> Advice {
        let hint = match self {
            Self::Paths(_) => hint,
            Self::Cluster(Scope { namespaces: [], .. }) => {
                "name the context of another cluster with --context, or give files"
            }
            Self::Cluster(_) | Self::Overlay(..) => {
                "name the namespaces of the Gateways, of their pods and of their routes"
            }
        };
        Advice::new(self.lacks(what), hint)
    }
}

fn read_paths(empty: Resources, paths: Paths<'_>, console: &mut Console<'_>) -> Result<Inputs> {
    // Large folders take some seconds.
    console.step("reading the resources");
    let inputs = inputs::read_to(empty, paths, console);
    console.end_steps();
    inputs
}

/// Reads the name of a namespace, as the API server accepts it.
pub(crate) fn namespace(text: &str) -> Result<String, String> {
    Namespace::parse(text).map(|namespace| namespace.to_string())
}
