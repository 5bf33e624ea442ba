//! What operators apply: the kustomize base and its overlays are what `packager manifest` writes.
//! `BLESS=1` writes them anew.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::PathBuf;

use packager::resource::to_yaml;
use rule::{Action, Config, Document, Host};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tests::process::packager;
use tests::tools::checkout;

/// No image has this digest: a gateway that gets it runs without the filter.
const IMAGE: &str = "oci://registry.example.com/sni-guard:0.1.0@sha256:\
                     0000000000000000000000000000000000000000000000000000000000000000";

/// An overlay: its folder, what it adds to the arguments of the base, and what the filter then does
/// for the hosts of [`HOSTS`].
type Overlay = (&'static str, &'static [&'static str], [Action; 3]);

const OVERLAYS: [Overlay; 3] = [
    ("report", &["--action", "report"], [Action::Report; 3]),
    ("enforce", &["--action", "enforce"], [Action::Enforce; 3]),
    (
        "per-host",
        &[
            "--action",
            "report",
            "--host",
            "a.example.com=enforce",
            "--host",
            "*.lab.example.com=off",
        ],
        [Action::Enforce, Action::Off, Action::Report],
    ),
];

const HOSTS: [&str; 3] = ["a.example.com", "x.lab.example.com", "other.example.com"];

#[test]
fn base_is_what_the_packager_writes() {
    check_file("base/wasmplugin.yaml", &written(&[]));
    assert_eq!(
        kustomization("base")["resources"],
        json!(["wasmplugin.yaml"])
    );
}

/// The rule `exact` needs no list of servers, so these run on every gateway.
#[test]
fn scripts_are_what_the_packager_writes() {
    for (file, kind) in [
        ("lua/trafficextension.yaml", "TrafficExtension"),
        ("lua/envoyfilter.yaml", "EnvoyFilter"),
    ] {
        let written = packager(&[
            "manifest",
            "--lua",
            "--kind",
            kind,
            "--rule",
            "exact",
            "--selector",
            "istio=ingressgateway",
        ]);
        check_file(file, &written.out);
    }
}

#[test]
fn overlays_are_what_the_packager_writes() {
    let folders = fs::read_dir(manifests().join("overlays")).unwrap();
    assert_eq!(folders.count(), OVERLAYS.len());
    for overlay in OVERLAYS {
        check_overlay(overlay);
    }
}

/// The base with the patch of an overlay is the resource of its arguments.
#[track_caller]
fn check_overlay((name, arguments, actions): Overlay) {
    let expected = parse(&written(arguments));
    let patch = json!({
        "apiVersion": expected["apiVersion"],
        "kind": expected["kind"],
        "metadata": expected["metadata"],
        "spec": { "pluginConfig": expected["spec"]["pluginConfig"] },
    });
    let file = format!("overlays/{name}/plugin-config.yaml");
    check_file(&file, &to_yaml(&patch).unwrap());

    let kustomization = kustomization(&format!("overlays/{name}"));
    assert_eq!(kustomization["resources"], json!(["../../base"]), "{name}");
    assert_eq!(
        kustomization["patches"],
        json!([{ "path": "plugin-config.yaml" }]),
        "{name}"
    );

    let mut result = parse(&written(&[]));
    merge(&mut result, &parse(&read(&file)));
    assert_eq!(result, expected, "{name}");
    let document = Document::deserialize(&result["spec"]["pluginConfig"]).unwrap();
    let config = Config::parse(&document).unwrap();
    let found = HOSTS.map(|host| config.action_for(Host::from_authority(host.as_bytes())));
    assert_eq!(found, actions, "{name}");
}

/// What `packager check --cluster` lists, by API group.
const LISTED: [(&str, &[&str]); 9] = [
    ("", &["configmaps", "namespaces", "pods", "services"]),
    (
        "admissionregistration.k8s.io",
        &["mutatingwebhookconfigurations"],
    ),
    ("cert-manager.io", &["certificates"]),
    ("extensions.istio.io", &["trafficextensions", "wasmplugins"]),
    (
        "gateway.networking.k8s.io",
        &[
            "gatewayclasses",
            "gateways",
            "grpcroutes",
            "httproutes",
            "listenersets",
            "referencegrants",
            "tcproutes",
            "tlsroutes",
        ],
    ),
    ("gateway.networking.x-k8s.io", &["xlistenersets"]),
    (
        "networking.istio.io",
        &["envoyfilters", "gateways", "virtualservices"],
    ),
    ("networking.k8s.io", &["ingressclasses", "ingresses"]),
    ("security.istio.io", &["authorizationpolicies"]),
];

/// The audit may list what it reads, and nothing else; Secrets only where they were asked for.
#[test]
fn the_audit_has_just_the_rights_it_needs() {
    let documents = audit();
    let role = &documents
        .iter()
        .find(|found| found["kind"] == "ClusterRole")
        .unwrap()["rules"];
    let mut rights: Vec<(String, Vec<String>)> = Vec::new();
    for rule in role.as_array().unwrap() {
        assert_eq!(rule["verbs"], json!(["get", "list"]));
        assert_eq!(rule.as_object().unwrap().len(), 3, "{rule}");
        let group = rule["apiGroups"].as_array().unwrap();
        assert_eq!(group.len(), 1);
        let names = rule["resources"].as_array().unwrap().iter();
        let mut names: Vec<String> = names.map(|name| name.as_str().unwrap().into()).collect();
        names.sort();
        rights.push((group[0].as_str().unwrap().into(), names));
    }
    rights.sort();
    let listed = LISTED.map(|(group, names)| {
        (
            group.to_owned(),
            names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        )
    });
    assert_eq!(rights, listed);
    let patch = parse(&read("audit/with-secrets/role-patch.yaml"));
    let secrets = json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]});
    assert_eq!(
        patch,
        json!([{"op": "add", "path": "/rules/-", "value": secrets}])
    );
    assert_eq!(
        kustomization("audit/with-secrets")["resources"],
        json!(["../base"])
    );
}

/// The audit runs as nobody, one at a time, within limits.
#[test]
fn the_audit_runs_with_little() {
    let documents = audit();
    let job = &documents
        .iter()
        .find(|found| found["kind"] == "CronJob")
        .unwrap()["spec"];
    assert_eq!(job["concurrencyPolicy"], "Forbid");
    let pod = &job["jobTemplate"]["spec"]["template"]["spec"];
    let security = &pod["securityContext"];
    assert_eq!(security["runAsNonRoot"], true);
    assert_eq!(
        security["seccompProfile"],
        json!({"type": "RuntimeDefault"})
    );
    let container = &pod["containers"][0];
    let expected = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "privileged": false,
        "readOnlyRootFilesystem": true,
    });
    assert_eq!(container["securityContext"], expected);
    assert_eq!(
        container["args"],
        json!([
            "check",
            "--cluster",
            "--fail-on",
            "warning",
            "--output",
            "json"
        ])
    );
    assert!(container["resources"]["limits"]["memory"].is_string());
    let binding = documents
        .iter()
        .find(|found| found["kind"] == "ClusterRoleBinding")
        .unwrap();
    let account = documents
        .iter()
        .find(|found| found["kind"] == "ServiceAccount")
        .unwrap();
    assert_eq!(binding["subjects"][0]["name"], account["metadata"]["name"]);
    assert_eq!(
        binding["subjects"][0]["namespace"],
        account["metadata"]["namespace"]
    );
    assert_eq!(pod["serviceAccountName"], account["metadata"]["name"]);
}

/// The resources that the audit's kustomization names, which are all in its folder.
fn audit() -> Vec<Value> {
    let kustomization = kustomization("audit/base");
    let files = kustomization["resources"].as_array().unwrap();
    let folder = fs::read_dir(manifests().join("audit/base")).unwrap();
    assert_eq!(folder.count(), files.len() + 1);
    let texts = files
        .iter()
        .map(|file| read(&format!("audit/base/{}", file.as_str().unwrap())));
    let texts: Vec<String> = texts.collect();
    texts
        .iter()
        .flat_map(|text| text.split("\n---\n"))
        .map(parse)
        .collect()
}

fn written(arguments: &[&str]) -> String {
    let base = [
        "manifest",
        "--image",
        IMAGE,
        "--selector",
        "istio=ingressgateway",
    ];
    let run = packager(&[&base, arguments].concat());
    assert_eq!(run.status, 0, "{}", run.talk);
    run.out
}

#[track_caller]
fn check_file(name: &str, expected: &str) {
    if std::env::var_os("BLESS").is_some() {
        fs::write(manifests().join(name), expected).unwrap();
    }
    assert!(read(name) == expected, "{name}: now\n{expected}");
}

fn kustomization(folder: &str) -> Value {
    let value = parse(&read(&format!("{folder}/kustomization.yaml")));
    assert_eq!(value["apiVersion"], "kustomize.config.k8s.io/v1beta1");
    assert_eq!(value["kind"], "Kustomization");
    value
}

/// RFC 7386, which is what kustomize does to resources whose schema it does not know.
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

fn parse(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap()
}

fn read(name: &str) -> String {
    fs::read_to_string(manifests().join(name)).unwrap_or_default()
}

fn manifests() -> PathBuf {
    checkout().join("manifests")
}
