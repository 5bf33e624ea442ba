//! The filter on gateways of a real Istio, installed as operators install it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api_server;
mod cluster;
mod documents;
mod images;
mod lua;
mod merge;
mod model;
mod policy;

use tests::istio::release::{manifest, missing_image, push};
use tests::istio::{A, B, Gateway, Stack, wait_for};

/// A gateway without the filter, and the image that it is to run.
fn gateway(name: &str) -> (Gateway, String) {
    let gateway = Gateway::deploy(&Stack::shared().unwrap(), name).unwrap();
    let image = push(&gateway).unwrap();
    (gateway, image)
}

/// A gateway with the filter, and its image.
#[track_caller]
fn guarded_gateway(name: &str, options: &[&str]) -> (Gateway, String) {
    let (gateway, image) = gateway(name);
    gateway
        .kubectl()
        .apply(&manifest(&gateway, &image, options).unwrap())
        .unwrap();
    gateway.wait_for(A, B, 421).unwrap();
    (gateway, image)
}

/// What it answers to its own hosts and to a host on the other's connection.
fn statuses(gateway: &Gateway) -> [Option<u16>; 3] {
    [
        gateway.status(A, A),
        gateway.status(A, B),
        gateway.status(B, B),
    ]
}

const UNGUARDED: [Option<u16>; 3] = [Some(200), Some(404), Some(200)];
const GUARDED: [Option<u16>; 3] = [Some(200), Some(421), Some(200)];
const REFUSED: [Option<u16>; 3] = [Some(403); 3];

#[track_caller]
fn wait_for_statuses(gateway: &Gateway, what: &str, expected: [Option<u16>; 3]) {
    wait_for(what, &expected, || statuses(gateway)).unwrap();
}

#[track_caller]
fn wait_for_metric(gateway: &Gateway, name: &str, expected: u64) {
    wait_for(name, &Some(expected), || {
        gateway.pod().metric(name).unwrap()
    })
    .unwrap();
}

/// Changes the resource of the filter, in YAML as operators type it.
fn patch(gateway: &Gateway, patch: &str) {
    gateway
        .kubectl()
        .patch(gateway.name(), &["wasmplugin", "sni-guard"], patch)
        .unwrap();
}

#[test]
fn a_reused_connection_is_answered_421_once_the_resource_is_applied() {
    let (gateway, image) = gateway("reuse");
    assert_eq!(statuses(&gateway), UNGUARDED);
    gateway
        .kubectl()
        .apply(&manifest(&gateway, &image, &[]).unwrap())
        .unwrap();
    gateway.wait_for(A, B, 421).unwrap();
    assert_eq!(statuses(&gateway), GUARDED);
    assert_eq!(gateway.status(B, A), Some(421));

    let pod = gateway.pod();
    let counted = pod
        .metric("sni_guard.enforced.other_server")
        .unwrap()
        .unwrap();
    assert!(counted >= 3, "{counted}");
    let exposed = pod.admin("/stats/prometheus").unwrap();
    assert!(exposed.contains(&format!(
        "\nsni_guard_enforced_other_server{{}} {counted}\n"
    )));
    let name = "extensions.istio.io/trafficextension/reuse.sni-guard~istio-translated-wasmplugin";
    assert!(pod.admin("/config_dump").unwrap().contains(name));

    gateway
        .kubectl()
        .run(&["-n", "reuse", "delete", "wasmplugin", "sni-guard"])
        .unwrap();
    gateway.wait_for(A, B, 404).unwrap();
}

/// Words that YAML 1.1 takes for a boolean arrive as one, and mean the same.
#[test]
fn one_host_is_switched_without_a_restart() {
    let (gateway, _) = guarded_gateway("switch", &[]);
    let reports = || {
        gateway
            .pod()
            .metric("sni_guard.reported.other_server")
            .unwrap()
            .unwrap()
    };
    for (action, expected) in [
        ("\"off\"", 404),
        ("enforce", 421),
        ("off", 404),
        ("true", 421),
        ("false", 404),
        ("null", 421),
        ("report", 404),
        ("on", 421),
    ] {
        let before = reports();
        patch(
            &gateway,
            &format!("spec: {{pluginConfig: {{hosts: {{{B}: {action}}}}}}}"),
        );
        gateway
            .wait_for(A, B, expected)
            .unwrap_or_else(|error| panic!("{action}: {error:#}"));
        assert_eq!(gateway.status(B, B), Some(200), "{action}");
        if expected == 404 {
            assert_eq!(reports() > before, action == "report", "{action}");
        }
    }
}

/// No outage: neither of the pods that run, nor of those that start later.
#[test]
fn an_invalid_configuration_passes_every_request() {
    let (mut gateway, _) = guarded_gateway("invalid", &[]);
    assert_eq!(
        gateway.pod().metric("sni_guard.config_invalid").unwrap(),
        Some(0)
    );
    patch(&gateway, "spec: {pluginConfig: {hots: {}}}");
    gateway.wait_for(A, B, 404).unwrap();
    assert_eq!(statuses(&gateway), UNGUARDED);
    wait_for_metric(&gateway, "sni_guard.config_invalid", 1);

    gateway.replace_pod().unwrap();
    wait_for_statuses(&gateway, "a new pod", UNGUARDED);
    assert_eq!(
        gateway.pod().metric("sni_guard.config_invalid").unwrap(),
        Some(1)
    );
    let log = gateway.pod().log().unwrap();
    assert!(log.contains("every request passes: hots"), "{log}");

    patch(&gateway, "spec: {pluginConfig: {hots: null}}");
    gateway.wait_for(A, B, 421).unwrap();
    assert_eq!(statuses(&gateway), GUARDED);
    wait_for_metric(&gateway, "sni_guard.config_invalid", 0);
}

#[test]
fn an_image_that_cannot_be_pulled_does_what_the_fail_strategy_says() {
    let (mut gateway, image) = guarded_gateway("pull", &[]);
    let missing = missing_image(&gateway);
    for (strategy, expected) in [("FAIL_OPEN", UNGUARDED), ("FAIL_CLOSE", REFUSED)] {
        let options = ["--fail-strategy", strategy];
        gateway
            .kubectl()
            .apply(&manifest(&gateway, &missing, &options).unwrap())
            .unwrap();
        wait_for_statuses(&gateway, &format!("{strategy}, a pod that runs"), expected);
        gateway.replace_pod().unwrap();
        wait_for_statuses(&gateway, &format!("{strategy}, a new pod"), expected);

        gateway
            .kubectl()
            .apply(&manifest(&gateway, &image, &options).unwrap())
            .unwrap();
        wait_for_statuses(
            &gateway,
            &format!("{strategy}, an image that is there"),
            GUARDED,
        );
    }
}

/// What Istio 1.30 has in place of the WasmPlugin.
#[test]
fn a_traffic_extension_does_the_same() {
    let (gateway, image) = gateway("extension");
    let extension = manifest(&gateway, &image, &["--kind", "TrafficExtension"]).unwrap();
    gateway.kubectl().apply(&extension).unwrap();
    gateway.wait_for(A, B, 421).unwrap();
    assert_eq!(statuses(&gateway), GUARDED);
    let resource = ["trafficextension", "sni-guard"];
    let off = format!("spec: {{wasm: {{pluginConfig: {{hosts: {{{B}: off}}}}}}}}");
    gateway
        .kubectl()
        .patch("extension", &resource, &off)
        .unwrap();
    gateway.wait_for(A, B, 404).unwrap();
    let dump = gateway.pod().admin("/config_dump").unwrap();
    assert!(dump.contains("extensions.istio.io/trafficextension/extension.sni-guard"));
}

/// istiod compares it with the port that Envoy listens on, not with that of the Gateway.
#[test]
fn a_port_is_the_one_that_envoy_listens_on() {
    let (gateway, image) = gateway("port");
    let port = gateway.address().port().to_string();
    for (port, expected) in [(port.as_str(), 421), ("443", 404), (&port, 421)] {
        let resource = manifest(&gateway, &image, &["--port", port]).unwrap();
        gateway.kubectl().apply(&resource).unwrap();
        gateway
            .wait_for(A, B, expected)
            .unwrap_or_else(|error| panic!("{port}: {error:#}"));
    }
}
