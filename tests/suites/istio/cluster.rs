//! The packager on a cluster: what it reads of a real API server, and what it says when it may not,
//! or cannot.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod failures;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::Value;
use tests::istio::{Cluster, RESOURCE_DEFINITIONS, wait_for};
use tests::process::{Run, packager, packager_program};
use tests::secrets::Pair;
use tests::tools::checkout;

/// Two servers with one certificate; a third whose Secret is not there; who may read what.
fn shared() -> Arc<Cluster> {
    static RUNNING: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cluster) = running.upgrade() {
        return cluster;
    }
    let cluster = Arc::new(Cluster::start().unwrap());
    apply_gateways(&cluster);
    cluster.kubectl().apply(RIGHTS).unwrap();
    wait_for_rights(&cluster);
    *running = Arc::downgrade(&cluster);
    cluster
}

/// The API server reads new rights a moment after they are written.
fn wait_for_rights(cluster: &Cluster) {
    let kinds = ["authorizationpolicies.security.istio.io", "pods"];
    for (user, namespace) in [("reader", "default"), ("guest", "istio-system")] {
        for kind in kinds {
            let question = [
                "auth",
                "can-i",
                "list",
                kind,
                "--as",
                user,
                "--namespace",
                namespace,
            ];
            wait_for("the rights", &true, || {
                cluster.kubectl().run(&question).is_ok()
            })
            .unwrap();
        }
    }
}

fn apply_gateways(cluster: &Cluster) {
    let case = fs::read_to_string("gateways/01-one-secret.yaml").unwrap();
    let documents = case
        .split("\n---\n")
        .filter(|text| !text.contains("kind: Secret\n"));
    let case = documents
        .collect::<Vec<_>>()
        .join("\n---\n")
        .replace("{port: 80, ", "{name: http, port: 80, ");
    let case = case.replace("{port: 443, ", "{name: https, port: 443, ");
    let pair = Pair::generate(&["*.example.com"], 2100).unwrap();
    let secret = pair.secret("istio-system/w").unwrap();
    cluster
        .kubectl()
        .apply(&format!("{case}\n{secret}\n{OTHERS}"))
        .unwrap();
}

/// A pod, and a server whose Secret is not there.
const OTHERS: &str = "
---
apiVersion: v1
kind: Pod
metadata: {name: ingress-0, namespace: istio-system, labels: {istio: ingressgateway}}
spec: {containers: [{name: istio-proxy, image: auto}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw-c, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https-c, protocol: HTTPS}
    hosts: [c.example.org]
    tls: {mode: SIMPLE, credentialName: gone}
";

const RIGHTS: &str = include_str!("../../istio/rights.yaml");

fn run(kubeconfig: &Path, arguments: &[&str]) -> Run {
    packager_program(
        arguments,
        &[("KUBECONFIG", kubeconfig.to_str().unwrap())],
        "",
    )
    .unwrap()
}

/// The codes that `check` finds, and all that it said.
#[track_caller]
fn codes(kubeconfig: &Path, arguments: &[&str]) -> (Vec<String>, Run) {
    let run = run(
        kubeconfig,
        &[&["check", "--output", "json"], arguments].concat(),
    );
    let report: Value = serde_json::from_str(&run.out).unwrap_or_else(|_| panic!("{run:?}"));
    let findings = report["findings"].as_array().unwrap();
    (
        findings
            .iter()
            .map(|found| found["code"].as_str().unwrap().to_owned())
            .collect(),
        run,
    )
}

#[test]
fn a_cluster_says_what_its_files_say() {
    let cluster = shared();
    let kubeconfig = cluster.kubectl().kubeconfig();
    let kinds = "gateways.networking.istio.io,virtualservices,services,pods,secrets";
    let listed = cluster
        .kubectl()
        .run(&["get", kinds, "-A", "-o", "yaml"])
        .unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), listed).unwrap();
    let file = file.path().to_str().unwrap();

    let (live, _) = codes(kubeconfig, &[]);
    assert_eq!(live, ["SG101", "SG303", "SG203"]);
    let of_file = packager(&["check", "--output", "json", file]);
    let of_cluster = run(kubeconfig, &["check", "--cluster", "--output", "json"]);
    assert_eq!((of_cluster.status, of_cluster.talk.as_str()), (1, ""));
    // A Secret that files lack may be in the cluster.
    let gone =
        "Secret istio-system/gone, used by Gateway istio-system/gw-c servers[0]: connections fail";
    let of_file = of_file.out.replace(
        &format!("the input has no {gone} if the cluster has none either"),
        &format!("there is no {gone}"),
    );
    assert_eq!(without_sources(&of_cluster.out), without_sources(&of_file));

    let image = format!("registry.example.com/x:1@sha256:{}", "0".repeat(64));
    for command in [
        &[
            "explain",
            "--sni",
            "a.example.com",
            "--authority",
            "b.example.com",
        ][..],
        &[
            "manifest",
            "--image",
            &image,
            "--selector",
            "istio=ingressgateway",
        ],
    ] {
        let of_file = packager(&[command, &["--from", file]].concat());
        let of_cluster = run(kubeconfig, &[command, &["--cluster"]].concat());
        assert_eq!(of_cluster.status, 0, "{of_cluster:?}");
        assert_eq!(of_cluster.out, of_file.out);
        assert_eq!(of_cluster.talk, "");
    }

    // Manifests as the API server has them are what a plan is made for.
    let of_file = packager(&["merge", file]);
    let of_cluster = run(kubeconfig, &["merge", "--cluster"]);
    assert_eq!(of_cluster.status, 0, "{of_cluster:?}");
    assert_eq!(
        (&of_cluster.out, of_cluster.talk.as_str()),
        (&of_file.out, "")
    );
    assert!(
        of_cluster.out.contains("step 6, unbind-routes"),
        "{}",
        of_cluster.out
    );
}

/// The account of `manifests/audit` reads all that `check` asks for, and Secrets where it may.
#[test]
fn the_audit_may_read_what_it_needs() {
    let cluster = shared();
    let kubectl = cluster.kubectl();
    let folder = checkout().join("manifests/audit");
    let install = |name: &str| {
        let rendered = kubectl
            .run(&["kustomize", folder.join(name).to_str().unwrap()])
            .unwrap();
        kubectl.apply(&rendered).unwrap();
    };
    install("base");
    let account = "sni-guard-audit";
    let token = kubectl
        .run(&["-n", account, "create", "token", account])
        .unwrap();
    let kubeconfig = cluster.kubeconfig_with("audit", token.trim()).unwrap();
    let (found, report) = codes(&kubeconfig, &[]);
    assert_eq!(found, ["SG203", "SG104"]);
    assert!(
        report.talk.starts_with("note: certificates are assumed"),
        "{}",
        report.talk
    );
    assert_eq!(report.talk.lines().count(), 1, "{}", report.talk);
    install("with-secrets");
    let (found, report) = codes(&kubeconfig, &[]);
    assert_eq!((found.len(), report.talk.as_str()), (3, ""), "{found:?}");
}

/// Whoever may not read Secrets gets a guess, and whoever may not read Gateways an error.
#[test]
fn a_kind_that_may_not_be_read_is_a_note() {
    let cluster = shared();
    let reader = cluster.kubeconfig_with("reader", "reader").unwrap();
    let (codes_found, run_of_reader) = codes(&reader, &[]);
    assert_eq!(codes_found, ["SG203", "SG104"]);
    assert_eq!(run_of_reader.status, 0, "{run_of_reader:?}");
    let notes = "note: certificates are assumed from the names of Secrets: secrets is forbidden: User \
                \"reader\" cannot list resource \"secrets\" in API group \"\" at the cluster scope\n";
    assert_eq!(run_of_reader.talk, notes);

    let stranger = cluster.kubeconfig_with("stranger", "stranger").unwrap();
    let refused = run(&stranger, &["check"]);
    let url = format!("https://127.0.0.1:{}", cluster.port());
    let expected = format!(
        "error: listing gateways.networking.istio.io of {url}: gateways.networking.istio.io is \
         forbidden: User \"stranger\" cannot list resource \"gateways\" in API group \
         \"networking.istio.io\" at the cluster scope\nhint: ask for a role that may list them, or \
         name the namespaces that you may read with --namespace\n"
    );
    assert_eq!(
        (refused.status, refused.talk, refused.out),
        (2, expected, String::new())
    );
}

/// The findings of a report without what depends on the source of the resources.
fn without_sources(report: &str) -> Vec<Value> {
    let report: Value = serde_json::from_str(report).unwrap();
    let mut findings = report["findings"].as_array().unwrap().clone();
    for finding in &mut findings {
        let finding = finding.as_object_mut().unwrap();
        // Only files have lines, and the commands of a hint name the source.
        finding.remove("resources").unwrap();
        finding.remove("hint").unwrap();
    }
    findings
}

#[test]
fn a_namespace_is_read_alone() {
    let cluster = shared();
    let guest = cluster.kubeconfig_with("guest", "guest").unwrap();
    assert_eq!(run(&guest, &["check"]).status, 2);
    // The namespace has other Secrets, so a Secret that it does not have is missing.
    let (found, report) = codes(&guest, &["--namespace", "istio-system"]);
    assert_eq!(found, ["SG101", "SG303", "SG203"]);
    assert_eq!(report.talk.lines().count(), 5, "{}", report.talk);
    let notes = [
        "only resources in these namespaces are considered: istio-system",
        "resources of the Gateway API are ignored: gatewayclasses",
        "Ingresses are ignored: ingressclasses",
        "selectors of namespaces match no namespace: namespaces is forbidden",
        "revision tags are assumed to be revisions: mutatingwebhookconfigurations",
    ];
    for note in notes {
        assert!(
            report.talk.contains(&format!("note: {note}")),
            "{note}: {}",
            report.talk
        );
    }
    let kubeconfig = cluster.kubectl().kubeconfig();
    let namespaces = ["--namespace", "default", "--namespace", "istio-system"];
    assert_eq!(
        codes(kubeconfig, &namespaces).0,
        ["SG101", "SG303", "SG203"]
    );
    let elsewhere = run(kubeconfig, &["check", "--namespace", "default"]);
    let expected = "note: the cluster has no server of a gateway in these namespaces\n";
    assert_eq!(elsewhere.status, 0);
    assert!(elsewhere.talk.contains(expected), "{}", elsewhere.talk);
}

/// In a pod there is no kubeconfig, but a service account.
#[test]
fn a_pod_reads_its_own_cluster() {
    let cluster = shared();
    let kubectl = cluster.kubectl();
    kubectl.run(&["create", "serviceaccount", "pod"]).unwrap();
    let binding = [
        "create",
        "clusterrolebinding",
        "pod",
        "--clusterrole",
        "all-but-secrets",
    ];
    kubectl
        .run(&[&binding[..], &["--serviceaccount", "default:pod"]].concat())
        .unwrap();
    let token = kubectl.run(&["create", "token", "pod"]).unwrap();
    // It builds the program, too.
    run(kubectl.kubeconfig(), &["check"]);
    let program = std::env::current_exe()
        .unwrap()
        .ancestors()
        .nth(2)
        .unwrap()
        .join("packager");
    let folder = "/run/secrets/kubernetes.io/serviceaccount";
    let script = format!(
        "mount -t tmpfs tmpfs /run && mkdir -p {folder} && cd {folder} && printf %s \"$TOKEN\" >token \
         && printf default >namespace && printf %s \"$AUTHORITY\" >ca.crt && exec \"$0\" check --output json"
    );
    let authority = fs::read_to_string(&cluster.certificate().certificate).unwrap();
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", &script])
        .arg(program)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", "/nowhere")
        .env("TOKEN", token.trim())
        .env("AUTHORITY", authority)
        .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .env("KUBERNETES_SERVICE_PORT", cluster.port().to_string())
        .current_dir(checkout())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(report["summary"]["gateways"], 3);
    assert_eq!(report["summary"]["warnings"], 2);
}

/// More than a page of a list, twice.
#[test]
fn long_lists_are_read_to_the_end() {
    const COUNT: usize = 1_001;
    let cluster = Cluster::start_with(&RESOURCE_DEFINITIONS[..1]).unwrap();
    let mut gateways = String::new();
    for n in 0..COUNT {
        writeln!(
            gateways,
            "---\n{{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"Gateway\",\"metadata\":{{\"name\":\
             \"g{n}\",\"namespace\":\"istio-system\"}},\"spec\":{{\"servers\":[{{\"port\":{{\"number\":443,\
             \"name\":\"https\",\"protocol\":\"HTTPS\"}},\"hosts\":[\"h{n}.example.com\"],\"tls\":\
             {{\"mode\":\"SIMPLE\",\"credentialName\":\"w{n}\"}}}}]}}}}"
        )
        .unwrap();
    }
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    fs::write(file.path(), gateways).unwrap();
    let arguments = [
        "create",
        "--validate=false",
        "-f",
        file.path().to_str().unwrap(),
    ];
    cluster.kubectl().run(&arguments).unwrap();
    let run = run(
        cluster.kubectl().kubeconfig(),
        &["check", "--output", "json"],
    );
    let report: Value = serde_json::from_str(&run.out).unwrap_or_else(|_| panic!("{run:?}"));
    assert_eq!(report["summary"]["gateways"], COUNT);
    assert_eq!(report["summary"]["servers"], COUNT);
}

/// Before anything is installed, and with Istio alone.
#[test]
fn kinds_that_there_are_not_are_no_error() {
    let bare = Cluster::start_with(&[]).unwrap();
    let run_bare = run(bare.kubectl().kubeconfig(), &["check"]);
    let expected = "note: the cluster has no gateways.networking.istio.io\n\
                    note: the cluster has no virtualservices.networking.istio.io\n\
                    note: the cluster has no server of a gateway\n";
    assert_eq!((run_bare.status, run_bare.talk.as_str()), (0, expected));

    let istio = Cluster::start_with(&RESOURCE_DEFINITIONS[..1]).unwrap();
    apply_gateways(&istio);
    let (found, report) = codes(istio.kubectl().kubeconfig(), &[]);
    assert_eq!(found, ["SG101", "SG303", "SG203"]);
    assert_eq!(report.talk, "");
}
