//! A snapshot gives the answers of the model, after any writes.

mod inputs;

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::baseline::{Baseline, ListenersById, listeners_by_id};
use super::change::{Change, Original};
use super::snapshot::Snapshot;
use super::{DirectAnswer, Method, Proof, Strictness};
use crate::merge::direct_answer::RouteTables;
use crate::merge::listener_id::ListenerId;
use crate::merge::state::State;
use crate::merge::write::{Edit, Write};
use crate::merge::{Input, Strategy as MergeStrategy, merge};
use crate::resources::Kind;
use crate::{Certificates, Model};
use inputs::{gateway, intent, server_manifest, service, state, steps, writes};

/// The listeners and route tables of one state, as its model has them.
struct Reference<'m> {
    listeners: ListenersById<'m>,
    tables: HashMap<ListenerId, RouteTables<'m>>,
}

impl<'m> Reference<'m> {
    fn new(model: &'m Model) -> Self {
        let listeners = listeners_by_id(model);
        let tables = listeners
            .iter()
            .map(|(id, listener)| (id.clone(), RouteTables::new(listener)))
            .collect();
        Self { listeners, tables }
    }

    /// The answer of the chains of this state with the tables of another.
    fn answer(&self, tables: &Self, id: &ListenerId, host: &str) -> DirectAnswer {
        let none = RouteTables::default();
        self.listeners
            .get(id)
            .map_or_else(DirectAnswer::reset, |listener| {
                let tables = tables.tables.get(id).unwrap_or(&none);
                DirectAnswer::new(listener, tables, host, &Certificates::default())
            })
    }
}

/// Compares snapshots with models after each write, for all hosts and all combinations of chains and
/// route tables. Returns how many writes the snapshots support.
fn compare(start: &State, writes: &[Write]) -> usize {
    let certificates = Certificates::default();
    let mut state = start.clone();
    let mut model = state.model();
    let steps = steps(writes, 1);
    let baseline = Baseline::new(start, &model, &steps, &certificates);
    let mut snapshot = Snapshot::new(&state, &model);
    let mut supported = 0;
    for write in writes {
        let original = Original::new(&state, write);
        state.apply(write).unwrap();
        let model_after = state.model();
        let found = snapshot.as_ref().and_then(|before| {
            let change = Change::new(before, &original, write, &state)?;
            let mut after = before.clone();
            after.apply(&change)?;
            Some((before, change, after))
        });
        let Some((before, change, after)) = found else {
            snapshot = Snapshot::new(&state, &model_after);
            model = model_after;
            continue;
        };
        supported += 1;
        let changed = baseline.changed_hosts(&change, before, &after);
        let old = (before, Reference::new(&model));
        let new = (&after, Reference::new(&model_after));
        for (id, answers) in &baseline.answers {
            for host in answers.keys() {
                let present = old.1.answer(&old.1, id, host);
                for (chains, tables) in [(&old, &old), (&new, &new), (&old, &new), (&new, &old)] {
                    let answer = chains.0.answer(tables.0, id, host, &certificates);
                    let expected = chains.1.answer(&tables.1, id, host);
                    assert_eq!(answer, expected, "{host} after {write:?}");
                    // A proof compares only the hosts that a change is about.
                    if !changed.contains(&(id, host.as_str())) {
                        assert_eq!(answer, present, "{host} after {write:?}");
                    }
                }
            }
        }
        snapshot = Some(after);
        model = model_after;
    }
    supported
}

/// istiod compares a host only with the last server that has it. So the server on another address hides that
/// two servers have a host in common, and istiod drops one of them when it is deleted.
#[test]
fn a_server_on_another_address_hides_a_common_host() {
    let mut gateway = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": { "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "selector": { "istio": "shop" } },
    });
    let hosts = ["*.com".to_owned()];
    gateway["spec"]["servers"] = json!([
        server_manifest(0, "HTTPS", &hosts),
        server_manifest(1, "address", &hosts),
        server_manifest(2, "HTTPS", &hosts),
    ]);
    let start = state(&[gateway], &[]);
    let old = server_manifest(1, "address", &hosts);
    let path = "/spec/servers/1".to_owned();
    let write = Write::Patch {
        resource: start.resources().gateways[0]
            .metadata
            .resource(Kind::Gateway),
        edits: vec![Edit::Remove { path, old }],
    };
    assert_eq!(compare(&start, &[write]), 0);
}

/// The writes of a plan are of the kinds that snapshots support, so its proof needs a few models only.
#[test]
fn a_snapshot_supports_all_writes_of_a_plan() {
    let gateways: Vec<Value> = (1..6)
        .map(|age| {
            json!({
                "apiVersion": "networking.istio.io/v1",
                "kind": "Gateway",
                "metadata": {
                    "namespace": format!("team-{age}"),
                    "creationTimestamp": format!("2026-01-0{age}T00:00:00Z"),
                },
                "spec": {
                    "selector": { "istio": "ingressgateway" },
                    "servers": [server_manifest(0, "HTTPS", &[format!("h{}.example.com", age - 1)])],
                },
            })
        })
        .collect();
    let services: Vec<Value> = (0..5)
        .map(|index| {
            json!({
                "apiVersion": "networking.istio.io/v1",
                "kind": "VirtualService",
                "metadata": { "namespace": "shop" },
                "spec": {
                    "hosts": [format!("h{index}.example.com")],
                    "gateways": [format!("team-{}/g{index}", index + 1)],
                    "http": [{ "route": [] }],
                },
            })
        })
        .collect();
    let start = state(&gateways, &services);
    // istiod drops servers at the step `move-hosts` of the short plan, so that write needs a model.
    for (strategy, unsupported) in [(MergeStrategy::Seamless, 0), (MergeStrategy::Short, 1)] {
        let outlook = merge(&Input {
            start: &start,
            certificates: &Certificates::default(),
            strategy,
            may_assume_certificates: true,
            left_out: &[],
        });
        let writes: Vec<Write> = outlook
            .plans
            .iter()
            .flat_map(|plan| &plan.steps)
            .flat_map(|step| step.writes.clone())
            .collect();
        assert!(writes.len() > 10, "{outlook:?}");
        assert_eq!(compare(&start, &writes), writes.len() - unsupported);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_snapshot_has_the_answers_of_the_model(
        gateways in vec(gateway(), 1..5),
        services in vec(service(), 1..5),
        intents in vec(intent(), 1..8),
    ) {
        let start = state(&gateways, &services);
        compare(&start, &writes(&start, &intents));
    }

    #[test]
    fn both_methods_prove_the_same(
        gateways in vec(gateway(), 1..5),
        services in vec(service(), 1..5),
        intents in vec(intent(), 1..8),
        size in 1..4_usize,
    ) {
        let start = state(&gateways, &services);
        let steps = steps(&writes(&start, &intents), size);
        let certificates = Certificates::new(start.resources());
        for strictness in [Strictness::Steady, Strictness::Transient] {
            let proof = Proof::new(&start, &steps, &certificates, strictness);
            prop_assert_eq!(proof.run(Method::Changes), proof.run(Method::Models));
        }
    }
}
