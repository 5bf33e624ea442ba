//! The rule as a Lua script on gateways of a real Istio: installed with one `kubectl apply`, without a registry.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::certificate::Certificate;
use tests::client;
use tests::istio::{A, B, Kubectl, Pod, Stack, Traffic, wait_for};
use tests::process::{free_ports, packager_program};
use tests::script::{MOST_OCTETS, configuration_with_octets, script};

/// The kinds of resource that install a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    TrafficExtension,
    EnvoyFilter,
}

const KINDS: [Kind; 2] = [Kind::TrafficExtension, Kind::EnvoyFilter];

impl Kind {
    /// The resource that installs a script on the pods with the label `istio` of this value.
    fn resource(self, namespace: &str, script: &str) -> Value {
        let labels = json!({ "istio": namespace });
        let (api, spec) = match self {
            Self::TrafficExtension => (
                "extensions.istio.io/v1alpha1",
                json!({
                    "selector": { "matchLabels": labels },
                    "lua": { "inlineCode": script },
                }),
            ),
            Self::EnvoyFilter => (
                "networking.istio.io/v1alpha3",
                json!({
                    "workloadSelector": { "labels": labels },
                    "configPatches": [patch(script)],
                }),
            ),
        };
        json!({
            "apiVersion": api,
            "kind": format!("{self:?}"),
            "metadata": { "name": "sni-guard", "namespace": namespace },
            "spec": spec,
        })
    }

    /// The name of the kind in commands of kubectl.
    fn plural(self) -> &'static str {
        match self {
            Self::TrafficExtension => "trafficextensions",
            Self::EnvoyFilter => "envoyfilters",
        }
    }

    /// Where the script is in a resource.
    fn script_pointer(self) -> &'static str {
        match self {
            Self::TrafficExtension => "/spec/lua/inlineCode",
            Self::EnvoyFilter => {
                "/spec/configPatches/0/patch/value/typed_config/default_source_code/inline_string"
            }
        }
    }
}

fn patch(script: &str) -> Value {
    let manager = "envoy.filters.network.http_connection_manager";
    json!({
        "applyTo": "HTTP_FILTER",
        "match": {
            "context": "GATEWAY",
            "listener": { "filterChain": { "filter": { "name": manager } } },
        },
        "patch": {
            "operation": "INSERT_FIRST",
            "value": {
                "name": "sni-guard",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
                    "default_source_code": { "inline_string": script },
                },
            },
        },
    })
}

/// A gateway in a namespace of its own, with a Gateway and a VirtualService for each host.
struct Shop {
    name: &'static str,
    address: SocketAddr,
    pod: Pod,
    stack: Arc<Stack>,
    _folder: TempDir,
}

impl Shop {
    /// The answers have the host as their body, a wildcard as it is written.
    fn open(name: &'static str, hosts: &[&str]) -> Self {
        Self::open_annotated(name, hosts, &BTreeMap::new())
    }

    /// The same with annotations of the pod.
    fn open_annotated(
        name: &'static str,
        hosts: &[&str],
        annotations: &BTreeMap<String, String>,
    ) -> Self {
        let stack = Stack::shared().unwrap();
        let folder = TempDir::new().unwrap();
        let certificate = Certificate::generate(folder.path(), hosts).unwrap();
        let port = *free_ports(1).unwrap().first().unwrap();
        let service = include_str!("../../istio/shop.yaml")
            .replace("$NAME", name)
            .replace("$PORT", &port.to_string());
        stack.kubectl().apply(&service).unwrap();
        for (number, host) in hosts.iter().enumerate() {
            let resources = include_str!("../../istio/host.yaml")
                .replace("$NAME", name)
                .replace("$HOST", &format!("\"{host}\""))
                .replace("$LABEL", &format!("host-{number}"))
                .replace("$CERTIFICATE", certificate.certificate.to_str().unwrap())
                .replace("$KEY", certificate.key.to_str().unwrap());
            stack.kubectl().apply(&resources).unwrap();
        }
        let labels = BTreeMap::from([("istio".to_owned(), name.to_owned())]);
        let pod = Pod::start_annotated(&stack, name, "gateway-0", &labels, annotations).unwrap();
        let shop = Self {
            name,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            pod,
            stack,
            _folder: folder,
        };
        for host in hosts {
            let host = host.replace('*', "x");
            shop.wait_for(&host, &host, 200);
        }
        shop
    }

    fn kubectl(&self) -> &Kubectl {
        self.stack.kubectl()
    }

    /// What `packager manifest --lua --cluster` prints for this gateway.
    #[track_caller]
    fn manifest(&self, kind: Kind, options: &[&str]) -> String {
        let (kind, selector) = (format!("{kind:?}"), format!("istio={}", self.name));
        let arguments = [
            &["manifest", "--lua", "--cluster", "--kind", &kind][..],
            &["--selector", &selector, "--namespace", self.name],
            options,
        ];
        let kubeconfig = self.kubectl().kubeconfig().to_str().unwrap();
        let environment = [("KUBECONFIG", kubeconfig)];
        let run = packager_program(&arguments.concat(), &environment, "").unwrap();
        assert_eq!(run.status, 0, "{}", run.talk);
        run.out
    }

    /// `packager manifest --lua --cluster | kubectl apply -f -`.
    #[track_caller]
    fn install(&self, kind: Kind, options: &[&str]) {
        let manifest = self.manifest(kind, options);
        self.kubectl().apply(&manifest).unwrap();
    }

    /// The script of the resource as the API server has it.
    fn stored_script(&self, kind: Kind) -> String {
        let output = ["-o", "json"];
        let resource = ["-n", self.name, "get", kind.plural(), "sni-guard"];
        let stored = self
            .kubectl()
            .run(&[&resource[..], &output].concat())
            .unwrap();
        let stored: Value = serde_json::from_str(&stored).unwrap();
        let script = stored.pointer(kind.script_pointer()).unwrap();
        script.as_str().unwrap().to_owned()
    }

    fn remove(&self, kind: Kind) {
        self.kubectl()
            .run(&["-n", self.name, "delete", kind.plural(), "sni-guard"])
            .unwrap();
    }

    /// The status and the body of an answer; `None` without an answer.
    fn answer(&self, sni: &str, authority: &str) -> Option<(u16, String)> {
        let response = client::get(self.address, sni, authority).ok()?;
        let body = String::from_utf8(response.body).unwrap();
        Some((response.status, body))
    }

    fn status(&self, sni: &str, authority: &str) -> Option<u16> {
        self.answer(sni, authority).map(|(status, _)| status)
    }

    #[track_caller]
    fn wait_for(&self, sni: &str, authority: &str, status: u16) {
        let what = format!("{}: {authority} on a connection for {sni}", self.name);
        wait_for(&what, &Some(status), || self.status(sni, authority)).unwrap();
    }

    /// The statuses of both hosts on their own connections, and of one on the connection of the other between them.
    fn statuses(&self) -> [Option<u16>; 3] {
        [self.status(A, A), self.status(A, B), self.status(B, B)]
    }

    fn metric(&self, name: &str) -> u64 {
        self.pod.script_metric(name).unwrap().unwrap_or_default()
    }
}

const UNGUARDED: [Option<u16>; 3] = [Some(200), Some(404), Some(200)];
const GUARDED: [Option<u16>; 3] = [Some(200), Some(421), Some(200)];

#[test]
fn one_apply_installs_the_script() {
    let shop = Shop::open("lua", &[A, B]);
    for kind in KINDS {
        assert_eq!(shop.statuses(), UNGUARDED, "{kind:?}");
        shop.install(kind, &[]);
        shop.wait_for(A, B, 421);
        assert_eq!(shop.statuses(), GUARDED, "{kind:?}");
        assert_eq!(shop.status(B, A), Some(421), "{kind:?}");
        let stored = rule::lua::read(&shop.stored_script(kind)).unwrap();
        assert!(
            stored.is_current,
            "{kind:?}: the API server changed the script"
        );
        // Istio's gateways show no counters of scripts without an annotation of the pod.
        let name = "sni_guard.enforced.other_server";
        assert_eq!(shop.pod.script_metric(name).unwrap(), None, "{kind:?}");
        shop.remove(kind);
        shop.wait_for(A, B, 404);
    }
}

/// A wildcard server, and a server for a host under the wildcard: its routes are not those of the wildcard.
#[test]
fn a_wildcard_keeps_its_legitimate_reuse() {
    let (x, y, wildcard) = ("x.example.com", "y.example.com", "*.example.com");
    let shop = Shop::open("lua-wildcard", &[wildcard, B]);
    let served = |host: &str| Some((200, host.to_owned()));
    assert_eq!(shop.answer(x, B), served(wildcard));
    for kind in KINDS {
        shop.install(kind, &[]);
        shop.wait_for(x, B, 421);
        assert_eq!(shop.answer(x, y), served(wildcard), "{kind:?}");
        assert_eq!(shop.answer(x, x), served(wildcard), "{kind:?}");
        assert_eq!(shop.answer(B, B), served(B), "{kind:?}");
        assert_eq!(shop.status(B, x), Some(421), "{kind:?}");
        shop.remove(kind);
        shop.wait_for(x, B, 200);
    }
}

#[test]
fn actions_are_switched_with_the_script() {
    // Istio's gateways show few metrics without this.
    let annotation = "sidecar.istio.io/statsInclusionRegexps".to_owned();
    let annotations = BTreeMap::from([(annotation, ".*sni_guard.*".to_owned())]);
    let shop = Shop::open_annotated("lua-actions", &[A, B], &annotations);
    for kind in KINDS {
        let (off, enforce) = (format!("{B}=off"), format!("{B}=enforce"));
        for (options, status, counter) in [
            (
                &["--action", "report"][..],
                404,
                "sni_guard.reported.other_server",
            ),
            (&[], 421, "sni_guard.enforced.other_server"),
            (&["--host", &off], 404, "sni_guard.passed.off"),
            (
                &["--host", "*=off", "--host", &enforce],
                421,
                "sni_guard.enforced.other_server",
            ),
        ] {
            let before = shop.metric(counter);
            shop.install(kind, options);
            let what = format!("{kind:?}: {options:?}");
            let seen = || (shop.status(A, B), shop.metric(counter) > before);
            wait_for(&what, &(Some(status), true), seen).unwrap();
            assert_eq!(shop.status(B, B), Some(200), "{what}");
        }
        shop.remove(kind);
        shop.wait_for(A, B, 404);
    }
    let exposed = shop.pod.admin("/stats/prometheus").unwrap();
    for metric in [
        "enforced_other_server",
        "reported_other_server",
        "passed_off",
    ] {
        let start = format!("\nenvoy_http_lua_sni_guard_{metric}{{http_conn_manager_prefix=");
        assert!(exposed.contains(&start), "{metric}");
    }
}

/// Each change of a script replaces the filter chains. Their connections end without a failed request.
#[test]
fn an_update_fails_no_request() {
    let shop = Shop::open("lua-update", &[A, B]);
    for kind in KINDS {
        shop.install(kind, &[]);
        shop.wait_for(A, B, 421);
        let traffic = Traffic::start(shop.address, &[A, B]);
        for (action, status) in [
            ("report", 404),
            ("enforce", 421),
            ("off", 404),
            ("enforce", 421),
        ] {
            shop.install(kind, &["--action", action]);
            shop.wait_for(A, B, status);
            // The drain is part of the update.
            sleep(Duration::from_secs(6));
        }
        let tally = traffic.end().unwrap();
        let requests = tally.requests();
        assert_eq!(tally.failures, [], "{kind:?}: of {requests} requests");
        assert!(requests > 1_000, "{kind:?}: {requests} requests");
        // Two clients keep a connection, and each update ends it.
        assert!(
            (4..=16).contains(&tally.closed),
            "{kind:?}: {} closed",
            tally.closed
        );
        shop.remove(kind);
        shop.wait_for(A, B, 404);
    }
}

/// Nothing before Envoy looks at the syntax of a script. Gateways that run keep the last good one, and a gateway that
/// starts has no listener. `packager manifest` never prints such a script.
#[test]
fn a_broken_script_stops_pods_that_start() {
    let mut shop = Shop::open("lua-broken", &[A, B]);
    let kind = Kind::TrafficExtension;
    let good = shop.manifest(kind, &[]);
    let broken = good.replacen(" then\n", " than\n", 1);
    assert_ne!(broken, good);
    let apply = |shop: &Shop, resource: &str| shop.kubectl().apply(resource).unwrap();
    apply(&shop, &good);
    shop.wait_for(A, B, 421);

    apply(&shop, &broken);
    let is_rejected = || shop.pod.log().unwrap().contains("script load error");
    wait_for("Envoy rejects the script", &true, is_rejected).unwrap();
    assert_eq!(shop.statuses(), GUARDED);

    shop.pod.end();
    shop.pod = Pod::start(&shop.stack, shop.name, 1).unwrap();
    let is_rejected = || shop.pod.log().unwrap().contains("script load error");
    wait_for("a new Envoy rejects the script", &true, is_rejected).unwrap();
    assert_eq!(shop.statuses(), [None; 3]);

    apply(&shop, &good);
    shop.wait_for(A, B, 421);
    assert_eq!(shop.statuses(), GUARDED);
}

/// The API server takes a TrafficExtension up to a number of octets, and an EnvoyFilter with more.
#[test]
fn the_length_of_a_script_has_a_limit() {
    let stack = Stack::shared().unwrap();
    let try_apply = |kind: Kind, octets: usize| {
        let script = script(&configuration_with_octets(octets).unwrap()).unwrap();
        assert_eq!(script.len(), octets);
        let resource = kind.resource("istio-system", &script);
        stack.kubectl().try_apply(&resource.to_string())
    };
    for octets in [MOST_OCTETS - 1, MOST_OCTETS] {
        try_apply(Kind::TrafficExtension, octets).unwrap();
    }
    let refusal = try_apply(Kind::TrafficExtension, MOST_OCTETS + 1).unwrap_err();
    assert!(
        refusal.to_string().contains("spec.lua.inlineCode"),
        "{refusal}"
    );
    try_apply(Kind::EnvoyFilter, MOST_OCTETS + 1).unwrap();
}
