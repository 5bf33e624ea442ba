//! Whether the merge of some servers would be refused, for the hints of findings.

use super::listener_id::ListenerId;
use super::refusal::{FILTER_HINT, Obstacle};
use super::{Input, Reason, Refusal, obstacles, planner};
use crate::{Listener, Model, ServerId, Workload};

/// Why servers cannot be merged, as far as this is known without the resources. It takes no time.
pub(crate) fn obvious_obstacle(
    workload: &Workload,
    listener: &Listener,
    servers: &[ServerId],
) -> Option<Refusal> {
    // Nothing is merged on a port where a server is dropped or Envoy rejects the listener.
    let (refusals, defective_ports) = obstacles::present_defects(workload);
    if defective_ports.contains(&listener.port) {
        // Such a refusal names the port, or a listener on it.
        let mut names = vec![listener.port.to_string()];
        names.extend(
            workload
                .listeners
                .iter()
                .filter(|other| other.port == listener.port)
                .map(Listener::name),
        );
        return refusals
            .into_iter()
            .find(|refusal| names.contains(&refusal.listener))
            .map(with_alternative);
    }
    obstacles::between_servers(servers)
        .map(|obstacle| refusal(obstacle, workload, listener, servers))
}

/// Why servers cannot be merged. This makes the plan and proves it, which models all resources after
/// each of its writes. `model` has all resources. The input may have only the resources of the servers.
pub(crate) fn why_not_mergeable(
    input: &Input<'_>,
    model: &Model,
    workload: &Workload,
    listener: &Listener,
    servers: &[ServerId],
) -> Option<Refusal> {
    obvious_obstacle(workload, listener, servers).or_else(|| {
        let obstacle =
            planner::plan(input, input.start, model, (workload, listener), servers).err()?;
        Some(refusal(obstacle, workload, listener, servers))
    })
}

/// Whether another plan for the same servers may be possible.
pub(crate) fn depends_on_plan(reason: Reason) -> bool {
    match reason {
        // The proof of a plan found these.
        Reason::RoutesMix | Reason::RoutesStart | Reason::Answer => true,
        Reason::Dropped
        | Reason::Rejected
        | Reason::TooMany
        | Reason::GatewayApi
        | Reason::Generated
        | Reason::Age
        | Reason::Pods
        | Reason::Port
        | Reason::Bind
        | Reason::NotHttps
        | Reason::TlsSettings
        | Reason::CertificateUnknown
        | Reason::Certificate
        | Reason::EnvoyFilter => false,
    }
}

fn refusal(
    obstacle: Obstacle,
    workload: &Workload,
    listener: &Listener,
    servers: &[ServerId],
) -> Refusal {
    with_alternative(obstacle.at(&ListenerId::new(workload, listener), servers))
}

/// Adds the filter to a hint that does not name it.
fn with_alternative(mut refusal: Refusal) -> Refusal {
    if !refusal.hint.ends_with(FILTER_HINT) {
        refusal.hint = format!("{}; or {FILTER_HINT}", refusal.hint);
    }
    refusal
}
