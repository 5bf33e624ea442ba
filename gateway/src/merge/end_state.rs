//! What a plan changes at its end.
//!
//! The proof of a plan models the resources after each write. Most plans that it would reject have a
//! wrong end, which takes two models to find. So servers that cannot be merged are found here, all of
//! them at once, and the proof is made for the others.

use std::collections::{BTreeMap, BTreeSet};

use super::direct_answer::{DirectAnswer, RouteTables};
use super::listener_id::ListenerId;
use super::proof::{Broken, compared_hosts, possible_hosts, tls_listeners};
use super::state::State;
use super::steps::{Step, StepNumber};
use crate::{Certificates, Listener, Model};

/// The hosts whose answers after the last step are not the ones before the first, or that are served
/// then and were not.
pub(super) fn changed_at_end(
    start: &State,
    (first_model, last_model): (&Model, &Model),
    steps: &[Step],
    certificates: &Certificates,
) -> Vec<Broken> {
    let first: BTreeMap<ListenerId, &Listener> = tls_listeners(first_model).collect();
    let last: BTreeMap<ListenerId, &Listener> = tls_listeners(last_model).collect();
    // A port without routes has no listener, and routes may open it.
    let ids: BTreeSet<&ListenerId> = first.keys().chain(last.keys()).collect();
    let possible = possible_hosts(start, steps);
    let mut changed = Vec::new();
    for id in ids {
        let (before, after) = (
            Answers::new(first.get(id).copied()),
            Answers::new(last.get(id).copied()),
        );
        let states = [before.listener, after.listener];
        for host in compared_hosts(states.into_iter().flatten(), &possible) {
            let before = before.answer(&host, certificates);
            let after = after.answer(&host, certificates);
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
    changed
}

/// The answers of a listener in one state; without a listener, clients cannot connect.
struct Answers<'m> {
    listener: Option<&'m Listener>,
    tables: RouteTables<'m>,
}

impl<'m> Answers<'m> {
    fn new(listener: Option<&'m Listener>) -> Self {
        Self {
            listener,
            tables: listener.map(RouteTables::new).unwrap_or_default(),
        }
    }

    fn answer(&self, host: &str, certificates: &Certificates) -> DirectAnswer {
        self.listener.map_or_else(DirectAnswer::reset, |listener| {
            DirectAnswer::new(listener, &self.tables, host, certificates)
        })
    }
}
