//! The model of gateways against istiod: every case in `gateways/` is applied to an API server, and
//! Envoy's configuration is compared with the model's.
//!
//! Cases are about the ports 443 and 8443 and the namespaces of a whole cluster, so each share of
//! them has a cluster and a network of its own: this program, run once more by `unshare`.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use packager::gateway::listener::Service;
use packager::gateway::{FilterChain, Listener, Workload};
use serde_json::Value;
use tests::gateways::{Applied, Case, cases};
use tests::istio::{Pod, Stack};

/// Filter chains, virtual hosts and rejections, a line each.
pub(super) type Lines = BTreeSet<String>;

/// How many clusters share the cases; they mostly wait.
const SHARES: usize = 4;

/// The share of a run, from 0.
const SHARE: &str = "MODEL_SHARE";

#[test]
fn istiod_makes_what_the_model_says() {
    let runs: Vec<Child> = (0..SHARES).map(run_share).collect();
    let ended = runs.into_iter().map(|mut run| run.wait().unwrap());
    let failed = ended.filter(|status| !status.success()).count();
    assert_eq!(failed, 0, "shares of the cases in which istiod and the model differ");
}

/// Runs the test below in namespaces of its own; all that it starts ends with it.
fn run_share(share: usize) -> Child {
    let test = "model::in_a_network_of_its_own";
    Command::new("unshare")
        .args(["--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args([
            "sh",
            "-c",
            "ip link set lo up && ip address add 10.0.0.1/32 dev lo && exec \"$0\" \"$@\"",
        ])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(SHARE, share.to_string())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "istiod_makes_what_the_model_says runs it"]
fn in_a_network_of_its_own() {
    let share: usize = env::var(SHARE).unwrap().parse().unwrap();
    let stack = Stack::start().unwrap();
    let mut pods = Pods { stack: &stack, running: BTreeMap::new() };
    let mut differences = Vec::new();
    let mut compared = 0;
    for (_, case) in cases().unwrap().iter().enumerate().filter(|(n, _)| n % SHARES == share) {
        differences.extend(pods.check(case));
        compared += 1;
    }
    println!("share {share}: {compared} cases");
    assert!(compared > 10, "{compared}");
    assert!(differences.is_empty(), "{differences:#?}");
}

/// The pods that run, by namespace and labels.
struct Pods<'s> {
    stack: &'s Stack,
    running: BTreeMap<(String, BTreeMap<String, String>), Pod>,
}

impl Pods<'_> {
    /// Applies a case, and tells in what istiod and the model differ.
    fn check(&mut self, case: &Case) -> Vec<String> {
        // Istio 1.31 knows it no more.
        let case = &case.without("XListenerSet").unwrap();
        let kubectl = self.stack.kubectl();
        let applied = match Applied::apply(case, kubectl) {
            Ok(applied) => applied,
            Err(error) => return vec![format!("{}: {error:#}", case.name)],
        };
        let mut differences = Vec::new();
        // Nobody runs the pods of a Service that there is not.
        let is_there = |workload: &&Workload| !workload.name.starts_with("Service ");
        for workload in case.model.workloads.iter().filter(is_there) {
            let expected = of_model(workload);
            let found = wait(self.of(workload), &expected);
            let told =
                |whose, line| format!("{} {}: {whose}: {line}", case.name, workload.full_name());
            let of_model = expected.difference(&found).map(|line| told("the model", line));
            let of_istiod = found.difference(&expected).map(|line| told("istiod", line));
            differences.extend(of_model.chain(of_istiod));
        }
        applied.delete(kubectl).unwrap();
        for pod in self.running.values() {
            let left = wait(pod, &Lines::new());
            assert!(left.is_empty(), "{} is deleted: {left:#?}", case.name);
        }
        differences
    }

    fn of(&mut self, workload: &Workload) -> &Pod {
        let key = (workload.namespace.clone(), workload.labels.clone());
        let name = format!("gateway-{}", self.running.len());
        self.running.entry(key).or_insert_with(|| {
            Pod::start_labelled(self.stack, &workload.namespace, &name, &workload.labels).unwrap()
        })
    }
}

/// What Envoy has, once that is what is expected or time is up.
pub(super) fn wait(pod: &Pod, expected: &Lines) -> Lines {
    let start = Instant::now();
    loop {
        let found = of_envoy(pod);
        if found == *expected || start.elapsed() > Duration::from_secs(5) {
            return found;
        }
        sleep(Duration::from_millis(50));
    }
}

pub(super) fn of_model(workload: &Workload) -> Lines {
    let mut lines = Lines::new();
    for listener in workload.listeners.iter().filter(|listener| listener.is_tls()) {
        lines.extend(listener.chains.iter().flat_map(|chain| of_chain(listener, chain)));
        if listener.is_rejected() {
            lines.insert(format!("{} rejected", listener.name()));
        }
    }
    lines
}

fn of_chain(listener: &Listener, chain: &FilterChain) -> Lines {
    let name = listener.name();
    let names = joined(chain.server_names.iter().map(ToString::to_string));
    let Service::Https(table) = &chain.service else {
        return Lines::from([format!("{name} forward = {names}")]);
    };
    let mut lines = Lines::from([format!("{name} {} = {names}", chain.name)]);
    if !listener.is_rejected() {
        lines.extend(table.virtual_hosts.iter().map(|host| {
            let domains = joined(host.domains.iter().map(ToString::to_string));
            format!("{} {} = {domains}", chain.name, host.name)
        }));
    }
    lines
}

fn joined(names: impl Iterator<Item = String>) -> String {
    names.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
}

fn of_envoy(pod: &Pod) -> Lines {
    let dump: Value = serde_json::from_str(&pod.admin("/config_dump").unwrap()).unwrap();
    let mut lines = Lines::new();
    let mut tables = BTreeMap::new();
    for config in list(&dump, "/configs") {
        for route in list(config, "/dynamic_route_configs") {
            let table = route.pointer("/route_config").unwrap();
            tables.insert(text(table, "/name"), table);
        }
    }
    for config in list(&dump, "/configs") {
        for listener in list(config, "/dynamic_listeners") {
            lines.extend(of_listener(listener, &tables));
        }
    }
    lines
}

fn of_listener(dynamic: &Value, tables: &BTreeMap<String, &Value>) -> Lines {
    let mut lines = Lines::new();
    // One that Envoy refuses may replace another, which stays in force until Envoy ends.
    let states =
        ["/error_state/failed_configuration", "/warming_state/listener", "/active_state/listener"];
    let Some(listener) = states.iter().find_map(|state| dynamic.pointer(state)) else {
        return lines;
    };
    let name = text(listener, "/name");
    let details = text(dynamic, "/error_state/details");
    if details.contains("matching rules") {
        lines.insert(format!("{name} rejected"));
    } else if !details.is_empty() {
        lines.insert(format!("{name} error {details}"));
    }
    let chains = list(listener, "/filter_chains");
    for chain in chains.filter(|_| text(listener, "/traffic_direction") == "OUTBOUND") {
        let names = list(chain, "/filter_chain_match/server_names");
        // Envoy does not care, as the suite `gateways_envoy` shows.
        let names = joined(names.map(|name| name.as_str().unwrap().to_ascii_lowercase()));
        let names = if names.is_empty() { "*".into() } else { names };
        let is_tls = chain.pointer("/transport_socket").is_some() || names != "*";
        if !is_tls {
            continue;
        }
        let table = list(chain, "/filters")
            .map(|filter| text(filter, "/typed_config/rds/route_config_name"))
            .find(|name| !name.is_empty());
        let Some(table) = table else {
            lines.insert(format!("{name} forward = {names}"));
            continue;
        };
        lines.insert(format!("{name} {table} = {names}"));
        if !details.is_empty() {
            continue;
        }
        for host in tables.get(&table).into_iter().flat_map(|table| list(table, "/virtual_hosts")) {
            let domains = joined(list(host, "/domains").map(|d| d.as_str().unwrap().to_owned()));
            lines.insert(format!("{table} {} = {domains}", text(host, "/name")));
        }
    }
    lines
}

fn list<'v>(value: &'v Value, path: &str) -> impl Iterator<Item = &'v Value> {
    value.pointer(path).and_then(Value::as_array).into_iter().flatten()
}

fn text(value: &Value, path: &str) -> String {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}
