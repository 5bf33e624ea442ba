//! Random inputs for the model of gateways: what Istio's webhook accepts, in the combinations that
//! people do not think of.

use serde_json::{Value, json};

/// The namespaces of an input. The pods that the inputs are about are in the first two.
pub const NAMESPACES: [&str; 3] = ["istio-system", "shop", "team"];

const HOSTS: [&str; 9] = [
    "*",
    "*.com",
    "*.example.com",
    "*.b.example.com",
    "a.example.com",
    "A.example.com",
    "b.example.com",
    "x.b.example.com",
    "c.example.org",
];

/// Hosts of which none matches another, as one VirtualService needs them.
const APART: [&[&str]; 8] = [
    &["*"],
    &["*.com", "c.example.org"],
    &["*.example.com"],
    &["*.b.example.com", "a.example.com"],
    &["a.example.com", "b.example.com"],
    &["A.example.com", "x.b.example.com"],
    &["b.example.com"],
    &["c.example.org", "*.b.example.com"],
];

const PREFIXES: [&str; 9] = [
    "",
    "",
    "",
    "",
    "./",
    "*/",
    "shop/",
    "istio-system/",
    "team/",
];

/// Labels that pods of an input may have.
const SELECTORS: [&[(&str, &str)]; 5] = [
    &[],
    &[("istio", "ingressgateway")],
    &[("istio", "ingressgateway")],
    &[("app", "edge")],
    &[("app", "edge"), ("istio", "ingressgateway")],
];

/// An input, made of a number.
#[derive(Clone, Debug)]
pub struct RandomInput {
    /// The resources to apply at once; what follows is to be younger.
    pub batches: Vec<Vec<Value>>,
}

impl RandomInput {
    /// The input of a seed: the same every time.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let count = 2 + random.below(3);
        let mut all: Vec<Value> = (0..count).map(|n| gateway(&mut random, n)).collect();
        let routes = 2 + random.below(4);
        for n in 0..routes {
            all.extend(virtual_service(&mut random, n, count));
        }
        // In any order, for that is what ages are.
        for at in (1..all.len()).rev() {
            all.swap(at, random.below(at + 1));
        }
        let young = if random.one_in(3) {
            all.split_off(all.len() / 2)
        } else {
            Vec::new()
        };
        all.splice(0..0, services(&mut random).into_iter().chain([known()]));
        Self {
            batches: vec![all, young],
        }
    }
}

/// A Gateway that has both pods known for gateways: one without a selector says of no pods that they
/// are some.
fn known() -> Value {
    let spec = json!({
        "selector": { "istio": "ingressgateway" },
        "servers": [{
            "port": { "number": 8080, "name": "http", "protocol": "HTTP" },
            "hosts": ["known.example.com"],
        }],
    });
    resource("Gateway", "known", "istio-system", &spec)
}

/// The Gateway of a place, whose name another in the next namespace may have as well.
fn gateway(random: &mut Random, place: usize) -> Value {
    let count = 1 + random.below(3);
    let servers: Vec<Value> = (0..count).map(|n| server(random, n)).collect();
    let mut spec = json!({ "servers": servers });
    let selector = random.pick(&SELECTORS);
    if !selector.is_empty() {
        put(&mut spec, "selector", labels(selector));
    }
    resource(
        "Gateway",
        &gateway_name(place),
        gateway_namespace(place),
        &spec,
    )
}

fn gateway_name(place: usize) -> String {
    format!("g{}", place / 2)
}

fn gateway_namespace(place: usize) -> &'static str {
    NAMESPACES
        .get(place % NAMESPACES.len())
        .copied()
        .unwrap_or_default()
}

/// Port names are unique in a Gateway.
fn server(random: &mut Random, place: usize) -> Value {
    let count = 1 + random.below(3);
    let mut hosts: Vec<String> = (0..count)
        .map(|_| format!("{}{}", random.pick(&PREFIXES), random.pick(&HOSTS)))
        .collect();
    // istiod 1.31 ends in a panic where `./h` or `*/h` follows `*/*`, for which it leaves one host
    // (`pilot/pkg/model/gateway.go`, `sanitizeServerHostNamespace`).
    if let Some(everything) = hosts.iter().position(|host| host == "*/*") {
        hosts.truncate(everything + 1);
    }
    let number = random.pick(&[443, 443, 443, 8443, 9443]);
    let (protocol, mode) = random.pick(&[
        ("HTTPS", "SIMPLE"),
        ("HTTPS", "SIMPLE"),
        ("HTTPS", "SIMPLE"),
        ("HTTPS", "MUTUAL"),
        ("HTTPS", "OPTIONAL_MUTUAL"),
        ("HTTPS", "PASSTHROUGH"),
        ("TLS", "PASSTHROUGH"),
        ("TLS", "SIMPLE"),
        ("HTTP", ""),
    ]);
    // Plain text on the same port as TLS is rare, and takes everything with it.
    let number = if mode.is_empty() && !random.one_in(4) {
        80
    } else {
        number
    };
    let mut server = json!({
        "port": { "number": number, "name": format!("p{place}"), "protocol": protocol },
        "hosts": hosts,
    });
    if !mode.is_empty() {
        let mut tls = json!({ "mode": mode });
        if mode != "PASSTHROUGH" {
            put(&mut tls, "credentialName", json!("w"));
        }
        put(&mut server, "tls", tls);
    }
    if random.one_in(8) {
        put(&mut server, "bind", json!("10.0.0.1"));
    }
    server
}

/// A VirtualService, with a delegate where it has one.
fn virtual_service(random: &mut Random, place: usize, gateways: usize) -> Vec<Value> {
    let namespace = random.pick(&NAMESPACES);
    let hosts = random.pick(&APART);
    let mut spec = json!({ "hosts": hosts });
    let count = 1 + random.below(2);
    let mut bound: Vec<String> = (0..count).map(|_| binding(random, gateways)).collect();
    if random.one_in(8) && hosts != ["*"] {
        bound.push("mesh".into());
    }
    if random.one_in(3) {
        let visible = random.pick(&[".", "*", "shop", "istio-system"]);
        put(&mut spec, "exportTo", json!([visible]));
    }
    let name = format!("v{place}");
    let mut all = Vec::new();
    if random.one_in(3) {
        put(&mut spec, "tls", json!([tls_route(random, hosts, &bound)]));
    }
    if random.one_in(5) {
        put(&mut spec, "tcp", json!([tcp_route(random, &bound)]));
    }
    if random.one_in(8) {
        let delegate = format!("d{place}");
        let other = random.pick(&NAMESPACES);
        let root = json!({
            "match": [{ "uri": { "prefix": "/x" } }],
            "delegate": { "name": delegate, "namespace": other },
        });
        put(&mut spec, "http", json!([root]));
        let routes = json!({ "http": [{
            "match": [{ "uri": { "prefix": "/x/y" } }],
            "route": [{ "destination": { "host": "x" } }],
        }]});
        all.push(resource("VirtualService", &delegate, other, &routes));
    } else if spec.get("tls").is_none() || random.one_in(2) {
        let count = 1 + random.below(2);
        let routes: Vec<Value> = (0..count).map(|n| http_route(random, n, &bound)).collect();
        put(&mut spec, "http", json!(routes));
    }
    put(&mut spec, "gateways", json!(bound));
    all.push(resource("VirtualService", &name, namespace, &spec));
    all
}

/// The name of a Gateway, which may be one that there is not.
fn binding(random: &mut Random, gateways: usize) -> String {
    let missing = usize::from(random.one_in(6));
    let place = random.below(gateways + missing);
    if random.one_in(3) {
        return gateway_name(place);
    }
    format!("{}/{}", gateway_namespace(place), gateway_name(place))
}

fn http_route(random: &mut Random, place: usize, bound: &[String]) -> Value {
    let mut matches = json!({});
    if random.one_in(2) {
        put(
            &mut matches,
            "uri",
            json!({ "prefix": format!("/{place}") }),
        );
    }
    narrow(random, &mut matches, bound);
    let mut route = json!({ "route": [{ "destination": { "host": format!("s{place}") } }] });
    if matches != json!({}) {
        put(&mut route, "match", json!([matches]));
    }
    route
}

/// Server names are hosts of the VirtualService, or such that a wildcard of it matches.
fn tls_route(random: &mut Random, hosts: &[&str], bound: &[String]) -> Value {
    let names = hosts.iter().map(|host| match host.strip_prefix("*.") {
        Some(suffix) if random.one_in(2) => format!("tls.{suffix}"),
        _ => (*host).to_owned(),
    });
    let mut matches = json!({ "sniHosts": names.collect::<Vec<_>>() });
    narrow(random, &mut matches, bound);
    json!({ "match": [matches], "route": [{ "destination": { "host": "tls" } }] })
}

fn tcp_route(random: &mut Random, bound: &[String]) -> Value {
    let mut matches = json!({});
    narrow(random, &mut matches, bound);
    let mut route = json!({ "route": [{ "destination": { "host": "tcp" } }] });
    if matches != json!({}) {
        put(&mut route, "match", json!([matches]));
    }
    route
}

/// Has a condition hold for one Gateway, or for one port.
fn narrow(random: &mut Random, matches: &mut Value, bound: &[String]) {
    if random.one_in(4) {
        put(matches, "gateways", json!([random.pick_of(bound)]));
    }
    if random.one_in(4) {
        put(matches, "port", json!(random.pick(&[443, 8443, 9443])));
    }
}

/// The Services of the two gateways' pods: each maps 443 to a port of its own, or leaves it.
fn services(random: &mut Random) -> Vec<Value> {
    let of = |namespace: &str, selector: &[(&str, &str)], target: u16| {
        let spec = json!({
            "selector": labels(selector),
            "ports": [{ "name": "https", "port": 443, "targetPort": target }],
        });
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": "gateway", "namespace": namespace },
            "spec": spec,
        })
    };
    let home = random.pick(&[8443, 8443, 443]);
    let other = random.pick(&[8443, 9443]);
    vec![
        of("istio-system", &[("istio", "ingressgateway")], home),
        of("shop", &[("app", "edge")], other),
    ]
}

fn labels(pairs: &[(&str, &str)]) -> Value {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect()
}

fn resource(kind: &str, name: &str, namespace: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": { "name": name, "namespace": namespace },
        "spec": spec,
    })
}

fn put(object: &mut Value, key: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.into(), value);
    }
}

/// Random numbers (`SplitMix64`, Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One that is less than `end`, or 0.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(1).max(1);
        usize::try_from(self.next() % end).unwrap_or_default()
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<T: Copy + Default>(&mut self, choices: &[T]) -> T {
        choices
            .get(self.below(choices.len()))
            .copied()
            .unwrap_or_default()
    }

    fn pick_of(&mut self, choices: &[String]) -> String {
        choices
            .get(self.below(choices.len()))
            .cloned()
            .unwrap_or_default()
    }
}
