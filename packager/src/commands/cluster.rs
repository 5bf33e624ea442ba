//! Resources from the API server of a cluster: everything that determines what its gateways serve.

mod connection;
mod discovery;
mod failure;
mod kinds;
mod listing;

use std::path::Path;

use anyhow::{Result, bail};
use gateway::Resources;
use gateway::advice::Advice;
use tokio::runtime::Builder;

use self::connection::Server;
use self::discovery::Served;
use self::failure::Failure;
use self::kinds::{KINDS, ListedKind, Need};
use super::inputs::Inputs;
use crate::console::Console;

/// The part of a cluster that is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    /// The kubeconfig; `None` for the one that kubectl uses.
    pub(crate) kubeconfig: Option<&'a Path>,
    /// The context of the kubeconfig; `None` for the current one.
    pub(crate) context: Option<&'a str>,
    /// The namespaces; empty for all.
    pub(crate) namespaces: &'a [String],
}

/// Reads the resources of a cluster. If the user lacks permission to list a kind, a note is printed
/// where a result is possible without it. `empty` decides whether manifests are kept, as plans need them.
pub(crate) fn read(
    scope: Scope<'_>,
    empty: &Resources,
    console: &mut Console<'_>,
) -> Result<Inputs> {
    // Requests run one after the other, to spare the API server.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let inputs = runtime.block_on(read_all(scope, empty, console));
    // An ordinary shutdown would wait for a command for credentials that does not end.
    runtime.shutdown_background();
    inputs
}

async fn read_all(
    scope: Scope<'_>,
    empty: &Resources,
    console: &mut Console<'_>,
) -> Result<Inputs> {
    let server = Server::connect(scope.kubeconfig, scope.context).await?;
    console.progress(format_args!("reading the resources of {}", server.url));
    let found = discovery::discover(&server).await?;
    note_limits(scope, &found, console);

    let mut inputs = Inputs {
        resources: empty.clone(),
        has_all_secrets: scope.namespaces.is_empty(),
        has_all_gateways: scope.namespaces.is_empty(),
        ..Inputs::default()
    };
    for kind in &KINDS {
        let Some(version) = found.version(kind) else {
            continue;
        };
        for namespace in namespaces(scope, kind) {
            match listing::list(&server, kind, version, namespace, empty).await {
                Ok(listed) => {
                    // Every cluster has pods; an API server without any runs no cluster.
                    inputs.resources.has_all_pods |= kind.plural == "pods"
                        && namespace.is_none()
                        && !listed.resources.pods.is_empty();
                    inputs.resources.has_all_mesh_configs |=
                        kind.plural == "configmaps" && namespace.is_none();
                    inputs.resources.append(listed.resources);
                    inputs.faults.extend(listed.faults);
                }
                // The kind was deleted after the discovery.
                Err(Failure::Absent) => {}
                Err(Failure::Forbidden(problem)) => {
                    inputs.has_all_secrets &= kind.plural != "secrets";
                    // The note about the kind is enough.
                    inputs.resources.has_all_mesh_configs |= kind.plural == "configmaps";
                    inputs.has_all_gateways &= kind.plural != "gateways";
                    continue_without(kind, &server, &problem, console)?;
                }
                Err(failure) => return Err(server.failed(&step(kind), failure)),
            }
        }
    }
    Ok(inputs)
}

/// The namespaces to list, one request for each; `None` is one request for all.
fn namespaces<'a>(scope: Scope<'a>, kind: &ListedKind) -> Vec<Option<&'a str>> {
    // Kinds without namespaces are listed once.
    if !kind.is_namespaced || scope.namespaces.is_empty() {
        return vec![None];
    }
    scope
        .namespaces
        .iter()
        .map(|namespace| Some(namespace.as_str()))
        .collect()
}

/// Prints a note that a kind is missing. Without an essential kind there is no result.
fn continue_without(
    kind: &ListedKind,
    server: &Server,
    problem: &str,
    console: &mut Console<'_>,
) -> Result<()> {
    match kind.need {
        Need::Essential => bail!(Advice::new(
            format!("{} of {}: {problem}", step(kind), server.url),
            "ask for a role that may list them, or name the namespaces that you may read with \
             --namespace"
        )),
        Need::Useful { without } => {
            console.note(format_args!("{without}: {problem}"));
            Ok(())
        }
    }
}

fn step(kind: &ListedKind) -> String {
    format!("listing {}", kind.full_plural())
}

/// Notes what the result does not cover.
fn note_limits(scope: Scope<'_>, served: &Served, console: &mut Console<'_>) {
    for kind in KINDS {
        if kind.need == Need::Essential && served.version(&kind).is_none() {
            console.note(format_args!("the cluster has no {}", kind.full_plural()));
        }
    }
    if !scope.namespaces.is_empty() {
        console.note(format_args!(
            "only resources in these namespaces are considered: {}",
            scope.namespaces.join(", ")
        ));
    }
}
