//! Resources from a cluster: everything that decides what its gateways serve, as its API server
//! tells it.

mod connection;
mod discovery;
mod failure;
mod kinds;
mod listing;

use anyhow::{Result, bail};
use gateway::Resources;
use gateway::advice::Advice;
use tokio::runtime::Builder;

use self::connection::Server;
use self::discovery::Served;
use self::failure::Failure;
use self::kinds::{FOR_PLANS, KINDS, Kind, Need};
use super::inputs::Inputs;
use crate::console::Console;

/// What is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    /// The context of the kubeconfig; `None` for the current one.
    pub(crate) context: Option<&'a str>,
    /// The namespaces; none for all.
    pub(crate) namespaces: &'a [String],
}

/// Reads what a cluster has. What may not be read is told, and left out where that is possible.
/// `empty` says whether their manifests are kept, as plans need them.
pub(crate) fn read(
    scope: Scope<'_>,
    empty: &Resources,
    console: &mut Console<'_>,
) -> Result<Inputs> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let inputs = runtime.block_on(read_all(scope, empty, console));
    // Otherwise a command for credentials that never ends would be waited for.
    runtime.shutdown_background();
    inputs
}

async fn read_all(
    scope: Scope<'_>,
    empty: &Resources,
    console: &mut Console<'_>,
) -> Result<Inputs> {
    let server = Server::connect(scope.context).await?;
    console.progress(format_args!("reading the resources of {}", server.url));
    let found = discovery::discover(&server).await?;
    tell_left_out(scope, &found, console);
    let mut inputs = Inputs {
        resources: empty.clone(),
        has_all_secrets: scope.namespaces.is_empty(),
        ..Inputs::default()
    };
    let for_plans = FOR_PLANS.iter().filter(|_| empty.manifests.are_kept());
    for kind in KINDS.iter().chain(for_plans) {
        let Some(version) = found.version(kind) else {
            continue;
        };
        for namespace in namespaces(scope, kind) {
            match listing::list(&server, kind, version, namespace, empty).await {
                Ok(listed) => {
                    inputs.resources.append(listed.resources);
                    inputs.faults.extend(listed.faults);
                }
                // It was deleted in between.
                Err(Failure::Absent) => {}
                Err(Failure::Forbidden(problem)) => {
                    inputs.has_all_secrets &= kind.plural != "secrets";
                    forgo(kind, &server, &problem, console)?;
                }
                Err(failure) => return Err(server.failed(&step(kind), failure)),
            }
        }
    }
    Ok(inputs)
}

/// The namespaces to list one after the other; `None` for all at once.
fn namespaces<'a>(scope: Scope<'a>, kind: &Kind) -> Vec<Option<&'a str>> {
    if !kind.is_namespaced || scope.namespaces.is_empty() {
        return vec![None];
    }
    scope
        .namespaces
        .iter()
        .map(|namespace| Some(namespace.as_str()))
        .collect()
}

/// Goes on without what may not be read, unless nothing could be told then.
fn forgo(kind: &Kind, server: &Server, problem: &str, console: &mut Console<'_>) -> Result<()> {
    match kind.need {
        Need::Essential => bail!(Advice::new(
            format!("{} of {}: {problem}", step(kind), server.url),
            "ask for a role that lists them, or name the namespaces that you may read with \
             --namespace"
        )),
        Need::Useful { without } => {
            console.say(format_args!("note: {without}: {problem}"));
            Ok(())
        }
    }
}

fn step(kind: &Kind) -> String {
    format!("listing {}", kind.full_plural())
}

fn tell_left_out(scope: Scope<'_>, served: &Served, console: &mut Console<'_>) {
    let essential = KINDS.iter().filter(|kind| kind.need == Need::Essential);
    for kind in essential.filter(|kind| served.version(kind).is_none()) {
        console.say(format_args!(
            "note: the cluster has no {}",
            kind.full_plural()
        ));
    }
    if !scope.namespaces.is_empty() {
        console.say(format_args!(
            "note: what other namespaces than {} add to these gateways is left out",
            scope.namespaces.join(", ")
        ));
    }
}
