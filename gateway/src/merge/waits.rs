//! How long an operator waits while a plan is carried out.

use super::Plan;
use super::steps::StepKind;

/// How many seconds a step takes in the script of a plan: istiod collects changes for at most 10 seconds
/// (`PILOT_DEBOUNCE_MAX`), and then three probes follow each other by a second.
pub const SYNC_SECONDS: usize = 12;

/// How many seconds Envoy keeps the connections of a filter chain that was replaced: the default of `drainDuration`
/// (Istio `pkg/config/mesh/mesh.go`, `DefaultProxyConfig`).
pub const DRAIN_SECONDS: usize = 45;

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

    /// How many seconds the plan takes, if a step takes [`SYNC_SECONDS`] and connections are drained for
    /// `drain_seconds`.
    #[must_use]
    pub fn seconds(&self, drain_seconds: usize) -> usize {
        let Waits { syncs, drains } = self.waits();
        syncs * SYNC_SECONDS + drains * drain_seconds
    }
}
