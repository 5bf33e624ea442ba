//! What is wrong with the gateways of an input: each module finds one kind of thing.
//!
//! [`check`] is a function of what was read and of the time. The module `coalesce` reports what
//! `coalescing` finds: which host breaks which other when a client reuses a connection.

mod catalogue;
mod certificates;
mod coalesce;
mod code;
mod dropped;
mod finding;
mod guards;
mod ignores;
mod overview;
mod rejected;
mod unattached;

use chrono::{DateTime, Utc};

use crate::coalescing;
pub use crate::coalescing::Known;
use crate::{Certificates, Listener, Model, Resources, ServerId, Workload};
pub use catalogue::Documentation;
pub use code::{Code, Severity};
use finding::Findings;
pub use finding::{Finding, Group, Report, Summary};
use ignores::Ignores;
pub use ignores::{UnknownCode, unknown_codes};
pub use overview::{CheckedListener, CheckedServer};

/// What is checked.
#[derive(Clone, Copy, Debug)]
pub struct Input<'i> {
    /// The resources.
    pub resources: &'i Resources,
    /// What istiod makes of them.
    pub model: &'i Model,
    /// What is in their Secrets.
    pub certificates: &'i Certificates,
    /// The time at which certificates are to be valid.
    pub now: DateTime<Utc>,
    /// Whether a Secret that is not in the input is not in the cluster either.
    pub has_all_secrets: bool,
}

/// Finds what is wrong. This is near-linear in the number of resources.
#[must_use]
pub fn check(input: &Input<'_>) -> Report {
    let ignores = Ignores::of(input.resources);
    let mut findings = Findings::new(&ignores);
    let mut coalesced = coalesce::Finder::new(input);
    for workload in &input.model.workloads {
        for listener in workload
            .listeners
            .iter()
            .filter(|listener| listener.is_tls())
        {
            if listener.is_rejected() {
                rejected::find(workload, listener, &mut findings);
                continue;
            }
            coalesced.find(workload, listener, &mut findings);
            unattached::find(workload, listener, &mut findings);
        }
        dropped::find(workload, &mut findings);
    }
    dropped::find_unprogrammed(input.model, &mut findings);
    certificates::find(input, &mut findings);
    guards::find(input, &mut findings);
    findings.into_report(input.resources, overview::listeners(input.model))
}

/// The servers of a listener that break each other when clients reuse connections, directly or by way
/// of others: those that had better be one. What annotations leave out does not count.
#[must_use]
pub fn components(
    resources: &Resources,
    certificates: &Certificates,
    workload: &Workload,
    listener: &Listener,
) -> Vec<Vec<ServerId>> {
    let ignores = Ignores::of(resources);
    coalescing::components(certificates, workload, listener, &|server, defect| {
        ignores.has(&server.resource, defect.into())
    })
}
