//! What to write, and what is in it.

/// Kind, minor version of Istio that has it (0: not Istio), arguments. `IMAGE` is an image with its
/// digest, `CONFIG` a file with every setting.
pub(crate) const ROWS: &[(&str, u16, &str)] = &[
    (
        "WasmPlugin",
        24,
        "--image IMAGE --selector istio=ingressgateway",
    ),
    (
        "WasmPlugin",
        24,
        "--image IMAGE --selector a.example.com/b=C_d.e --selector empty=",
    ),
    (
        "WasmPlugin",
        24,
        "--image IMAGE --target-ref Gateway/public --target-ref Gateway/b.c",
    ),
    (
        "WasmPlugin",
        24,
        "--image IMAGE --mesh-wide --config CONFIG --name 1.on --namespace no",
    ),
    (
        "WasmPlugin",
        24,
        "--image 127.0.0.1:5000/x:latest --allow-mutable --mesh-wide",
    ),
    (
        "WasmPlugin",
        24,
        "--image localhost/x --allow-mutable --mesh-wide --action report",
    ),
    (
        "WasmPlugin",
        24,
        "--image IMAGE --target-ref Gateway/public --config CONFIG --port 8443 --port 65535 \
         --phase AUTHZ --priority -2147483648 --fail-strategy FAIL_CLOSE --image-pull-secret pull.1",
    ),
    (
        "WasmPlugin",
        24,
        "--image IMAGE --mesh-wide --phase STATS --priority 2147483647",
    ),
    (
        "WasmPlugin",
        30,
        "--image IMAGE --mesh-wide --fail-strategy FAIL_RELOAD",
    ),
    (
        "TrafficExtension",
        30,
        "--image IMAGE --selector istio=ingressgateway",
    ),
    (
        "TrafficExtension",
        30,
        "--image IMAGE --target-ref Gateway/public --config CONFIG",
    ),
    (
        "TrafficExtension",
        30,
        "--image IMAGE --mesh-wide --fail-strategy FAIL_RELOAD",
    ),
    (
        "TrafficExtension",
        30,
        "--image localhost:5000/x:1 --allow-mutable --mesh-wide --port 1",
    ),
    (
        "TrafficExtension",
        30,
        "--image IMAGE --selector a=b --config CONFIG --port 8443 --port 65535 --phase STATS \
         --priority -1 --fail-strategy FAIL_CLOSE --image-pull-secret pull --host b.example.com=off",
    ),
    (
        "AuthorizationPolicy",
        24,
        "--selector istio=ingressgateway --from cli/manifest-policy-redirect.yaml",
    ),
    (
        "AuthorizationPolicy",
        24,
        "--selector istio=ingressgateway --from cli/manifest-policy-wildcard.yaml",
    ),
    (
        "AuthorizationPolicy",
        24,
        "--namespace shop --target-ref Gateway/public --from cli/manifest-policy-managed.yaml",
    ),
    (
        "EnvoyExtensionPolicy",
        0,
        "--image IMAGE --target-ref Gateway/public",
    ),
    (
        "EnvoyExtensionPolicy",
        0,
        "--image IMAGE --target-ref Gateway/a --target-ref Gateway/b --config CONFIG \
         --fail-strategy FAIL_CLOSE --image-pull-secret pull",
    ),
    (
        "EnvoyExtensionPolicy",
        0,
        "--image localhost/x:1 --allow-mutable --target-ref Gateway/a",
    ),
];

/// The fields of `spec` that the rows of a kind have between them.
pub(crate) const FIELDS: [(&str, &[&str]); 4] = [
    (
        "WasmPlugin",
        &[
            "failStrategy",
            "imagePullSecret",
            "match",
            "phase",
            "pluginConfig",
            "priority",
            "selector",
            "sha256",
            "targetRefs",
            "url",
        ],
    ),
    (
        "TrafficExtension",
        &[
            "match",
            "phase",
            "priority",
            "selector",
            "targetRefs",
            "wasm.failStrategy",
            "wasm.imagePullSecret",
            "wasm.pluginConfig",
            "wasm.sha256",
            "wasm.url",
        ],
    ),
    (
        "AuthorizationPolicy",
        &["action", "rules", "selector", "targetRefs"],
    ),
    ("EnvoyExtensionPolicy", &["targetRefs", "wasm"]),
];
