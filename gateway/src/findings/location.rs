//! Where in the model a finding is.

use std::fmt;

use crate::{Listener, Workload};

/// The name of a workload, displayed as `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadName {
    pub namespace: String,
    pub name: String,
}

impl From<&Workload> for WorkloadName {
    fn from(workload: &Workload) -> Self {
        Self {
            namespace: workload.namespace.clone(),
            name: workload.name.clone(),
        }
    }
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, name } = self;
        write!(f, "{namespace}/{name}")
    }
}

/// The address of a listener within its workload. It is displayed as istiod names the listener in Envoy,
/// for example `0.0.0.0_8443`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerAddress {
    pub bind: String,
    pub port: u16,
}

impl From<&Listener> for ListenerAddress {
    fn from(listener: &Listener) -> Self {
        Self {
            bind: listener.bind.clone(),
            port: listener.port,
        }
    }
}

impl fmt::Display for ListenerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bind, port } = self;
        write!(f, "{bind}_{port}")
    }
}
