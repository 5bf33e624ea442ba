//! The steps of a merge.
//!
//! # Example
//!
//! Two Gateways are on one listener. `gw-a` is the older one, so its server is the target:
//!
//! | server | hosts | routes in its route table |
//! |---|---|---|
//! | `gw-a` | `a.example.com` | VirtualService `va` |
//! | `gw-b` | `b.example.com` | VirtualService `vb` |
//!
//! The seamless plan makes these writes. The wildcards `*.example.com` and `*.com` are unused.
//!
//! 1. `bind-routes`: `vb` lists `gw-a` in addition to `gw-b`. `gw-a` has no host of `vb` yet, so no
//!    route table changes.
//! 2. `add-wildcard`: `gw-a` also gets the host `*.example.com`. Its route table now has the routes of
//!    `vb`. Connections for `b.example.com` still select `gw-b`, because Envoy prefers the longest name.
//! 3. `shift-connections`: the host of `gw-b` becomes `*.com`. New connections for `b.example.com` select
//!    `gw-a`, whose route table has the routes since step 2. The route table of `gw-b` keeps them under
//!    `*.com`, for open connections and for an Envoy that still has the old filter chain.
//! 4. `delete-servers`: `gw-b` is deleted. No new connection for a served host selects it, and open ones
//!    were drained.
//! 5. `replace-wildcard`: the hosts of `gw-a` become `a.example.com` and `b.example.com`. Both hosts keep
//!    their filter chain and their routes.
//! 6. `unbind-routes`: `vb` no longer lists `gw-b`, which does not exist any more.
//!
//! If another server has `*.example.com` and stays, `gw-a` gets `*.com` in step 2. In step 3 it also gets
//! `shop/b.example.com`, and then `gw-b` gives up `b.example.com`: the module `departures` explains this.
//!
//! With more servers, step 3 moves as many as there are different parking wildcards for, and the module
//! `departures` explains why it cannot move more. The next `shift-connections` deletes the servers of the
//! step before and moves the next ones. A script has to wait after each `shift-connections` until open
//! connections are drained, and only then: [`StepKind::needs_drain`].

mod builder;
mod departures;

use super::group::{Group, Member};
use super::state::State;
use super::wildcards::includes;
use super::write::{Inapplicable, Write};
use builder::StepsBuilder;
use departures::{Departure, departures};

/// Writes that belong together. Each of them may take effect before the next one is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What the writes are for.
    pub kind: StepKind,
    /// What the step does, as a sentence without a full stop.
    pub purpose: String,
    /// The writes in the order in which they are made.
    pub writes: Vec<Write>,
}

/// The kinds of steps, in the order of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// The target gets the certificate that covers all hosts.
    SetCertificate,
    /// VirtualServices of the absorbed servers list the target's Gateway too.
    BindRoutes,
    /// The target gets wildcards, and with them the routes of the absorbed servers.
    AddWildcard,
    /// Absorbed servers give up their hosts, so that new connections select the target. The servers that
    /// did this in the step before are deleted first.
    ShiftConnections,
    /// The target gets all hosts at once, and istiod drops the absorbed servers.
    MoveHosts,
    /// Absorbed servers are deleted.
    DeleteServers,
    /// The target's wildcards are replaced with the hosts.
    ReplaceWildcard,
    /// VirtualServices no longer list Gateways that were deleted.
    UnbindRoutes,
}

/// The number of a step in its plan, from 1; 0 before the first step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepNumber(pub usize);

/// Why a builder makes no steps. `merge` falls back to the short plan without a wildcard, and refuses
/// to merge on an input that contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StepsError {
    /// No unused wildcard covers a host.
    NoWildcard { host: String },
    /// Too many servers would have to leave one after the other.
    TooManyHandovers { count: usize },
    /// A write does not fit the manifests.
    Inapplicable,
}

impl StepKind {
    /// The name in reports and in the names of folders.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SetCertificate => "set-certificate",
            Self::BindRoutes => "bind-routes",
            Self::AddWildcard => "add-wildcard",
            Self::ShiftConnections => "shift-connections",
            Self::MoveHosts => "move-hosts",
            Self::DeleteServers => "delete-servers",
            Self::ReplaceWildcard => "replace-wildcard",
            Self::UnbindRoutes => "unbind-routes",
        }
    }
}

impl StepNumber {
    /// The numbers of all steps of a plan, from the first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (1..).map(Self)
    }

    /// The step with this number in a plan.
    #[must_use]
    pub fn of(self, steps: &[Step]) -> Option<&Step> {
        steps.get(self.0.checked_sub(1)?)
    }
}

impl std::fmt::Display for StepNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Inapplicable> for StepsError {
    fn from(Inapplicable: Inapplicable) -> Self {
        Self::Inapplicable
    }
}

/// A plan that loses no request. No route table loses routes while a filter chain uses it, even while
/// Envoy has the filter chains of one state and the route tables of another.
pub(super) fn seamless(
    group: &Group<'_>,
    start: &State,
    presenter: &Member,
) -> Result<Vec<Step>, StepsError> {
    let batches = departures(group, start)?;
    let hosts_of_target = group.target.hosts(start);
    let mut steps = StepsBuilder::new(group, start);

    // First the certificate: a host that moved earlier would get one that does not cover it. The new
    // one covers the target's own hosts too.
    steps.set_certificate(presenter)?;
    // Then the routes. The target has no host for them yet, so no route table changes.
    steps.bind_routes()?;
    // The target gets the routes before it gets connections. Connections still select the absorbed
    // servers, whose hosts are longer than these wildcards.
    let wildcards =
        steps.add_wildcards(batches.iter().flatten().flat_map(|server| &server.covering))?;
    // One batch after the other, the servers with the widest wildcards first: their hosts would
    // otherwise get the connections of the servers that left before them.
    let mut drained: Vec<Member> = Vec::new();
    for batch in &batches {
        // The target has the routes, and the old route tables keep them until they have no connections.
        // The parking wildcards of the batch before become unused, since its servers are drained.
        steps.shift_connections(batch, &drained)?;
        drained = batch.iter().map(|server| server.member.clone()).collect();
    }
    steps.delete_servers(&drained)?;
    // The target has all connections, so exact hosts select the same chain as the wildcards. They have
    // to go last, because they serve hosts that no server had.
    let mut temporary = wildcards;
    let mut absorbed: Vec<String> = Vec::new();
    for server in batches.into_iter().flatten() {
        // A wildcard of the target does not replace a host if another server has a longer wildcard.
        let is_handed_over = !server.handover.is_empty();
        absorbed.extend(
            server
                .hosts
                .into_iter()
                .filter(|host| is_handed_over || !includes(&hosts_of_target, host)),
        );
        temporary.extend(server.handover);
    }
    if !temporary.is_empty() {
        steps.replace_temporary_hosts(&temporary, &absorbed)?;
    }
    // A reference to a deleted Gateway has no effect, but a new Gateway with that name would get routes.
    steps.unbind_routes()?;
    Ok(steps.finish())
}

/// A plan of few steps. New connections for hosts of the absorbed servers may get 404 for some
/// milliseconds: istiod empties their route tables and removes their filter chains at once, and Envoy
/// may apply the first before the second.
pub(super) fn short(
    group: &Group<'_>,
    start: &State,
    presenter: &Member,
) -> Result<Vec<Step>, StepsError> {
    let mut steps = StepsBuilder::new(group, start);
    // The certificate and the routes come first, for the same reasons as in the seamless plan.
    steps.set_certificate(presenter)?;
    steps.bind_routes()?;
    // istiod drops the absorbed servers here: the target is older and has their hosts. So the hosts
    // move in one write.
    let hosts: Vec<String> = group
        .absorbed
        .iter()
        .flat_map(|member| member.hosts(start))
        .collect();
    steps.move_hosts(&hosts)?;
    // Dropped servers have no effect.
    steps.delete_servers(&group.absorbed)?;
    steps.unbind_routes()?;
    Ok(steps.finish())
}
