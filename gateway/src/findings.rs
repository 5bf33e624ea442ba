//! What is wrong with the gateways of an input.
//!
//! [`check`] is a function of the resources and of the time. Each kind of finding has a module with its
//! `INFO` and with the search for it. The four kinds about connection coalescing share one search,
//! `coalesce`, since one pass over the pairs of servers finds them all.

mod certificate_expired;
mod certificate_expires_soon;
mod certificate_incomplete;
mod certificate_mismatch;
mod certificate_shared;
mod coalesce;
mod coalesce_not_found;
mod coalesce_presumed;
mod coalesce_tls_policy;
mod coalesce_wrong_route;
mod code;
mod context;
mod credential_remedy;
mod credential_use;
mod finding;
mod gateway_selects_nothing;
mod guard_detached;
mod guard_foreign;
mod guard_invalid;
mod guard_stale;
mod host_routed_twice;
mod host_unattached;
mod ignores;
mod info;
mod installation;
mod installed_filter;
mod kubectl;
mod listener_rejected;
mod location;
mod overview;
mod parent_listeners;
mod port_unexposed;
mod protection;
mod remedy;
mod report;
mod rewrite;
mod route_unattached;
mod script;
mod secret_missing;
mod server_dropped;
mod server_field;
mod similar_host;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use crate::coalescing;
pub use crate::coalescing::Known;
use crate::coalescing::RemainingPairs;
use crate::{Certificates, Listener, Model, Resources, ServerId, Workload};
pub use code::Code;
use context::Context;
use finding::Findings;
pub use finding::{Finding, LocatedResource, MAX_PAIRS, Pair, PresentedCredential};
use ignores::Ignores;
pub use ignores::{UnknownCode, leave_others_alone, unknown_codes};
pub use info::{Info, Severity};
pub use installed_filter::{InstalledFilter, installed_filters, possible_filters};
pub use location::{ListenerAddress, WorkloadName};
pub use overview::{CheckedListener, CheckedServer};
pub use protection::Protection;
pub use remedy::{
    Command, FilterCode, FilterSource, KeptSettings, PluginReach, ReachedPods, Remedy,
};
pub use report::{Report, Summary};

/// How long before its end a certificate is reported, unless the user chooses another duration: Let's Encrypt
/// and cert-manager renew earlier than that.
pub const EXPIRES_WITHIN: TimeDelta = TimeDelta::days(21);

/// What [`check`] looks at.
#[derive(Clone, Copy, Debug)]
pub struct Input<'i> {
    pub resources: &'i Resources,
    /// The model of these resources.
    pub model: &'i Model,
    /// The contents of their Secrets.
    pub certificates: &'i Certificates,
    /// The time at which certificates must be valid.
    pub now: DateTime<Utc>,
    /// Whether the input contains every Secret of the cluster, so that a missing one does not exist.
    pub has_all_secrets: bool,
    /// Whether the input contains every Gateway of the cluster, of Istio and of the Gateway API.
    pub has_all_gateways: bool,
    /// A certificate that ends within this duration is reported; by default [`EXPIRES_WITHIN`].
    pub expires_within: TimeDelta,
}

/// The searches: one for each kind of finding, and one for the four kinds about connection coalescing.
const SEARCHES: &[fn(&Context<'_>, &mut Findings<'_>)] = &[
    find_coalescing,
    server_dropped::find,
    listener_rejected::find,
    host_unattached::find,
    gateway_selects_nothing::find,
    route_unattached::find,
    host_routed_twice::find,
    port_unexposed::find,
    certificate_expired::find,
    certificate_mismatch::find,
    secret_missing::find,
    certificate_shared::find,
    certificate_expires_soon::find,
    certificate_incomplete::find,
    guard_stale::find,
    guard_detached::find,
    guard_invalid::find,
    guard_foreign::find,
];

/// Finds what is wrong. The time is near-linear in the number of resources.
#[must_use]
pub fn check(input: &Input<'_>) -> Report {
    let ignores = Ignores::new(input.resources);
    let context = Context::new(input);
    let mut findings = Findings::new(&ignores);

    // The order of the searches does not matter: the report sorts the findings.
    for search in SEARCHES {
        search(&context, &mut findings);
    }

    // The page of `--output html` also shows servers without findings.
    let listeners = overview::checked_listeners(&context);
    Report::new(findings, input.resources, &input.model.ignored, listeners)
}

fn find_coalescing(context: &Context<'_>, findings: &mut Findings<'_>) {
    let mut finder = coalesce::CauseFinder::new(context);
    // Without TLS there is no SNI that could differ from the authority.
    for (workload, listener) in context.accepted_tls_listeners() {
        finder.find(workload, listener, findings);
    }
}

/// The groups of servers of a listener that break each other on coalesced connections, directly or through
/// other servers. Pairs that annotations hide do not count, and neither do servers that `is_left_out`
/// returns true for.
pub(crate) fn components(
    resources: &Resources,
    certificates: &Certificates,
    (workload, listener): (&Workload, &Listener),
    is_left_out: &dyn Fn(&ServerId) -> bool,
) -> Vec<Vec<ServerId>> {
    let ignores = Ignores::new(resources);
    // A server whose findings are hidden is also not proposed for a merge.
    coalescing::components(certificates, workload, listener, &|server, defect| {
        is_left_out(server) || ignores.has(&server.resource, defect.into())
    })
}

/// The broken pairs that some servers of a listener take part in, without those that annotations hide.
pub(crate) fn remaining_pairs(
    resources: &Resources,
    certificates: &Certificates,
    (workload, listener): (&Workload, &Listener),
    servers: &BTreeSet<&ServerId>,
) -> RemainingPairs {
    let ignores = Ignores::new(resources);
    RemainingPairs::new(
        certificates,
        workload,
        listener,
        servers,
        &|server, defect| ignores.has(&server.resource, defect.into()),
    )
}
