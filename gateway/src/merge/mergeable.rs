//! Whether some servers would be merged, for the hints of findings.

use super::listener_id::ListenerId;
use super::merger::Merger;
use super::refusal::Site;
use super::{Input, Outlook, Reason, Refusal, obstacles};
use crate::{Listener, Model, Resources, ServerId, Workload};

/// Why no two of some servers can be merged, as far as this is known without a plan. It takes no time.
pub(crate) fn obvious_obstacle(
    resources: &Resources,
    model: &Model,
    (workload, listener): (&Workload, &Listener),
    servers: &[ServerId],
) -> Option<Refusal> {
    let site = Site {
        workload,
        model,
        resources,
    };
    // Nothing is merged on a port where a server is dropped or Envoy rejects the listener.
    let (refusals, defective_ports) = obstacles::present_defects(site);
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
            .find(|refusal| names.contains(&refusal.listener));
    }
    let obstacle = obstacles::between_servers(listener, servers)?;
    // The servers that the obstacle does not name may be merged.
    let left = servers.len() - obstacle.blocking.len();
    (obstacle.blocking.is_empty() || left < 2)
        .then(|| obstacle.refuse(site, listener.name(), servers))
}

/// What `packager merge` makes of some servers of a listener. This makes the plans and proves them,
/// which models all resources after each of their writes. The input may have only the resources of the
/// servers. `None` if the listener of these resources has another name.
pub(crate) fn merge_of_servers(
    input: &Input<'_>,
    workload: &Workload,
    listener: &Listener,
    servers: &[ServerId],
) -> Option<Outlook> {
    let id = ListenerId::new(workload, listener);
    id.find(&input.start.model())?;
    let mut merger = Merger::new(input);
    merger.outlook.refusals = merger.merge_candidates(&id, servers.iter().cloned().collect());
    Some(merger.outlook)
}

/// Whether another plan for the same servers may be possible.
pub(crate) fn depends_on_plan(reason: Reason) -> bool {
    match reason {
        // The proof of a plan found these.
        Reason::ClientCertificate | Reason::RoutesMix | Reason::RoutesStart | Reason::Answer => {
            true
        }
        Reason::Dropped
        | Reason::Rejected
        | Reason::TooMany
        | Reason::GatewayApi
        | Reason::Generated
        | Reason::Deletion
        | Reason::Age
        | Reason::Pods
        | Reason::Port
        | Reason::Bind
        | Reason::NotHttps
        | Reason::TlsSettings
        | Reason::CertificateUnknown
        | Reason::Certificate
        | Reason::EnvoyFilter
        | Reason::NotSelected => false,
    }
}
