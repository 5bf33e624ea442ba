//! A snapshot gives the answers of the model, after any writes.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use super::baseline::{Baseline, ListenersById, listeners_by_id};
use super::change::{Change, Original};
use super::snapshot::Snapshot;
use super::{DirectAnswer, Method, Proof, Strictness};
use crate::documents::read;
use crate::merge::direct_answer::RouteTables;
use crate::merge::listener_id::ListenerId;
use crate::merge::state::State;
use crate::merge::steps::{Step, StepKind};
use crate::merge::write::{Edit, Write};
use crate::merge::{Input, Strategy as MergeStrategy, merge};
use crate::resources::{Kind, ResourceName};
use crate::{Certificates, Model, Resources};

const HOSTS: [&str; 9] = [
    "*", "*.com", "*.b.com", "a.com", "A.com", "x.b.com", "b.com", "c.b.com", "1.2.3.4",
];

/// What a server is, apart from its hosts. Most servers terminate HTTPS.
const SERVERS: [&str; 8] = [
    "HTTPS", "HTTPS", "HTTPS", "HTTPS", "HTTPS", "address", "TLS", "HTTP",
];

/// A change, before the values that it replaces are known.
#[derive(Clone, Debug)]
enum Intent {
    Hosts(Index, Index, Vec<String>),
    Certificate(Index, Index),
    RemoveServer(Index, Index),
    DeleteGateway(Index),
    Bind(Index, Vec<usize>),
    BindRules(Index, usize),
}

fn server_host() -> impl Strategy<Value = String> {
    let prefix = select(vec!["", "", "", "", "./", "*/", "shop/"]);
    (prefix, select(HOSTS.to_vec())).prop_map(|(prefix, host)| format!("{prefix}{host}"))
}

fn gateway() -> impl Strategy<Value = Value> {
    let server = (select(SERVERS.to_vec()), vec(server_host(), 1..3));
    (
        1..4_u8,
        select(vec!["shop", "shop", "istio-system"]),
        select(vec!["shop", "shop", "shop", "other"]),
        vec(server, 1..4),
    )
        .prop_map(|(age, namespace, selector, servers)| {
            let servers: Vec<Value> = servers
                .iter()
                .enumerate()
                .map(|(index, (kind, hosts))| server_manifest(index, kind, hosts))
                .collect();
            json!({
                "apiVersion": "networking.istio.io/v1",
                "kind": "Gateway",
                "metadata": {
                    "namespace": namespace,
                    "creationTimestamp": format!("2026-01-0{age}T00:00:00Z"),
                },
                "spec": { "selector": { "istio": selector }, "servers": servers },
            })
        })
}

fn server_manifest(index: usize, kind: &str, hosts: &[String]) -> Value {
    let mut server = json!({
        "port": { "number": 443, "name": format!("port-{index}"), "protocol": "HTTPS" },
        "hosts": hosts,
        "tls": { "mode": "SIMPLE", "credentialName": "w" },
    });
    match kind {
        "address" => server["bind"] = json!("127.0.0.1"),
        "TLS" => {
            server["port"]["protocol"] = json!("TLS");
            server["tls"] = json!({ "mode": "PASSTHROUGH" });
        }
        "HTTP" => {
            server["port"] = json!({ "number": 80, "name": "http", "protocol": "HTTP" });
            server.as_object_mut().unwrap().remove("tls");
        }
        _ => {}
    }
    server
}

fn service() -> impl Strategy<Value = Value> {
    (
        select(vec!["shop", "istio-system"]),
        vec(select(HOSTS.to_vec()), 0..3),
        vec(0..5_usize, 1..3),
        select(vec!["plain", "plain", "plain", "match", "delegate", "tls"]),
    )
        .prop_map(|(namespace, hosts, gateways, kind)| {
            let hosts: Vec<&str> = hosts
                .into_iter()
                .filter(|host| *host != "1.2.3.4")
                .collect();
            let mut spec = json!({ "hosts": hosts, "gateways": references(&gateways) });
            spec["http"] = match kind {
                "match" => {
                    json!([{ "match": [{ "gateways": references(&gateways) }], "route": [] }])
                }
                "delegate" => json!([{ "delegate": { "name": "v0", "namespace": "shop" } }]),
                _ => json!([{ "route": [] }]),
            };
            if kind == "tls" {
                spec["tls"] = json!([{
                    "match": [{ "sniHosts": ["x.b.com"] }],
                    "route": [{ "destination": { "host": "backend.shop.svc.cluster.local" } }],
                }]);
            }
            json!({
                "apiVersion": "networking.istio.io/v1",
                "kind": "VirtualService",
                "metadata": { "namespace": namespace },
                "spec": spec,
            })
        })
}

/// References to Gateways of both namespaces.
fn references(gateways: &[usize]) -> Vec<String> {
    gateways
        .iter()
        .flat_map(|index| [format!("shop/g{index}"), format!("istio-system/g{index}")])
        .collect()
}

fn intent() -> impl Strategy<Value = Intent> {
    let index = any::<Index>;
    prop_oneof![
        4 => (index(), index(), vec(server_host(), 1..3)).prop_map(|(a, b, c)| Intent::Hosts(a, b, c)),
        1 => (index(), index()).prop_map(|(a, b)| Intent::Certificate(a, b)),
        2 => (index(), index()).prop_map(|(a, b)| Intent::RemoveServer(a, b)),
        2 => index().prop_map(Intent::DeleteGateway),
        4 => (index(), vec(0..5_usize, 1..3)).prop_map(|(a, b)| Intent::Bind(a, b)),
        1 => (index(), 0..5_usize).prop_map(|(a, b)| Intent::BindRules(a, b)),
    ]
}

fn state(gateways: &[Value], services: &[Value]) -> State {
    let mut text = String::new();
    for (prefix, manifests) in [("g", gateways), ("v", services)] {
        for (index, manifest) in manifests.iter().enumerate() {
            let mut manifest = manifest.clone();
            manifest["metadata"]["name"] = json!(format!("{prefix}{index}"));
            text += &format!("{manifest}\n---\n");
        }
    }
    let mut resources = Resources::with_manifests();
    assert_eq!(read("input.yaml", &text, &mut resources), []);
    State::new(resources)
}

/// The write of an intent in a state; `None` if the state has nothing to change.
fn write(intent: &Intent, state: &State) -> Option<Write> {
    let resources = state.resources();
    let gateway = |index: &Index| -> Option<(ResourceName, Value)> {
        let gateways = &resources.gateways;
        if gateways.is_empty() {
            return None;
        }
        let resource = index.get(gateways).metadata.resource(Kind::Gateway);
        let manifest = state.manifest(&resource)?.clone();
        Some((resource, manifest))
    };
    let service = |index: &Index| -> Option<(ResourceName, Value)> {
        let services = &resources.virtual_services;
        if services.is_empty() {
            return None;
        }
        let resource = index.get(services).metadata.resource(Kind::VirtualService);
        let manifest = state.manifest(&resource)?.clone();
        Some((resource, manifest))
    };
    let server = |manifest: &Value, index: &Index| {
        let count = manifest["spec"]["servers"].as_array().unwrap().len();
        (count, format!("/spec/servers/{}", index.index(count)))
    };
    match intent {
        Intent::Hosts(index, position, hosts) => {
            let (resource, manifest) = gateway(index)?;
            let (_, path) = server(&manifest, position);
            Some(replace(
                resource,
                &manifest,
                &format!("{path}/hosts"),
                json!(hosts),
            ))
        }
        Intent::Certificate(index, position) => {
            let (resource, manifest) = gateway(index)?;
            let (_, path) = server(&manifest, position);
            let path = format!("{path}/tls");
            manifest.pointer(&path)?;
            let tls = json!({ "mode": "MUTUAL", "credentialName": "other" });
            Some(replace(resource, &manifest, &path, tls))
        }
        Intent::RemoveServer(index, position) => {
            let (resource, manifest) = gateway(index)?;
            let (count, path) = server(&manifest, position);
            if count == 1 {
                return None;
            }
            let old = manifest.pointer(&path)?.clone();
            Some(Write::Patch {
                resource,
                edits: vec![Edit::Remove { path, old }],
            })
        }
        Intent::DeleteGateway(index) => {
            let (resource, manifest) = gateway(index)?;
            Some(Write::Delete { resource, manifest })
        }
        Intent::Bind(index, gateways) => {
            let (resource, manifest) = service(index)?;
            let new = json!(references(gateways));
            Some(replace(resource, &manifest, "/spec/gateways", new))
        }
        Intent::BindRules(index, gateway) => {
            let (resource, manifest) = service(index)?;
            let rules =
                json!([{ "match": [{ "gateways": references(&[*gateway]) }], "route": [] }]);
            Some(replace(resource, &manifest, "/spec/http", rules))
        }
    }
}

fn replace(resource: ResourceName, manifest: &Value, path: &str, new: Value) -> Write {
    Write::Patch {
        resource,
        edits: vec![Edit::Replace {
            path: path.to_owned(),
            old: manifest.pointer(path).unwrap().clone(),
            new,
        }],
    }
}

/// The writes of intents, each in the state after the previous one.
fn writes(start: &State, intents: &[Intent]) -> Vec<Write> {
    let mut state = start.clone();
    let mut writes = Vec::new();
    for intent in intents {
        if let Some(write) = write(intent, &state) {
            state.apply(&write).unwrap();
            writes.push(write);
        }
    }
    writes
}

fn steps(writes: Vec<Write>, size: usize) -> Vec<Step> {
    writes
        .chunks(size)
        .map(|writes| Step {
            kind: StepKind::BindRoutes,
            purpose: String::new(),
            writes: writes.to_vec(),
        })
        .collect()
}

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
    let steps = steps(writes.to_vec(), 1);
    let baseline = Baseline::new(&model, &steps, &certificates);
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

/// The writes of a plan are of the kinds that snapshots support, so its proof needs two models.
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
    let outlook = merge(&Input {
        start: &start,
        certificates: &Certificates::default(),
        strategy: MergeStrategy::Seamless,
        may_assume_certificates: true,
    });
    let writes: Vec<Write> = outlook
        .plans
        .iter()
        .flat_map(|plan| &plan.steps)
        .flat_map(|step| step.writes.clone())
        .collect();
    assert!(writes.len() > 15, "{outlook:?}");
    assert_eq!(compare(&start, &writes), writes.len());
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
        let steps = steps(writes(&start, &intents), size);
        let certificates = Certificates::new(start.resources());
        for strictness in [Strictness::Steady, Strictness::Transient] {
            let proof = Proof::new(&start, &steps, &certificates, strictness);
            prop_assert_eq!(proof.run(Method::Changes), proof.run(Method::Models));
        }
    }
}
