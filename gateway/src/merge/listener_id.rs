//! The identity of a listener in every state of a plan.

use crate::{Listener, Model, Workload};

/// A listener of a workload. The identity stays the same while a plan changes the servers behind it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId {
    namespace: String,
    workload: String,
    address: String,
    port: u16,
}

impl ListenerId {
    pub(super) fn new(workload: &Workload, listener: &Listener) -> Self {
        Self {
            namespace: workload.namespace.clone(),
            workload: workload.name.clone(),
            address: listener.bind.clone(),
            port: listener.port,
        }
    }

    /// The workload and the listener in a model; `None` if a write removed them.
    #[must_use]
    pub fn find<'m>(&self, model: &'m Model) -> Option<(&'m Workload, &'m Listener)> {
        let workload = model.workloads.iter().find(|workload| {
            workload.namespace == self.namespace && workload.name == self.workload
        })?;
        let listener = workload
            .listeners
            .iter()
            .find(|listener| listener.bind == self.address && listener.port == self.port)?;
        Some((workload, listener))
    }

    /// The workload as reports print it: `namespace/name`.
    #[must_use]
    pub fn workload_name(&self) -> String {
        format!("{}/{}", self.namespace, self.workload)
    }

    /// The name of the listener in Envoy: `address_port`.
    #[must_use]
    pub fn listener_name(&self) -> String {
        format!("{}_{}", self.address, self.port)
    }
}
