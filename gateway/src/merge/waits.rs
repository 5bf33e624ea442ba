//! How long an operator waits while a plan is carried out.

use std::time::Duration;

use super::Plan;
use super::steps::StepKind;

/// How long all gateways need to apply a step and to answer the probe: istiod collects changes for some
/// hundred milliseconds, sends them to every gateway, and a large gateway needs a second or two. It is an
/// estimate; a script waits until the gateways have the step.
pub const SYNC: Duration = Duration::from_secs(5);

/// How long Envoy keeps the connections of a filter chain that was replaced: the default of `drainDuration`
/// (Istio `pkg/config/mesh/mesh.go`, `DefaultProxyConfig`).
pub const DRAIN: Duration = Duration::from_secs(45);

/// The waits of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// How many steps the gateways have to apply.
    pub syncs: usize,
    /// After how many of these steps connections have to be drained.
    pub drains: usize,
}

impl StepKind {
    /// Whether open connections have to be drained after a step of this kind. The next step then removes
    /// route tables that only open connections use.
    #[must_use]
    pub fn needs_drain(self) -> bool {
        match self {
            Self::ShiftConnections => true,
            // These steps add routes to tables, change the names of filter chains that keep their tables,
            // or remove what no connection uses. `move-hosts` empties the old tables at once, so there is
            // nothing left to wait for.
            Self::SetCertificate
            | Self::BindRoutes
            | Self::AddWildcard
            | Self::MoveHosts
            | Self::DeleteServers
            | Self::ReplaceWildcard
            | Self::UnbindRoutes => false,
        }
    }
}

impl Plan {
    /// The waits of all steps.
    #[must_use]
    pub fn waits(&self) -> Waits {
        Waits {
            syncs: self.steps.len(),
            drains: self
                .steps
                .iter()
                .filter(|step| step.kind.needs_drain())
                .count(),
        }
    }

    /// How long the plan takes, if a step takes [`SYNC`] and connections are drained for `drain`.
    #[must_use]
    pub fn duration(&self, drain: Duration) -> Duration {
        let Waits { syncs, drains } = self.waits();
        times(SYNC, syncs).saturating_add(times(drain, drains))
    }
}

fn times(duration: Duration, count: usize) -> Duration {
    duration.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}
