//! Which workloads a resource applies to.

use std::collections::BTreeMap;

use gateway::istio::{PluginTarget, Reach, reaches};
use gateway::{Model, Workload};

use super::{Attachment, PolicyTarget};

/// The workloads of a model that a resource in a namespace reaches.
pub(crate) fn reached_workloads<'m>(
    model: &'m Model,
    namespace: &str,
    attachment: &Attachment,
) -> Vec<&'m Workload> {
    let target = plugin_target(attachment);
    model
        .workloads
        .iter()
        .filter(|workload| reaches(namespace, &target, workload) == Reach::Yes)
        .collect()
}

fn plugin_target(attachment: &Attachment) -> PluginTarget {
    match attachment {
        Attachment::Everything => PluginTarget::Selector(BTreeMap::new()),
        Attachment::Selector(labels) => PluginTarget::Selector(
            labels
                .iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        ),
        Attachment::Targets(targets) => {
            PluginTarget::Gateways(targets.iter().map(PolicyTarget::name).collect())
        }
    }
}
