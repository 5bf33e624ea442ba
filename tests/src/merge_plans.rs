//! The plans of `merge` for a case, and the states of the cluster that their writes lead through.

use std::path::Path;

use anyhow::{Result, anyhow};
use gateway::documents::read;
use gateway::merge::{Input, Outlook, State, Step, StepKind, Strategy, Write, merge};
use gateway::{Certificates, Resources};

use crate::cases::{Case, without_secrets};

/// A case with the plans for it.
pub struct PlannedCase {
    /// The state before the first write.
    pub start: State,
    /// The certificates of the Secrets in the case.
    pub certificates: Certificates,
    /// The plans, and what cannot be merged.
    pub outlook: Outlook,
}

impl PlannedCase {
    /// Plans a case of `merge/` or of `gateways/`.
    ///
    /// # Errors
    /// The case cannot be read.
    pub fn read(path: &Path, strategy: Strategy) -> Result<Self> {
        let case = Case::read(path)?;
        // The Secrets of the model's cases hold no certificates, so the plans assume that they match.
        let may_assume_certificates = path.starts_with("gateways");
        let text = if may_assume_certificates {
            without_secrets(case.text())
        } else {
            case.input()?
        };
        let mut resources = Resources::with_manifests();
        // Some cases of the command have documents that are invalid on purpose.
        let _ = read("input.yaml", &text, &mut resources);
        let certificates = Certificates::new(&resources);
        let start = State::new(resources);
        // `packager merge` makes the same call with what it reads from files or a cluster.
        let outlook = merge(&Input {
            start: &start,
            certificates: &certificates,
            strategy,
            may_assume_certificates,
            left_out: &[],
        });
        Ok(Self {
            start,
            certificates,
            outlook,
        })
    }

    /// The writes of all plans, in order.
    #[must_use]
    pub fn writes(&self) -> Vec<&Write> {
        self.outlook
            .plans
            .iter()
            .flat_map(|plan| &plan.steps)
            .flat_map(|step| &step.writes)
            .collect()
    }

    /// The state before the first write, and the state after each.
    ///
    /// # Errors
    /// A write does not fit the state before it.
    pub fn states(&self) -> Result<Vec<State>> {
        let mut state = self.start.clone();
        let mut states = vec![state.clone()];
        for write in self.writes() {
            state
                .apply(write)
                .map_err(|error| anyhow!("{write:?} does not apply: {error:?}"))?;
            states.push(state.clone());
        }
        Ok(states)
    }

    /// A step for a proof, of a kind that does not matter to it.
    #[must_use]
    pub fn step(writes: Vec<Write>) -> Step {
        Step {
            kind: StepKind::BindRoutes,
            purpose: String::new(),
            writes,
        }
    }
}
