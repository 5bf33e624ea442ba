//! The arguments that name the source of resources: files, or a cluster.

use std::path::PathBuf;

use anyhow::Result;
use gateway::Resources;
use gateway::advice::Advice;

use super::cluster::{self, Scope};
use super::inputs::{self, Inputs};
use crate::console::Console;
use crate::render::{ClusterWords, SourceWords};
use crate::resource::names::Namespace;

/// The arguments of commands that always need resources.
#[derive(Debug, clap::Args)]
pub(crate) struct InputArgs {
    /// Files and folders with the resources of gateways; - for standard input. By default the
    /// resources are read from the cluster of the kubeconfig
    #[arg(value_name = "PATH", conflicts_with_all = ["cluster", "context", "namespace"])]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Read only this namespace of the cluster; repeat it for more
    #[arg(long, value_name = "NAMESPACE", value_parser = namespace)]
    namespace: Vec<String>,
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
}

/// The source of resources.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    Paths(&'a [PathBuf]),
    Cluster(Scope<'a>),
}

impl InputArgs {
    /// The paths if there are any, else the cluster.
    pub(crate) fn source(&self) -> Source<'_> {
        if self.paths.is_empty() {
            return Source::Cluster(self.cluster.scope(&self.namespace));
        }
        Source::Paths(&self.paths)
    }
}

impl ClusterArgs {
    /// The cluster if a flag for it is given, else the paths if there are any.
    pub(crate) fn source<'a>(
        &'a self,
        namespaces: &'a [String],
        paths: &'a [PathBuf],
    ) -> Option<Source<'a>> {
        // clap already refuses a cluster together with paths.
        if self.cluster || self.context.is_some() || !namespaces.is_empty() {
            return Some(Source::Cluster(self.scope(namespaces)));
        }
        (!paths.is_empty()).then_some(Source::Paths(paths))
    }

    fn scope<'a>(&'a self, namespaces: &'a [String]) -> Scope<'a> {
        Scope {
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
            Self::Paths(paths) => {
                // Large folders take some seconds.
                console.step("reading the resources");
                let inputs = inputs::read_to(empty, paths, console);
                console.end_steps();
                inputs
            }
            Self::Cluster(scope) => cluster::read(scope, &empty, console),
        }
    }

    /// The source as arguments of other commands.
    pub(crate) fn words(self) -> SourceWords {
        match self {
            Self::Paths(paths) => SourceWords {
                paths: paths
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect(),
                cluster: None,
            },
            Self::Cluster(scope) => SourceWords {
                paths: Vec::new(),
                cluster: Some(ClusterWords {
                    context: scope.context.map(str::to_owned),
                    namespaces: scope.namespaces.to_vec(),
                }),
            },
        }
    }

    /// The error that the source lacks something. `hint` is for files.
    pub(crate) fn has_no(self, what: &str, hint: &str) -> Advice {
        match self {
            Self::Paths(_) => Advice::new(format!("the input has no {what}"), hint),
            Self::Cluster(Scope { namespaces: [], .. }) => Advice::new(
                format!("the cluster has no {what}"),
                "name the context of another cluster with --context, or give files",
            ),
            Self::Cluster(_) => Advice::new(
                format!("the cluster has no {what} in these namespaces"),
                "name the namespaces of the Gateways, of their pods and of their routes",
            ),
        }
    }
}

/// Reads the name of a namespace, as the API server accepts it.
pub(crate) fn namespace(text: &str) -> Result<String, String> {
    Namespace::parse(text).map(|namespace| namespace.to_string())
}
