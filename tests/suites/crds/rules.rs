//! What a definition says in the Common Expression Language, said again in Rust. A rule that is not
//! here fails the test that meets it.

use serde_json::Value;

const GATEWAY_API: &str = "gateway.networking.k8s.io";
const ROUTES: [&str; 5] = ["HTTPRoute", "GRPCRoute", "UDPRoute", "TCPRoute", "TLSRoute"];

/// Adds the messages of all rules that a value breaks, at every depth.
pub(crate) fn check(schema: &Value, value: &Value, path: &str, faults: &mut Vec<String>) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let message = rule["message"].as_str().unwrap();
        if !holds(message, value) {
            faults.push(format!("{path}: {message}"));
        }
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let inner = schema["properties"].get(key);
                if let Some(inner) = inner.or_else(|| schema.get("additionalProperties")) {
                    check(inner, value, &format!("{path}.{key}"), faults);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                check(&schema["items"], item, &path, faults);
                if items[..index]
                    .iter()
                    .any(|earlier| same_keys(schema, earlier, item))
                {
                    faults.push(format!("{path}: repeats an earlier one"));
                }
            }
        }
        _ => {}
    }
}

/// Whether two items of a list that is a map have the same key.
fn same_keys(schema: &Value, one: &Value, other: &Value) -> bool {
    let keys = schema["x-kubernetes-list-map-keys"].as_array();
    keys.is_some_and(|keys| {
        keys.iter()
            .filter_map(Value::as_str)
            .all(|key| one.get(key) == other.get(key))
    })
}

fn holds(message: &str, value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    let has = |key: &str| value.get(key).is_some();
    let is = |key: &str, expected: &str| value.get(key).is_some_and(|found| found == expected);
    match message {
        "wildcard not allowed in label value match" => !text.contains('*'),
        "wildcard not allowed in label key match" => keys(value).all(|key| !key.contains('*')),
        "key must not be empty" => keys(value).all(|key| !key.is_empty()),
        "cross namespace referencing is not currently supported" => text.is_empty(),
        "url must have schema one of [http, https, file, oci]" => has_known_scheme(text),
        "only one of targetRefs or selector can be set" => {
            ["selector", "targetRef", "targetRefs"]
                .into_iter()
                .filter(|key| has(key))
                .count()
                <= 1
        }
        "exactly one of wasm or lua must be set" => has("wasm") != has("lua"),
        "Support kinds are core/Service, networking.istio.io/ServiceEntry, \
         gateway.networking.k8s.io/Gateway" => is_supported_by_istio(value),
        "either targetRef or targetRefs must be used" => {
            let selectors = value["targetSelectors"].as_array();
            has("targetRef") != has("targetRefs") || selectors.is_some_and(|list| !list.is_empty())
        }
        "this policy can only have a targetRef.group of gateway.networking.k8s.io" => {
            targets(value, "targetRef").all(|target| target["group"] == GATEWAY_API)
        }
        "this policy can only have a targetRefs[*].group of gateway.networking.k8s.io" => {
            targets(value, "targetRefs").all(|target| target["group"] == GATEWAY_API)
        }
        "this policy can only have a targetRef.kind of \
         Gateway/ListenerSet/HTTPRoute/GRPCRoute/TCPRoute/UDPRoute/TLSRoute" => {
            targets(value, "targetRef").all(|target| is_route(target) || is_gateway(target))
        }
        "this policy can only have a targetRefs[*].kind of \
         Gateway/ListenerSet/HTTPRoute/GRPCRoute/TCPRoute/UDPRoute/TLSRoute" => {
            targets(value, "targetRefs").all(|target| is_route(target) || is_gateway(target))
        }
        "mergeType can only be used with xRoute targets" => {
            let lists = ["targetRef", "targetRefs", "targetSelectors"];
            !has("mergeType") || lists.iter().all(|list| targets(value, list).all(is_route))
        }
        "Replace is not a valid MergeType for EnvoyExtensionPolicy" => text != "Replace",
        "If type is HTTP, http field needs to be set." => is("type", "HTTP") == has("http"),
        "If type is Image, image field needs to be set." => is("type", "Image") == has("image"),
        "only support Secret kind." => is("kind", "Secret"),
        other => panic!("the rule {other:?} is not restated here"),
    }
}

fn keys(value: &Value) -> impl Iterator<Item = &String> {
    value.as_object().into_iter().flat_map(|map| map.keys())
}

/// One target, or a list of them.
fn targets<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    let list = match value.get(key) {
        None => &[],
        Some(Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    list.iter()
}

fn is_route(target: &Value) -> bool {
    ROUTES.iter().any(|kind| target["kind"] == *kind)
}

fn is_gateway(target: &Value) -> bool {
    ["Gateway", "ListenerSet"]
        .iter()
        .any(|kind| target["kind"] == *kind)
}

fn is_supported_by_istio(target: &Value) -> bool {
    let supported = [
        ("core", "Service"),
        ("", "Service"),
        (GATEWAY_API, "Gateway"),
        ("networking.istio.io", "ServiceEntry"),
    ];
    supported
        .iter()
        .any(|(group, kind)| target["group"] == *group && target["kind"] == *kind)
}

/// What Go's `url.ParseRequestURI` takes for a scheme ends at a colon that only letters, digits,
/// `+`, `-` and `.` are before, a letter first. Without one `http://` is tried in front.
fn has_known_scheme(url: &str) -> bool {
    let scheme = url
        .split_once(':')
        .map(|(scheme, _)| scheme)
        .filter(|scheme| {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        });
    let known = ["http", "https", "oci", "file"];
    scheme.is_none_or(|scheme| known.contains(&scheme.to_ascii_lowercase().as_str()))
}
