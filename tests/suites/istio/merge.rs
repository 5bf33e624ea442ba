//! Merges on a real Istio, while clients ask for every host all the time: the commands that `packager
//! merge` printed are run as they are.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod fifteen;
mod script;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use gateway::documents::read;
use gateway::merge::without_status;
use gateway::{Model, Resources};
use serde_json::Value;
use tempfile::TempDir;
use tests::certificate::Certificate;
use tests::client;
use tests::istio::{Kubectl, Pod, Stack, Tally, Traffic, kubernetes_program, wait_for};
use tests::process::{built_packager, free_ports, packager};
use tests::transcript::{self, Shell};

use super::model::{of_model, wait};

/// How long the gateway has to take over what a step wrote.
const SETTLE: Duration = Duration::from_mins(1);

/// A gateway whose hosts have a Gateway each.
struct Shop {
    stack: Arc<Stack>,
    name: &'static str,
    hosts: Vec<String>,
    address: SocketAddr,
    folder: TempDir,
    pod: Pod,
}

impl Shop {
    fn open(name: &'static str, labels: &[&str]) -> Self {
        let stack = Stack::shared().unwrap();
        let folder = TempDir::new().unwrap();
        let hosts: Vec<String> = labels
            .iter()
            .map(|label| format!("{label}.example.com"))
            .collect();
        let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let certificate = Certificate::generate(folder.path(), &names).unwrap();
        let port = *free_ports(1).unwrap().first().unwrap();
        let filled = |text: &str, label: &str| {
            text.replace("$NAME", name)
                .replace("$PORT", &port.to_string())
                .replace("$HOST", &format!("{label}.example.com"))
                .replace("$LABEL", label)
                .replace("$CERTIFICATE", certificate.certificate.to_str().unwrap())
                .replace("$KEY", certificate.key.to_str().unwrap())
        };
        stack
            .kubectl()
            .apply(&filled(include_str!("../../istio/shop.yaml"), ""))
            .unwrap();
        for label in labels {
            stack
                .kubectl()
                .apply(&filled(include_str!("../../istio/host.yaml"), label))
                .unwrap();
            // The API server's clock has seconds, and age decides.
            sleep(Duration::from_millis(1100));
        }
        let pod = Pod::start(&stack, name, 0).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let shop = Self {
            stack,
            name,
            hosts,
            address,
            folder,
            pod,
        };
        for host in &shop.hosts {
            wait_for(host, &Some(200), || shop.status(host, host)).unwrap();
        }
        shop
    }

    fn kubectl(&self) -> &Kubectl {
        self.stack.kubectl()
    }

    fn status(&self, sni: &str, authority: &str) -> Option<u16> {
        client::get(self.address, sni, authority)
            .ok()
            .map(|response| response.status)
    }

    fn traffic(&self) -> Traffic {
        let hosts: Vec<&str> = self.hosts.iter().map(String::as_str).collect();
        Traffic::start(self.address, &hosts)
    }

    /// The Gateways and VirtualServices as the cluster has them.
    fn resources(&self) -> String {
        let kinds = "gateways.networking.istio.io,virtualservices,services,pods";
        self.kubectl()
            .run(&["get", kinds, "-n", self.name, "-o", "json"])
            .unwrap()
    }

    /// Their manifests, without what the API server writes.
    fn manifests(&self) -> Vec<Value> {
        let list: Value = serde_json::from_str(&self.resources()).unwrap();
        let items = list.get("items").unwrap().as_array().unwrap().iter();
        let is_planned = |item: &&Value| {
            ["Gateway", "VirtualService"]
                .map(Value::from)
                .contains(item.get("kind").unwrap())
        };
        items.filter(is_planned).map(without_status).collect()
    }

    /// Writes the folders of a plan.
    fn plan(&self, options: &[&str]) -> PathBuf {
        let input = self.folder.path().join("resources.json");
        fs::write(&input, self.resources()).unwrap();
        let folder = self.folder.path().join("plan");
        let arguments = [
            "merge",
            input.to_str().unwrap(),
            "--assume-same-certificate",
            "--into",
            folder.to_str().unwrap(),
        ];
        let run = packager(&[&arguments, options].concat());
        assert_eq!(run.status, 0, "{}{}", run.out, run.talk);
        folder
    }

    /// Runs a program of every step, in the order of the steps or in reverse.
    fn carry_out(&self, plan: &Path, program: &str, is_reverse: bool) -> usize {
        let mut steps: Vec<PathBuf> = fs::read_dir(plan)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            // The folder for `run.sh` is not a step.
            .filter(|path| path.join(program).is_file())
            .collect();
        steps.sort();
        if is_reverse {
            steps.reverse();
        }
        for step in &steps {
            self.sh(&step.join(program));
            self.settle();
        }
        steps.len()
    }

    fn sh(&self, program: &Path) {
        let output = Command::new("sh")
            .arg(program)
            .env("PATH", path())
            .env("KUBECONFIG", self.kubectl().kubeconfig())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", program.display());
    }

    /// Waits until Envoy has what the model makes of the resources.
    fn settle(&self) {
        let mut resources = Resources::default();
        let faults = read("-", self.resources(), &mut resources);
        assert!(faults.is_empty(), "{faults:?}");
        let model = Model::new(&resources);
        let workload = model.workloads.first().unwrap();
        let expected = of_model(workload);
        let start = Instant::now();
        let mut found = wait(&self.pod, &expected);
        while found != expected && start.elapsed() < SETTLE {
            found = wait(&self.pod, &expected);
        }
        assert_eq!(found, expected, "{}", self.name);
    }

    /// Every host on a connection for every other.
    fn reused(&self) -> Vec<Option<u16>> {
        let hosts = &self.hosts;
        let pairs = hosts
            .iter()
            .flat_map(|sni| hosts.iter().map(move |other| (sni, other)));
        pairs
            .map(|(sni, authority)| self.status(sni, authority))
            .collect()
    }
}

/// Where `kubectl` and `packager` are found.
pub(super) fn path() -> String {
    let programs = [
        kubernetes_program("kubectl").unwrap(),
        built_packager().unwrap().to_owned(),
    ];
    let folders = programs.map(|program| program.parent().unwrap().display().to_string());
    format!("{}:{}", folders.join(":"), std::env::var("PATH").unwrap())
}

fn summary(what: &str, tally: &Tally) -> String {
    let Tally {
        fresh,
        kept,
        closed,
        ..
    } = tally;
    let (kinds, between) = tally.outage();
    format!(
        "{what}: {fresh} fresh, {kept} kept, {closed} closed, failures {kinds:?} in {between:?}"
    )
}

#[track_caller]
fn check_seamless(name: &'static str, labels: &[&str]) -> String {
    let shop = Shop::open(name, labels);
    let before = shop.manifests();
    let traffic = shop.traffic();
    let plan = shop.plan(&[]);
    let plan_text = fs::read_to_string(plan.join("plan.json")).unwrap();
    assert!(plan_text.contains("\"plan\": \"seamless\""), "{plan_text}");
    let steps = shop.carry_out(&plan, "apply.sh", false);
    let merged = traffic.end().unwrap();
    let seen = summary(&format!("{name}, {steps} steps"), &merged);
    assert!(merged.failures.is_empty(), "{seen}: {:?}", merged.failures);
    assert!(merged.fresh > 500 && merged.kept > 500, "{merged:?}");
    assert!(
        shop.reused().iter().all(|status| *status == Some(200)),
        "{:?}",
        shop.reused()
    );

    let traffic = shop.traffic();
    shop.carry_out(&plan, "undo.sh", true);
    let undone = traffic.end().unwrap();
    let seen = format!("{seen}\n{}", summary(&format!("{name}, undone"), &undone));
    // A connection that was opened for a host on the growing server may be kept until that loses
    // its routes: it is answered 404 once, and closed.
    let is_kept = |(_, _, what): &(_, _, String)| what == "kept 404";
    assert!(
        undone.failures.iter().all(is_kept),
        "{seen}: {:?}",
        undone.failures
    );
    assert!(
        undone.failures.len() < labels.len(),
        "{seen}: {:?}",
        undone.failures
    );
    for (now, before) in shop.manifests().iter().zip(&before) {
        assert_eq!(now, before);
    }
    assert_eq!(shop.manifests().len(), before.len());
    assert_eq!(shop.status(&shop.hosts[0], &shop.hosts[1]), Some(404));
    seen
}

#[test]
fn a_seamless_plan_for_two_gateways_loses_no_request() {
    println!("{}", check_seamless("seamless-two", &["a", "b"]));
}

#[test]
fn a_seamless_plan_for_four_gateways_loses_no_request() {
    println!("{}", check_seamless("seamless-four", &["a", "b", "c", "d"]));
}

/// Its window is measured; how many requests fall into it is chance.
#[test]
fn a_short_plan_ends_well() {
    let shop = Shop::open("short", &["a", "b"]);
    let traffic = shop.traffic();
    let plan = shop.plan(&["--plan", "short"]);
    shop.carry_out(&plan, "apply.sh", false);
    let tally = traffic.end().unwrap();
    println!("{}", summary("short", &tally));
    let (kinds, between) = tally.outage();
    assert!(kinds.keys().all(|kind| kind.ends_with(" 404")), "{kinds:?}");
    assert!(between < Duration::from_secs(1), "{between:?}");
    assert!(
        shop.reused().iter().all(|status| *status == Some(200)),
        "{:?}",
        shop.reused()
    );
}

/// Between the two writes of a hand-over, Envoy rejects the listener. A running gateway keeps the one that it has.
#[test]
fn a_gateway_keeps_its_listener_between_the_writes_of_a_hand_over() {
    let shop = Shop::open("between", &["a", "b"]);
    let rejected = |pod: &Pod| {
        pod.admin("/stats?filter=listener_manager.lds.update_rejected")
            .unwrap()
            .trim()
            .rsplit(' ')
            .next()
            .unwrap()
            .parse::<usize>()
            .unwrap()
    };
    assert_eq!(rejected(&shop.pod), 0);
    assert!(shop.pod.readiness().unwrap().contains(" 200 "));
    let first = r#"[{"op": "replace", "path": "/spec/servers/0/hosts", "value": ["a.example.com", "*.com", "between/b.example.com"]}]"#;
    let patch = [
        "patch",
        "gateways.networking.istio.io/gw-a",
        "-n",
        "between",
        "--type",
        "json",
        "--patch",
        first,
    ];
    let traffic = shop.traffic();
    shop.kubectl().run(&patch).unwrap();
    wait_for("the rejection", &true, || rejected(&shop.pod) > 0).unwrap();
    sleep(Duration::from_secs(2));
    // A new gateway has no older listener.
    let new = Pod::start(&shop.stack, "between", 1).unwrap();
    wait_for("its rejection", &true, || rejected(&new) > 0).unwrap();
    sleep(Duration::from_secs(2));
    // So it gets no requests, and the running one goes on.
    assert!(new.readiness().unwrap().contains(" 503 "));
    assert!(shop.pod.readiness().unwrap().contains(" 200 "));
    drop(new);
    let tally = traffic.end().unwrap();
    println!("{}", summary("between", &tally));
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
}

/// A unified Gateway, the routes bound to it alone, the old Gateways deleted.
#[test]
fn the_published_recipe_is_an_outage() {
    let shop = Shop::open("recipe", &["a", "b"]);
    let list: Value = serde_json::from_str(&shop.resources()).unwrap();
    let mut unified = without_status(list.pointer("/items/0").unwrap());
    assert_eq!(unified.get("kind").unwrap(), "Gateway");
    unified["metadata"]["name"] = "unified".into();
    unified["spec"]["servers"][0]["hosts"] = shop.hosts.clone().into();
    unified["spec"]["servers"][0]["port"]["name"] = "https".into();
    let traffic = shop.traffic();
    shop.kubectl().apply(&unified.to_string()).unwrap();
    shop.settle();
    for label in ["a", "b"] {
        let bind = r#"{"spec": {"gateways": ["unified"]}}"#;
        shop.kubectl()
            .patch(
                "recipe",
                &["virtualservices.networking.istio.io", label],
                bind,
            )
            .unwrap();
    }
    shop.settle();
    // As long as nobody goes on.
    sleep(Duration::from_secs(2));
    let delete = [
        "delete",
        "gateways.networking.istio.io",
        "gw-a",
        "gw-b",
        "-n",
        "recipe",
    ];
    shop.kubectl().run(&delete).unwrap();
    shop.settle();
    let tally = traffic.end().unwrap();
    println!("{}", summary("recipe", &tally));
    let (kinds, between) = tally.outage();
    assert!(
        kinds.get("fresh 404").is_some_and(|count| *count > 100),
        "{kinds:?}"
    );
    assert!(between > Duration::from_secs(1), "{between:?}");
    assert!(
        shop.reused().iter().all(|status| *status == Some(200)),
        "{:?}",
        shop.reused()
    );
}

#[test]
fn the_walkthrough_prints_what_it_says() {
    let shop = Shop::open("shop", &["a", "b"]);
    let work = TempDir::new().unwrap();
    let shell = Shell {
        folder: work.path(),
        environment: vec![
            ("PATH", path()),
            (
                "KUBECONFIG",
                shop.kubectl().kubeconfig().display().to_string(),
            ),
            ("GATEWAY", shop.address.to_string()),
        ],
        words: vec![(shop.address.port().to_string(), "8443")],
    };
    let commands =
        transcript::check("docs/merge.md", "console istio", &shell, |_| shop.settle()).unwrap();
    assert!(commands > 8, "{commands}");
}
