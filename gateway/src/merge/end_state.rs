//! What a plan changes at its end.
//!
//! The proof of a plan models the resources after each write. Most plans that it would reject have a
//! wrong end, which takes two models to find. So servers that cannot be merged are found here, all of
//! them at once, and the proof is made for the others.

use std::collections::HashMap;

use rule::HostPattern;

use super::direct_answer::{DirectAnswer, RouteTables};
use super::listener_id::ListenerId;
use super::proof::{Broken, added_hosts, tls_listeners};
use super::state::State;
use super::steps::{Step, StepNumber};
use super::write::Inapplicable;
use crate::listener::sample_hosts;
use crate::{Certificates, Listener, Model};

/// The hosts whose answers after the last step are not the ones before the first, or that are served
/// then and were not.
pub(super) fn changed_at_end(
    start: &State,
    first_model: &Model,
    steps: &[Step],
    certificates: &Certificates,
) -> Result<Vec<Broken>, Inapplicable> {
    let mut state = start.clone();
    for write in steps.iter().flat_map(|step| &step.writes) {
        state.apply(write)?;
    }
    let last_model = state.model();
    let last: HashMap<ListenerId, &Listener> = tls_listeners(&last_model).collect();
    let added = added_hosts(steps);
    let mut changed = Vec::new();
    for (id, listener) in tls_listeners(first_model) {
        // A host for each server name and domain: all other hosts have the answer of one of these.
        let mut patterns: Vec<HostPattern> = added.clone();
        for chain in &listener.chains {
            patterns.extend_from_slice(&chain.server_names);
            patterns.extend(chain.domains().cloned());
        }
        let tables = RouteTables::new(listener);
        let last_listener = last.get(&id).copied();
        let last_tables = last_listener.map(RouteTables::new).unwrap_or_default();
        for host in sample_hosts(&patterns) {
            let before = DirectAnswer::new(listener, &tables, &host, certificates);
            // Without its last server, Envoy closes the listener.
            let after = last_listener.map_or_else(DirectAnswer::reset, |listener| {
                DirectAnswer::new(listener, &last_tables, &host, certificates)
            });
            let is_newly_served = !before.is_served() && after.is_served();
            if !before.is_kept_by(&after) || is_newly_served {
                changed.push(Broken {
                    listener: id.clone(),
                    host,
                    step: StepNumber(steps.len()),
                    before,
                    after,
                    is_transient: false,
                });
            }
        }
    }
    Ok(changed)
}
