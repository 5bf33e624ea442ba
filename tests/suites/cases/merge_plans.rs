//! The plans of `merge` for each case, on the model: they leave nothing broken, and the undo commands
//! restore the first state.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, ensure};
use chrono::{DateTime, Utc};
use gateway::ServerId;
use gateway::findings::{self, Code, Command, EXPIRES_WITHIN, Finding};
use gateway::merge::{State, Step, Strategy, Strictness, Write, prove, without_status};
use gateway::resources::ResourceName;
use libtest_mimic::Trial;
use serde_json::Value;
use tests::cases::Case;
use tests::merge_plans::PlannedCase;

use crate::commands::named as named_commands;
use crate::model::named as named_gateways;
use crate::{trial, trials};

pub(crate) fn all() -> Result<Vec<Trial>> {
    let mut all = trials("merge-plan", 65, named()?, |path| {
        for strategy in STRATEGIES {
            let planned = PlannedCase::read(path, strategy)?;
            check_end(&planned).with_context(|| format!("{strategy:?}"))?;
            check_undo(&planned).with_context(|| format!("{strategy:?}"))?;
        }
        Ok(())
    })?;
    all.push(trial("merge-plan::enough-plans", check_enough_plans));
    all.push(trial(
        "merge-plan::check-recommends-what-is-planned",
        check_recommendations,
    ));
    Ok(all)
}

pub(crate) const STRATEGIES: [Strategy; 2] = [Strategy::Seamless, Strategy::Short];

/// The cases of the command and of the model.
pub(crate) fn named() -> Result<Vec<(String, PathBuf)>> {
    let mut names = Vec::new();
    for (name, _) in named_commands("merge")? {
        names.push(format!("merge/{name}"));
    }
    for (name, _) in named_gateways()? {
        names.push(format!("gateways/{name}"));
    }
    Ok(names
        .into_iter()
        .map(|name| (name.clone(), PathBuf::from(name + ".yaml")))
        .collect())
}

/// After the last step `check` has nothing to report on hosts that break each other, but for servers
/// that are set aside or refused.
fn check_end(planned: &PlannedCase) -> Result<()> {
    let states = planned.states()?;
    let last = states.last().context("no state")?;
    let report = findings::check(&findings::Input {
        resources: last.resources(),
        model: &last.model(),
        certificates: &planned.certificates,
        now: "2026-06-01T00:00:00Z".parse::<DateTime<Utc>>()?,
        has_all_secrets: false,
        has_all_gateways: false,
        expires_within: EXPIRES_WITHIN,
    });
    let outlook = &planned.outlook;
    let apart: BTreeSet<&ServerId> = outlook
        .refusals
        .iter()
        .flat_map(|refusal| &refusal.servers)
        .chain(outlook.blockers.iter().flat_map(|blocker| &blocker.servers))
        .collect();
    // Every pair that is left has a server that the report names.
    let is_reported = |finding: &Finding| {
        finding
            .pairs
            .iter()
            .all(|pair| apart.contains(&pair.connection) || apart.contains(&pair.owner))
    };
    let left: Vec<&Finding> = report
        .findings
        .iter()
        .filter(|finding| MERGED.contains(&finding.code) && !is_reported(finding))
        .collect();
    // Without a plan, the case has its findings still.
    ensure!(
        planned.outlook.plans.is_empty() || left.is_empty(),
        "left after the last step: {left:#?}"
    );
    Ok(())
}

/// What a merge puts an end to.
const MERGED: [Code; 6] = [
    Code::CoalesceNotFound,
    Code::CoalesceWrongRoute,
    Code::CoalesceTlsPolicy,
    Code::CoalescePresumed,
    Code::ServerDropped,
    Code::ListenerRejected,
];

/// The undo commands, in reverse order, restore the first state without an outage: a Gateway that is
/// created again is the youngest then, and istiod drops the younger of two servers.
fn check_undo(planned: &PlannedCase) -> Result<()> {
    let states = planned.states()?;
    let mut state = states.last().context("no state")?.clone();
    // An operator undoes the last step first, and its last write first.
    let steps: Vec<Step> = planned
        .outlook
        .plans
        .iter()
        .flat_map(|plan| &plan.steps)
        .rev()
        .map(|step| PlannedCase::step(step.writes.iter().rev().map(Write::undo).collect()))
        .collect();
    prove(&state, &steps, &planned.certificates, Strictness::Steady)
        .map_err(|error| anyhow!("undo is an outage: {error:?}"))?;
    // The proof works on copies, so this applies the writes once more.
    for write in steps.iter().flat_map(|step| &step.writes) {
        state
            .apply(write)
            .map_err(|error| anyhow!("{write:?} does not apply: {error:?}"))?;
    }
    let (first, restored) = (manifests(&planned.start), manifests(&state));
    ensure!(
        first == restored,
        "undo restores {restored:#?}, not {first:#?}"
    );
    Ok(())
}

/// The manifests of a state, without the fields that the API server writes.
fn manifests(state: &State) -> BTreeMap<ResourceName, Value> {
    state
        .resources()
        .manifests
        .iter()
        .map(|(name, manifest)| (name.clone(), without_status(manifest)))
        .collect()
}

/// A case without a plan passes, so this counts the plans of all cases.
fn check_enough_plans() -> Result<()> {
    let (mut plans, mut states) = (0, 0);
    for (_, path) in named()? {
        for strategy in STRATEGIES {
            let planned = PlannedCase::read(&path, strategy)?;
            plans += planned.outlook.plans.len();
            states += planned.outlook.plans.len() * planned.states()?.len();
        }
    }
    ensure!(plans > 30 && states > 150, "{plans} plans, {states} states");
    Ok(())
}

/// Where `check` recommends a merge, there is a plan for the two servers; elsewhere there is none.
fn check_recommendations() -> Result<()> {
    let (mut recommended, mut refused) = (0, 0);
    for case in [Case::all("check")?, Case::all("merge")?].concat() {
        let planned = PlannedCase::read(&case.path, Strategy::Seamless)?;
        let report = findings::check(&findings::Input {
            resources: planned.start.resources(),
            model: &planned.start.model(),
            certificates: &planned.certificates,
            now: "2026-06-01T00:00:00Z".parse::<DateTime<Utc>>()?,
            has_all_secrets: false,
            has_all_gateways: false,
            expires_within: EXPIRES_WITHIN,
        });
        for finding in report.findings {
            let is_recommended = finding.remedies.iter().any(|remedy| {
                remedy.command
                    == Some(Command::Merge {
                        assume_same_certificate: false,
                    })
            });
            let is_refused = finding.advice.hint.contains("no plan by packager merge: ");
            let is_planned = planned.outlook.plans.iter().any(|plan| {
                let merged: Vec<_> = std::iter::once(&plan.target)
                    .chain(&plan.absorbed)
                    .collect();
                finding
                    .pairs
                    .iter()
                    .any(|pair| merged.contains(&&pair.connection) && merged.contains(&&pair.owner))
            });
            ensure!(
                !(is_recommended && !is_planned || is_refused && is_planned),
                "{}: {finding:#?}",
                case.name
            );
            recommended += usize::from(is_recommended);
            refused += usize::from(is_refused);
        }
    }
    ensure!(
        recommended > 10 && refused > 10,
        "{recommended} recommended, {refused} refused"
    );
    Ok(())
}
