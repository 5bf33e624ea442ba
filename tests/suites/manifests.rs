//! What operators apply: the kustomize base and its overlays are what `packager manifest` writes.
//! `BLESS=1` writes them anew.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

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
    assert_eq!(kustomization("base")["resources"], json!(["wasmplugin.yaml"]));
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
    assert_eq!(kustomization["patches"], json!([{ "path": "plugin-config.yaml" }]), "{name}");

    let mut result = parse(&written(&[]));
    merge(&mut result, &parse(&read(&file)));
    assert_eq!(result, expected, "{name}");
    let document = Document::deserialize(&result["spec"]["pluginConfig"]).unwrap();
    let config = Config::parse(&document).unwrap();
    let action = |host: &str| config.action_for(Host::from_authority(host.as_bytes()));
    assert_eq!(HOSTS.map(action), actions, "{name}");
}

fn written(arguments: &[&str]) -> String {
    let base = ["manifest", "--image", IMAGE, "--selector", "istio=ingressgateway"];
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
