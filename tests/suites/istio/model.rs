//! The model of gateways against istiod: every case in `gateways/` is applied to an API server, then
//! random inputs, and Envoy's configuration is compared with the model's. `SEEDS=17` or
//! `SEEDS=0-99` has it look at such random inputs alone.
//!
//! Cases are about the ports 443 and 8443 and the namespaces of a whole cluster, so each share of
//! them has a cluster and a network of its own: this program, run once more by `unshare`.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use gateway::documents::read;
use gateway::listener::ChainKind;
use gateway::{FilterChain, Listener, Model, Resources, Workload};
use serde_json::{Value, json};
use tests::gateways::{Applied, Case, NAMESPACES, RandomInput, cases};
use tests::istio::{Kubectl, Pod, Stack, istio_file};

/// Filter chains, virtual hosts and rejections, a line each.
pub(super) type Lines = BTreeSet<String>;

/// How many clusters share the cases; they mostly wait.
const SHARES: usize = 4;

/// The share of a run, from 0.
const SHARE: &str = "MODEL_SHARE";

/// How many random inputs are looked at.
const RANDOM: u64 = 100;

/// The random inputs to look at alone.
const SEEDS: &str = "SEEDS";

#[test]
fn istiod_makes_what_the_model_says() {
    let runs: Vec<Child> = (0..SHARES).map(run_share).collect();
    let ended = runs.into_iter().map(|mut run| run.wait().unwrap());
    let failed = ended.filter(|status| !status.success()).count();
    assert_eq!(
        failed, 0,
        "shares of the cases in which istiod and the model differ"
    );
}

/// Runs the test below in namespaces of its own; all that it starts ends with it.
fn run_share(share: usize) -> Child {
    let test = "model::in_a_network_of_its_own";
    Command::new("unshare")
        .args([
            "--map-root-user",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
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
    let mut pods = Pods {
        stack: &stack,
        running: BTreeMap::new(),
    };
    let mut differences = Vec::new();
    let mut compared = 0;
    let only = env::var(SEEDS).ok().map(|seeds| {
        let (first, last) = seeds.split_once('-').unwrap_or((&seeds, &seeds));
        first.parse::<u64>().unwrap()..=last.parse().unwrap()
    });
    let cases = if only.is_some() {
        Vec::new()
    } else {
        cases().unwrap()
    };
    for (_, case) in cases
        .iter()
        .enumerate()
        .filter(|(n, _)| n % SHARES == share)
    {
        differences.extend(pods.check(case));
        compared += 1;
    }
    println!("share {share}: {compared} cases");
    assert!(compared > 10 || only.is_some(), "{compared}");
    let gateways = pods.prepare();
    let seeds = only.unwrap_or(0..=RANDOM - 1);
    let (start, mut compared, mut lines) = (Instant::now(), 0, 0);
    for seed in seeds.filter(|seed| seed % SHARES as u64 == share as u64) {
        let (found, differing) = pods.check_random(seed, &gateways);
        differences.extend(differing);
        compared += 1;
        lines += found;
    }
    let took = start.elapsed();
    println!("share {share}: {compared} random inputs, {lines} chains and hosts, {took:?}");
    assert!(differences.is_empty(), "{differences:#?}");
}

/// What is compared is what could be there: Istio's own validation takes every random input.
#[test]
fn istio_accepts_the_random_inputs() {
    let inputs = (0..RANDOM).flat_map(|seed| RandomInput::new(seed).batches);
    let resources = inputs
        .flatten()
        .filter(|resource| text(resource, "/kind") != "Service");
    let all: Vec<String> = resources.map(|resource| resource.to_string()).collect();
    assert!(all.len() > 500, "{}", all.len());
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    fs::write(file.path(), all.join("\n---\n")).unwrap();
    let mut command = Command::new(istio_file("istioctl").unwrap());
    let output = command
        .args(["validate", "-f"])
        .arg(file.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The pods that run, by namespace and labels.
struct Pods<'s> {
    stack: &'s Stack,
    running: BTreeMap<(String, BTreeMap<String, String>), Pod>,
}

impl Pods<'_> {
    /// Applies a case, and returns the differences between istiod and the model.
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
            let prefixed =
                |whose, line| format!("{} {}: {whose}: {line}", case.name, workload.full_name());
            let of_model = expected
                .difference(&found)
                .map(|line| prefixed("the model", line));
            let of_istiod = found
                .difference(&expected)
                .map(|line| prefixed("istiod", line));
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
        self.start(&workload.namespace, &workload.labels)
    }

    fn start(&mut self, namespace: &str, labels: &BTreeMap<String, String>) -> &Pod {
        let key = (namespace.to_owned(), labels.clone());
        let name = format!("gateway-{}", self.running.len());
        self.running
            .entry(key)
            .or_insert_with(|| Pod::start_labelled(self.stack, namespace, &name, labels).unwrap())
    }

    /// Makes what random inputs are about: namespaces, and pods in two of them, whose namespaces and
    /// labels it returns.
    fn prepare(&mut self) -> [(String, BTreeMap<String, String>); 2] {
        for name in NAMESPACES {
            let namespace =
                json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
            self.stack.kubectl().apply(&namespace.to_string()).unwrap();
        }
        let home = BTreeMap::from([("istio".to_owned(), "ingressgateway".to_owned())]);
        let mut other = home.clone();
        other.insert("app".into(), "edge".into());
        self.start("istio-system", &home);
        self.start("shop", &other);
        [
            ("istio-system".to_owned(), home),
            ("shop".to_owned(), other),
        ]
    }

    /// Applies a random input, and returns how much istiod makes of it and in what the model differs.
    /// The model gets what the API server has, with the ages that it gave.
    fn check_random(
        &self,
        seed: u64,
        gateways: &[(String, BTreeMap<String, String>)],
    ) -> (usize, Vec<String>) {
        let kubectl = self.stack.kubectl();
        let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
        let batches = RandomInput::new(seed).batches;
        for (place, batch) in batches
            .iter()
            .enumerate()
            .filter(|(_, batch)| !batch.is_empty())
        {
            if place > 0 {
                // The API server's clock has seconds.
                sleep(Duration::from_millis(1050));
            }
            kubectl.apply(&list_of(batch)).unwrap();
        }
        fs::write(file.path(), list_of(&batches.concat())).unwrap();
        let model = of_cluster(kubectl);
        let (mut count, mut differences) = (0, Vec::new());
        for key @ (namespace, labels) in gateways {
            let Some(pod) = self.running.get(key) else {
                continue;
            };
            let mut workloads = model.workloads.iter();
            let own = workloads.find(|own| own.namespace == *namespace && own.labels == *labels);
            let expected = own.map(of_model).unwrap_or_default();
            let found = wait(pod, &expected);
            count += expected.len();
            let prefixed =
                |whose, line| format!("SEEDS={seed} {namespace} {labels:?}: {whose}: {line}");
            let of_model = expected
                .difference(&found)
                .map(|line| prefixed("the model", line));
            let of_istiod = found
                .difference(&expected)
                .map(|line| prefixed("istiod", line));
            differences.extend(of_model.chain(of_istiod));
        }
        let file = file.path().to_str().unwrap();
        kubectl
            .run(&["delete", "--wait=false", "-f", file])
            .unwrap();
        for pod in self.running.values() {
            let left = wait(pod, &Lines::new());
            assert!(left.is_empty(), "SEEDS={seed} is deleted: {left:#?}");
        }
        (count, differences)
    }
}

fn list_of(resources: &[Value]) -> String {
    json!({ "apiVersion": "v1", "kind": "List", "items": resources }).to_string()
}

/// What the model makes of what an API server has.
fn of_cluster(kubectl: &Kubectl) -> Model {
    let kinds = "gateways.networking.istio.io,virtualservices,services,pods";
    let text = kubectl.run(&["get", kinds, "-A", "-o", "json"]).unwrap();
    let mut resources = Resources::default();
    assert_eq!(read("-", &text, &mut resources), []);
    Model::new(&resources)
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
    for listener in workload
        .listeners
        .iter()
        .filter(|listener| listener.is_tls())
    {
        lines.extend(
            listener
                .chains
                .iter()
                .flat_map(|chain| of_chain(listener, chain)),
        );
        if listener.is_rejected() {
            lines.insert(format!("{} rejected", listener.name()));
        }
    }
    lines
}

fn of_chain(listener: &Listener, chain: &FilterChain) -> Lines {
    let name = listener.name();
    let names = joined(chain.server_names.iter().map(ToString::to_string));
    let table = match &chain.kind {
        ChainKind::Https(table) => table,
        ChainKind::Tcp | ChainKind::Passthrough => {
            return Lines::from([format!("{name} forward = {names}")]);
        }
        ChainKind::Plain => return Lines::new(),
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
    names
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect::<Vec<_>>()
        .join(" ")
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
    let states = [
        "/error_state/failed_configuration",
        "/warming_state/listener",
        "/active_state/listener",
    ];
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
        let table = list(chain, "/filters")
            .map(|filter| text(filter, "/typed_config/rds/route_config_name"))
            .find(|name| !name.is_empty());
        // Plain text. No case has servers of plain TCP, which would look as TLS does that is passed on
        // whatever its name is.
        let has_names = names != "*" || chain.pointer("/transport_socket").is_some();
        if !has_names && table.is_some() {
            continue;
        }
        let Some(table) = table else {
            lines.insert(format!("{name} forward = {names}"));
            continue;
        };
        lines.insert(format!("{name} {table} = {names}"));
        if !details.is_empty() {
            continue;
        }
        for host in tables
            .get(&table)
            .into_iter()
            .flat_map(|table| list(table, "/virtual_hosts"))
        {
            let domains = joined(list(host, "/domains").map(|d| d.as_str().unwrap().to_owned()));
            lines.insert(format!("{table} {} = {domains}", text(host, "/name")));
        }
    }
    lines
}

fn list<'v>(value: &'v Value, path: &str) -> impl Iterator<Item = &'v Value> {
    value
        .pointer(path)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn text(value: &Value, path: &str) -> String {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}
