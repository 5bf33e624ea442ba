//! Random inputs, and random writes to them.

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use crate::Resources;
use crate::documents::read;
use crate::merge::state::State;
use crate::merge::steps::{Step, StepKind};
use crate::merge::write::{Edit, Write};
use crate::resources::{Kind, ResourceName};

const HOSTS: [&str; 9] = [
    "*", "*.com", "*.b.com", "a.com", "A.com", "x.b.com", "b.com", "c.b.com", "1.2.3.4",
];

/// What a server is, apart from its hosts. Most servers terminate HTTPS.
const SERVERS: [&str; 8] = [
    "HTTPS", "HTTPS", "HTTPS", "HTTPS", "HTTPS", "address", "TLS", "HTTP",
];

/// A change, before the values that it replaces are known.
#[derive(Clone, Debug)]
pub(super) enum Intent {
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

pub(super) fn gateway() -> impl Strategy<Value = Value> {
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

pub(super) fn server_manifest(index: usize, kind: &str, hosts: &[String]) -> Value {
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

pub(super) fn service() -> impl Strategy<Value = Value> {
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

pub(super) fn intent() -> impl Strategy<Value = Intent> {
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

pub(super) fn state(gateways: &[Value], services: &[Value]) -> State {
    let mut text = String::new();
    for (prefix, manifests) in [("g", gateways), ("v", services)] {
        for (index, manifest) in manifests.iter().enumerate() {
            let mut manifest = manifest.clone();
            manifest["metadata"]["name"] = json!(format!("{prefix}{index}"));
            writeln!(text, "{manifest}\n---").unwrap();
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
pub(super) fn writes(start: &State, intents: &[Intent]) -> Vec<Write> {
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

pub(super) fn steps(writes: &[Write], size: usize) -> Vec<Step> {
    writes
        .chunks(size)
        .map(|writes| Step {
            kind: StepKind::BindRoutes,
            purpose: String::new(),
            writes: writes.to_vec(),
        })
        .collect()
}
