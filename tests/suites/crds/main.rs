//! Every resource that `packager manifest` writes, against the definitions that API servers check
//! it by: those in the folder `$ISTIO_CRDS`, else the ones of Istio that `tests/istio/setup` keeps.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod definition;
mod rows;
mod rules;

use std::collections::BTreeSet;
use std::fs;

use definition::{Definition, definitions};
use rows::{FIELDS, ROWS};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::cases::Case;
use tests::istio::kubernetes_program;
use tests::process::{Run, packager};
use tests::tools::{self, checkout};

/// Every folder for kustomize is one that kubectl takes.
#[test]
fn folders_are_rendered() {
    let kubectl = kubernetes_program("kubectl").unwrap();
    let kubectl = kubectl.to_str().unwrap();
    let folders = [
        ("base", 1),
        ("overlays/report", 1),
        ("overlays/enforce", 1),
        ("overlays/per-host", 1),
        ("audit/base", 5),
        ("audit/with-secrets", 5),
    ];
    for (folder, resources) in folders {
        let path = checkout().join("manifests").join(folder);
        let rendered = tools::run(kubectl, &["kustomize", path.to_str().unwrap()]).unwrap();
        assert_eq!(
            rendered.matches("\nkind: ").count(),
            resources,
            "{folder}: {rendered}"
        );
        let has_secrets = rendered.contains("- secrets\n");
        assert_eq!(has_secrets, folder == "audit/with-secrets", "{folder}");
    }
}

/// The components of a plan, in the overlay of a repository, make what the plan makes of a cluster.
#[test]
fn components_of_a_plan_are_rendered() {
    let kubectl = kubernetes_program("kubectl").unwrap();
    let case = Case::read("merge/seamless.yaml").unwrap();
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("base.yaml"), case.input().unwrap()).unwrap();
    let run = packager(&[
        "merge",
        &path("base.yaml"),
        "--kustomize",
        "--into",
        &path("plan"),
    ]);
    assert_eq!(run.status, 0, "{}", run.talk);
    let mut steps: Vec<String> = fs::read_dir(path("plan"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned())
        .filter(|name| name != "plan.json")
        .collect();
    steps.sort();
    assert_eq!(steps.len(), 6, "{steps:?}");
    let render = |steps: &[String]| {
        let components: Vec<String> = steps.iter().map(|step| format!("plan/{step}")).collect();
        let overlay = json!({ "resources": ["base.yaml"], "components": components });
        fs::write(path("kustomization.yaml"), overlay.to_string()).unwrap();
        let arguments = ["kustomize", folder.path().to_str().unwrap()];
        tools::run(kubectl.to_str().unwrap(), &arguments).unwrap()
    };
    let before = render(&[]);
    assert_eq!(before.matches("kind: Gateway\n").count(), 2, "{before}");
    let after = render(&steps);
    assert_eq!(after.matches("kind: Gateway\n").count(), 1, "{after}");
    assert!(
        after.contains("  - hosts:\n    - a.example.com\n    - b.example.com\n"),
        "{after}"
    );
    assert!(
        after.contains("  gateways:\n  - gw-a\n  hosts:\n  - b.example.com\n"),
        "{after}"
    );
}

#[test]
fn resources_are_what_their_definitions_ask_for() {
    for definition in definitions() {
        for (kind, since, arguments) in ROWS {
            if *kind == definition.kind {
                check_row(definition, *since, arguments);
            }
        }
    }
}

#[track_caller]
fn check_row(definition: &Definition, since: u16, arguments: &str) {
    let run = run(definition, arguments);
    if since > definition.release {
        assert_eq!(run.status, 2, "{definition}: {arguments}: {}", run.out);
        return;
    }
    assert_eq!(run.status, 0, "{definition}: {arguments}: {}", run.talk);
    let resource = serde_saphyr::from_str(&run.out).unwrap();
    let faults = definition.faults(&resource);
    assert_eq!(faults, Vec::<String>::new(), "{definition}: {arguments}");
}

#[test]
fn rows_have_every_field() {
    for definition in definitions() {
        let fields: BTreeSet<String> = ROWS
            .iter()
            .filter(|(kind, since, _)| *kind == definition.kind && *since <= definition.release)
            .flat_map(|(_, _, arguments)| fields(&written(definition, arguments)))
            .collect();
        let expected = FIELDS
            .iter()
            .find(|(kind, _)| *kind == definition.kind)
            .unwrap()
            .1;
        let expected: BTreeSet<String> = expected.iter().map(|field| (*field).into()).collect();
        assert_eq!(fields, expected, "{definition}");
    }
}

fn fields(resource: &Value) -> Vec<String> {
    let spec = resource["spec"].as_object().unwrap();
    let inner = |(key, value): (&String, &Value)| match value {
        Value::Object(block) if key == "wasm" => {
            block.keys().map(|field| format!("wasm.{field}")).collect()
        }
        _ => vec![key.clone()],
    };
    spec.iter().flat_map(inner).collect()
}

/// A definition that takes everything would pass the rows above. Kind, since and until which minor
/// version, where, what is put there (null: nothing), and what is said about it.
#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn definitions_refuse_what_the_packager_does_not_write() {
    let selector = json!({ "matchLabels": { "a": "b" } });
    let target =
        |kind: &str| json!([{ "group": "gateway.networking.k8s.io", "kind": kind, "name": "x" }]);
    let label = |key: &str, value: &str| json!({ "matchLabels": { key: value } });
    let ports = json!([{ "number": 8443 }, { "number": 8443 }]);
    let secret = "/spec/wasm/0/code/image/pullSecretRef";
    let rows = [
        (
            "WasmPlugin",
            0..99,
            "/spec/url",
            json!(null),
            "\"url\" is a required property",
        ),
        (
            "WasmPlugin",
            0..99,
            "/spec/url",
            json!("registry.example.com:5000/x"),
            "url must have",
        ),
        (
            "WasmPlugin",
            0..99,
            "/spec/url",
            json!("ftp://registry.example.com/x"),
            "url must have",
        ),
        (
            "WasmPlugin",
            0..99,
            "/spec/sha256",
            json!("sha256:00"),
            "does not match",
        ),
        (
            "WasmPlugin",
            0..99,
            "/spec/phase",
            json!("authn"),
            "is not one of",
        ),
        (
            "WasmPlugin",
            0..99,
            "/spec/priority",
            json!("1000"),
            "is not of type",
        ),
        (
            "WasmPlugin",
            0..28,
            "/spec/failStrategy",
            json!("FAIL_RELOAD"),
            "is not one of",
        ),
        (
            "WasmPlugin",
            0..99,
            "/spec/imagePullSecret",
            json!(""),
            "shorter than",
        ),
        (
            "WasmPlugin",
            0..99,
            "/spec/selector",
            selector.clone(),
            "only one of targetRefs",
        ),
        (
            "WasmPlugin",
            0..99,
            "/spec/targetRefs/0/namespace",
            json!("x"),
            "cross namespace",
        ),
        (
            "WasmPlugin",
            0..28,
            "/spec/targetRefs",
            target("GatewayClass"),
            "Support kinds are",
        ),
        (
            "WasmPlugin",
            0..99,
            "/spec/match/0/ports/0/number",
            json!(0),
            "less than the minimum",
        ),
        (
            "WasmPlugin",
            0..99,
            "/spec/match/0/ports",
            ports,
            "ports[1]: repeats",
        ),
        (
            "WasmPlugin",
            0..99,
            "/spec/match/0/mode",
            json!("server"),
            "is not one of",
        ),
        (
            "WasmPlugin",
            0..99,
            "/spec/config",
            json!({}),
            "Additional properties",
        ),
        (
            "WasmPlugin",
            0..99,
            "/spec/pluginConfig",
            json!("text"),
            "is not of type",
        ),
        (
            "WasmPlugin",
            0..99,
            "/kind",
            json!("TrafficExtension"),
            "kind",
        ),
        (
            "WasmPlugin",
            0..99,
            "/apiVersion",
            json!("extensions.istio.io/v1"),
            "apiVersion",
        ),
        (
            "TrafficExtension",
            0..99,
            "/spec/wasm",
            json!(null),
            "exactly one of wasm or lua",
        ),
        (
            "TrafficExtension",
            0..99,
            "/spec/wasm/url",
            json!(null),
            "\"url\" is a required",
        ),
        (
            "TrafficExtension",
            0..99,
            "/spec/wasm/url",
            json!("a.example.com:80/x"),
            "url must have",
        ),
        (
            "TrafficExtension",
            0..99,
            "/spec/url",
            json!("oci://x"),
            "Additional properties",
        ),
        (
            "TrafficExtension",
            0..99,
            "/spec/targetRefs",
            target("Gateway"),
            "only one of targetRefs",
        ),
        (
            "TrafficExtension",
            0..99,
            "/spec/selector",
            label("a*", "b"),
            "label key match",
        ),
        (
            "TrafficExtension",
            0..99,
            "/spec/selector",
            label("a", "*"),
            "label value match",
        ),
        (
            "TrafficExtension",
            0..99,
            "/spec/selector",
            label("", "b"),
            "key must not be empty",
        ),
        (
            "TrafficExtension",
            0..99,
            "/spec/selector",
            label("a", &"b".repeat(64)),
            "longer than",
        ),
        (
            "TrafficExtension",
            0..99,
            "/spec/phase",
            json!("UNSPECIFIED_PHASE"),
            "is not one of",
        ),
        (
            "EnvoyExtensionPolicy",
            0..99,
            "/spec/targetRefs",
            json!(null),
            "either targetRef or",
        ),
        (
            "EnvoyExtensionPolicy",
            0..99,
            "/spec/targetRefs",
            target("GatewayClass"),
            "targetRefs[*].kind",
        ),
        (
            "EnvoyExtensionPolicy",
            0..99,
            "/spec/targetRefs/0/group",
            json!("x"),
            "targetRefs[*].group",
        ),
        (
            "EnvoyExtensionPolicy",
            0..99,
            "/spec/mergeType",
            json!("Replace"),
            "mergeType can only",
        ),
        (
            "EnvoyExtensionPolicy",
            0..99,
            "/spec/mergeType",
            json!("Replace"),
            "not a valid MergeType",
        ),
        (
            "EnvoyExtensionPolicy",
            0..99,
            "/spec/wasm/0/code/type",
            json!("HTTP"),
            "If type is HTTP",
        ),
        (
            "EnvoyExtensionPolicy",
            0..99,
            "/spec/wasm/0/code/image",
            json!(null),
            "If type is Image",
        ),
        (
            "EnvoyExtensionPolicy",
            0..99,
            secret,
            json!({ "kind": "X", "name": "x" }),
            "only support Secret",
        ),
        (
            "EnvoyExtensionPolicy",
            0..99,
            "/spec/wasm/0/failOpen",
            json!("yes"),
            "is not of type",
        ),
        (
            "EnvoyExtensionPolicy",
            0..99,
            "/spec/wasm/0/pluginConfig",
            json!({}),
            "Additional properties",
        ),
    ];
    for definition in definitions() {
        for (kind, releases, path, value, fault) in &rows {
            if *kind == definition.kind && releases.contains(&definition.release) {
                check_refusal(definition, path, value, fault);
            }
        }
    }
}

#[track_caller]
fn check_refusal(definition: &Definition, path: &str, value: &Value, fault: &str) {
    let arguments = match definition.kind.as_str() {
        "TrafficExtension" => "--image IMAGE --selector a=b --port 8443",
        _ => "--image IMAGE --target-ref Gateway/public --config CONFIG",
    };
    let ports = if definition.kind == "WasmPlugin" {
        " --port 8443"
    } else {
        ""
    };
    let mut resource = written(definition, &format!("{arguments}{ports}"));
    put(&mut resource, path, value);
    let faults = definition.faults(&resource);
    let found = faults.iter().any(|text| text.contains(fault));
    assert!(
        found,
        "{definition}: {path} {value}: expected {fault:?} in {faults:?}"
    );
}

/// Puts a value at a path, and nothing for null.
fn put(resource: &mut Value, path: &str, value: &Value) {
    let (parent, key) = path.rsplit_once('/').unwrap();
    let parent = resource
        .pointer_mut(parent)
        .unwrap()
        .as_object_mut()
        .unwrap();
    if value.is_null() {
        parent.remove(key);
    } else {
        parent.insert(key.into(), value.clone());
    }
}

#[track_caller]
fn written(definition: &Definition, arguments: &str) -> Value {
    let run = run(definition, arguments);
    assert_eq!(run.status, 0, "{definition}: {arguments}: {}", run.talk);
    serde_saphyr::from_str(&run.out).unwrap()
}

fn run(definition: &Definition, arguments: &str) -> Run {
    let config = checkout().join("manifests/plugin-config.yaml");
    let image = format!(
        "registry.example.com/sni-guard:1@sha256:{}",
        "0123456789abcdef".repeat(4)
    );
    let release = format!("1.{}", definition.release);
    let mut command = vec!["manifest", "--kind", &definition.kind];
    command.extend(arguments.split_whitespace().map(|argument| match argument {
        "IMAGE" => image.as_str(),
        "CONFIG" => config.to_str().unwrap(),
        other => other,
    }));
    // An AuthorizationPolicy is the same for every release.
    if definition.release > 0 && definition.kind != "AuthorizationPolicy" {
        command.extend(["--istio", &release]);
    }
    packager(&command)
}
