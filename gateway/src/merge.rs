//! Plans that merge servers which break each other into one server, without an outage.
//!
//! [`merge`] finds the servers of each listener that break each other when clients coalesce connections
//! ([`crate::findings::components`]), and makes a [`Plan`] for each such group. The server of the oldest
//! Gateway, the target, takes the hosts of the other servers, which the plan absorbs. A new Gateway
//! with all hosts would be an outage: it is the youngest one, so istiod drops its server while an
//! older Gateway has the same hosts.
//!
//! The module `steps` has an example. [`prove`] applies each write to the model of the gateway before a plan
//! is returned: no host may lose its answer on a connection of its own. Servers that an obstacle keeps
//! apart are [`Blocker`]s, and the others of their group are planned. If no two servers of a group can be
//! merged, the result is a [`Refusal`].

mod bindings;
mod client_certificates;
mod direct_answer;
mod effects;
mod end_state;
mod group;
mod listener_id;
mod mergeable;
mod merger;
mod obstacles;
mod owners;
mod planner;
mod proof;
mod refusal;
mod selection;
mod state;
mod steps;
mod waits;
mod wildcards;
mod write;

pub use crate::coalescing::{RemainingPair, RemainingPairs};
use crate::{Certificates, ServerId};
pub use direct_answer::DirectAnswer;
pub use effects::{CertificateChange, Effects, LostAnnotations, LostRestriction, Risk, RiskySteps};
pub use listener_id::ListenerId;
pub(crate) use mergeable::{depends_on_plan, merge_of_servers, obvious_obstacle};
use merger::Merger;
pub use owners::{ManagedResources, Owner};
pub use proof::{Broken, ProofError, Strictness, prove};
use refusal::Site;
pub use refusal::{Blocker, Reason, Refusal};
pub use selection::{Selection, UnknownServer};
pub use state::State;
pub use steps::{Step, StepKind, StepNumber};
pub use waits::{DRAIN_SECONDS, SYNC_SECONDS, Waits};
pub use write::{Edit, Inapplicable, Operation, Write, without_status};

/// The input of [`merge`].
#[derive(Clone, Copy, Debug)]
pub struct Input<'i> {
    /// The resources with their manifests.
    pub start: &'i State,
    /// The certificates in the Secrets of these resources.
    pub certificates: &'i Certificates,
    /// The kind of plan that is preferred.
    pub strategy: Strategy,
    /// Whether a certificate with unknown contents is assumed to cover all hosts.
    pub may_assume_certificates: bool,
    /// The servers that no plan may change.
    pub left_out: &'i [ServerId],
}

/// How servers are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// No request fails. The plan needs two wildcard hosts that no server has.
    Seamless,
    /// Few steps. New connections may get 404 for some milliseconds.
    Short,
}

/// The result of [`merge`].
#[derive(Clone, Debug, Default)]
pub struct Outlook {
    /// A plan for each group of servers. Each plan starts from the result of the previous one.
    pub plans: Vec<Plan>,
    /// What keeps servers apart from a group that has a plan.
    pub blockers: Vec<Blocker>,
    /// The groups of servers of which no two can be merged.
    pub refusals: Vec<Refusal>,
}

/// How a group of servers becomes one.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The listener of all servers of the group.
    pub listener: ListenerId,
    /// The server that takes all hosts.
    pub target: ServerId,
    /// The servers whose hosts the target takes.
    pub absorbed: Vec<ServerId>,
    /// A host for each server name and route, to probe. The first one belongs to the target.
    pub hosts: Vec<String>,
    /// How the steps merge the servers.
    pub strategy: Strategy,
    /// Why the strategy is not the preferred one.
    pub fallback: Option<String>,
    /// What the plan changes for users.
    pub effects: Effects,
    /// The programs that manage resources of the plan and would revert it.
    pub owners: Vec<ManagedResources>,
    /// The steps in the order in which they are applied.
    pub steps: Vec<Step>,
}

/// Plans the merges of all servers that break each other.
#[must_use]
pub fn merge(input: &Input<'_>) -> Outlook {
    let mut merger = Merger::new(input);
    let model = input.start.model();
    for workload in &model.workloads {
        // A plan starts from a listener that serves all its hosts.
        let (refusals, defective_ports) = obstacles::present_defects(Site {
            workload,
            model: &model,
            resources: input.start.resources(),
        });
        merger.outlook.refusals.extend(refusals);
        for listener in &workload.listeners {
            if listener.is_tls() && !defective_ports.contains(&listener.port) {
                let id = ListenerId::new(workload, listener);
                merger.merge_listener(&id);
                merger.add_left_out(&id);
            }
        }
    }
    merger.count_remaining_pairs();
    merger.outlook
}

#[cfg(test)]
mod tests {
    use super::{Input, Plan, State, Step, StepKind, Strategy, Waits, merge};
    use crate::documents::read;
    use crate::{Certificates, Resources};

    /// The example of the module `steps`.
    const EXAMPLE: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw-b, namespace: shop, creationTimestamp: \"2026-02-02T00:00:00Z\"}
spec:
  selector: {istio: shop}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [b.example.com]
    tls: {mode: SIMPLE, credentialName: w}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw-a, namespace: shop, creationTimestamp: \"2026-01-01T00:00:00Z\"}
spec:
  selector: {istio: shop}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [a.example.com]
    tls: {mode: SIMPLE, credentialName: w}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: va, namespace: shop}
spec:
  hosts: [a.example.com]
  gateways: [gw-a]
  http: [{route: []}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: vb, namespace: shop}
spec:
  hosts: [b.example.com]
  gateways: [gw-b]
  http: [{route: []}]
";

    #[track_caller]
    fn only_plan(strategy: Strategy) -> Plan {
        let mut resources = Resources::with_manifests();
        let _ = read("example.yaml", EXAMPLE, &mut resources);
        let outlook = merge(&Input {
            certificates: &Certificates::new(&resources),
            start: &State::new(resources),
            strategy,
            may_assume_certificates: true,
            left_out: &[],
        });
        assert_eq!((outlook.plans.len(), outlook.refusals.len()), (1, 0));
        outlook.plans.into_iter().next().unwrap()
    }

    #[test]
    fn a_plan_states_its_waits() {
        let seamless = only_plan(Strategy::Seamless);
        let (syncs, drains) = (6, 1);
        assert_eq!(seamless.waits(), Waits { syncs, drains });
        assert_eq!(seamless.seconds(45), 6 * 12 + 45);
        // The short plan never waits until connections are drained.
        let short = only_plan(Strategy::Short);
        let (syncs, drains) = (4, 0);
        assert_eq!(short.waits(), Waits { syncs, drains });
        assert_eq!(short.seconds(45), 4 * 12);
    }

    fn kinds(steps: &[Step]) -> Vec<StepKind> {
        steps.iter().map(|step| step.kind).collect()
    }

    #[test]
    fn the_seamless_plan_of_two_servers() {
        let plan = only_plan(Strategy::Seamless);
        assert_eq!(plan.target.to_string(), "Gateway shop/gw-a servers[0]");
        assert_eq!(plan.hosts, ["a.example.com", "b.example.com"]);
        assert_eq!(
            kinds(&plan.steps),
            [
                StepKind::BindRoutes,
                StepKind::AddWildcard,
                StepKind::ShiftConnections,
                StepKind::DeleteServers,
                StepKind::ReplaceWildcard,
                StepKind::UnbindRoutes,
            ]
        );
    }

    #[test]
    fn the_short_plan_of_two_servers() {
        let plan = only_plan(Strategy::Short);
        assert_eq!(
            kinds(&plan.steps),
            [
                StepKind::BindRoutes,
                StepKind::MoveHosts,
                StepKind::DeleteServers,
                StepKind::UnbindRoutes,
            ]
        );
    }
}
