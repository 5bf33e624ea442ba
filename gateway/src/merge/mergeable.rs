//! Whether the merge of some servers would be refused, for the hints of findings.

use super::{Input, Outlook, Refusal, damaged, obstacles, plan};
use crate::{Listener, Model, ServerId, Workload};

/// Why servers cannot be merged, as far as this is known without the resources. It takes no time.
pub(crate) fn obvious_obstacle(
    workload: &Workload,
    listener: &Listener,
    servers: &[ServerId],
) -> Option<Refusal> {
    // Nothing is merged on a port where a server is dropped or Envoy rejects the listener.
    let mut outlook = Outlook::default();
    if damaged(workload, &mut outlook).contains(&listener.port) {
        // Such a refusal names the port, or a listener on it.
        let mut names = vec![listener.port.to_string()];
        names.extend(
            workload
                .listeners
                .iter()
                .filter(|other| other.port == listener.port)
                .map(Listener::name),
        );
        return outlook
            .refusals
            .into_iter()
            .find(|refusal| names.contains(&refusal.listener));
    }
    obstacles::of_servers(servers).map(|obstacle| {
        let names = servers.iter().map(ToString::to_string).collect();
        obstacle.on(workload.full_name(), listener.name(), names)
    })
}

/// Why servers cannot be merged. This makes the plan and proves it, which models all resources after
/// each of its writes. `model` is of the state that the input starts with.
pub(crate) fn why_not_mergeable(
    input: &Input<'_>,
    model: &Model,
    workload: &Workload,
    listener: &Listener,
    servers: &[ServerId],
) -> Option<Refusal> {
    obvious_obstacle(workload, listener, servers).or_else(|| {
        let obstacle = plan(input, input.start, model, workload, listener, servers).err()?;
        let names = servers.iter().map(ToString::to_string).collect();
        Some(obstacle.on(workload.full_name(), listener.name(), names))
    })
}
