//! What the API server and `istioctl` say to the resources that `packager manifest` writes.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::cases::{Case, run};
use tests::istio::release::{manifest, push};
use tests::istio::{Gateway, Stack, istio_file};
use tests::process::packager;

/// Every case of the command line that writes a resource for Istio.
#[test]
fn what_the_packager_writes_is_accepted() {
    let stack = Stack::shared().unwrap();
    let written = written();
    assert!(written.len() >= 4, "{written:?}");
    for (command, resource) in written {
        let namespace = command
            .split_once("--namespace ")
            .map_or("istio-system", |(_, rest)| rest);
        let namespace = namespace.split(' ').next().unwrap();
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace },
        });
        stack.kubectl().apply(&namespace.to_string()).unwrap();
        let tried = stack.kubectl().try_apply(&resource);
        tried.unwrap_or_else(|error| panic!("{command}: {error}"));
    }
}

/// The commands of `cli/`, and what they write, but for Envoy Gateway's kind, which no Istio knows.
fn written() -> Vec<(String, String)> {
    let mut written = Vec::new();
    for case in Case::all("cli").unwrap() {
        let input = case.input().unwrap();
        for command in case.commands() {
            let run = run(command, &input).unwrap();
            // A policy that the resources do not need is not written.
            let is_resource =
                command.starts_with("manifest ") && run.status == 0 && !run.out.is_empty();
            if is_resource
                && !command.contains("EnvoyExtensionPolicy")
                && !command.contains("--check")
            {
                written.push((command.to_owned(), run.out));
            }
        }
    }
    written
}

/// A resource that is accepted, changed in one place.
#[test]
fn what_the_packager_refuses_is_refused() {
    let stack = Stack::shared().unwrap();
    let resource = accepted_resource();
    let target = |kind: &str| json!([{ "kind": kind, "name": "x" }]);
    let ports = |numbers: &[u32]| {
        let numbers: Vec<_> = numbers
            .iter()
            .map(|number| json!({ "number": number }))
            .collect();
        json!([{ "ports": numbers }])
    };
    let host_value = json!({ "env": [{ "name": "X", "value": "y", "valueFrom": "HOST" }] });
    for (pointer, value, refusal) in [
        (
            "/spec/url",
            json!("registry.example.com:5000/x:1"),
            "url must have schema one of",
        ),
        (
            "/spec/url",
            json!("ftp://registry.example.com/x:1"),
            "url must have schema one of",
        ),
        ("/spec/url", json!(""), "spec.url"),
        ("/spec/sha256", json!("0123"), "spec.sha256"),
        (
            "/spec/targetRefs",
            target("Gateway"),
            "only one of targetRefs or selector can be set",
        ),
        (
            "/spec/phase",
            json!("LATE"),
            "spec.phase: Unsupported value",
        ),
        (
            "/spec/phase",
            json!("authn"),
            "spec.phase: Unsupported value",
        ),
        (
            "/spec/failStrategy",
            json!("FAIL"),
            "spec.failStrategy: Unsupported value",
        ),
        ("/spec/priority", json!("high"), "spec.priority"),
        ("/spec/match", ports(&[0]), "spec.match[0].ports[0].number"),
        (
            "/spec/match",
            ports(&[65536]),
            "spec.match[0].ports[0].number",
        ),
        (
            "/spec/match",
            ports(&[8443, 8443]),
            "spec.match[0].ports[1]: Duplicate value",
        ),
        ("/spec/imagePullSecret", json!(""), "spec.imagePullSecret"),
        (
            "/spec/selector/matchLabels",
            json!({ "*": "x" }),
            "wildcard not allowed in label key",
        ),
        ("/spec/vmConfig", host_value, "spec.vmConfig.env[0]"),
        (
            "/spec/vmConfig",
            json!({ "env": [{ "value": "y" }] }),
            "spec.vmConfig.env[0].name",
        ),
        (
            "/spec/pluginConfg",
            json!({}),
            "unknown field \"spec.pluginConfg\"",
        ),
        ("/spec/pluginConfig", json!("off"), "spec.pluginConfig"),
        ("/metadata/name", json!("Sni_Guard"), "metadata.name"),
        ("/kind", json!("Wasmplugin"), "no matches for kind"),
    ] {
        let changed = with(&resource, pointer, value).to_string();
        let said = match stack.kubectl().try_apply(&changed) {
            Ok(_) => panic!("accepted: {changed}"),
            Err(error) => error.to_string(),
        };
        assert!(
            said.contains(refusal),
            "{pointer}, expected {refusal}: {said}"
        );
    }
}

/// What would not work and the API server takes all the same: only the packager refuses it.
#[test]
fn not_all_that_fails_is_refused() {
    let stack = Stack::shared().unwrap();
    let mut resource = accepted_resource();
    for (pointer, value) in [
        ("/spec/url", json!("127.0.0.1:5000/x")),
        ("/spec/url", json!("registry.example.com/x")),
        ("/spec/url", json!("oci://registry.example.com/x:latest")),
        ("/spec/priority", json!(2_147_483_648_u32)),
        ("/spec/pluginConfig", json!({ "hots": {} })),
    ] {
        let changed = with(&resource, pointer, value).to_string();
        stack
            .kubectl()
            .try_apply(&changed)
            .unwrap_or_else(|error| panic!("{changed}: {error}"));
    }
    resource["spec"].as_object_mut().unwrap().remove("selector");
    for kind in ["GatewayClass", "Service", "Secret"] {
        let changed = with(
            &resource,
            "/spec/targetRefs",
            json!([{ "kind": kind, "name": "x" }]),
        );
        stack.kubectl().try_apply(&changed.to_string()).unwrap();
    }
}

fn accepted_resource() -> Value {
    let image = format!("registry.example.com/x:1@sha256:{}", "0".repeat(64));
    let options = ["--selector", "istio=ingressgateway", "--output", "json"];
    let written = packager(&[["manifest", "--image", &image].as_slice(), &options].concat());
    let resource = serde_json::from_str(&written.out).unwrap();
    let stack = Stack::shared().unwrap();
    stack.kubectl().try_apply(&written.out).unwrap();
    resource
}

fn with(resource: &Value, pointer: &str, value: Value) -> Value {
    let mut changed = resource.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    changed.pointer_mut(parent).unwrap()[key] = value;
    changed
}

/// On the cluster and on the file, and it does look at such resources.
#[test]
fn istioctl_finds_nothing_wrong() {
    let stack = Stack::shared().unwrap();
    let gateway = Gateway::deploy(&stack, "analyze").unwrap();
    let resource = manifest(&gateway, &push(&gateway).unwrap(), &[]).unwrap();
    gateway.kubectl().apply(&resource).unwrap();
    let kubeconfig = gateway.kubectl().kubeconfig().to_str().unwrap();
    assert_eq!(
        findings(&["--kubeconfig", kubeconfig, "--namespace", "analyze"]),
        [""; 0]
    );

    let folder = TempDir::new().unwrap();
    let file = folder.path().join("sni-guard.yaml");
    for (text, found) in [(resource.clone(), 0), (resource.replace("oci:", "ftp:"), 1)] {
        fs::write(&file, text).unwrap();
        let arguments = [
            "--use-kube=false",
            "--namespace",
            "analyze",
            file.to_str().unwrap(),
        ];
        let findings = findings(&arguments);
        assert_eq!(findings.len(), found, "{findings:?}");
    }
}

/// What `istioctl analyze` finds about the resources of the filter.
fn findings(arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new(istio_file("istioctl").unwrap());
    command
        .args(["analyze", "--output", "json"])
        .args(arguments);
    // Its exit status depends on other findings too.
    let output = command.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let talk = String::from_utf8_lossy(&output.stderr);
    let messages: Result<Vec<Value>, _> = serde_json::from_str(&printed);
    assert!(messages.is_ok(), "{printed}{talk}");
    let messages = messages.iter().flatten().map(Value::to_string);
    messages
        .filter(|message| message.contains("sni-guard"))
        .collect()
}
