//! The packager and an API server that answers what a real one answers seldom. What it reads of a
//! real one is in the suite `istio`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};
use tests::process::{Run, packager_program};

/// What is answered to a path with its query: a status and a body.
type Answer = dyn Fn(&str) -> (u16, String) + Send + Sync;

/// Runs `check` with such an API server, which stays until this program ends.
fn check(answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> Run {
    check_in(&[], answer)
}

/// The same in an environment.
fn check_in(
    environment: &[(&str, &str)],
    answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static,
) -> Run {
    check_with(&[], environment, answer)
}

/// The same with more arguments, in which `KUBECONFIG` stands for the path of the kubeconfig.
fn check_with(
    arguments: &[&str],
    environment: &[(&str, &str)],
    answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static,
) -> Run {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let answer: &'static Answer = Box::leak(Box::new(answer));
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || drop(serve(&client, answer)));
        }
    });
    let kubeconfig = tempfile::NamedTempFile::new().unwrap();
    let config = json!({
        "current-context": "test",
        "clusters": [{ "name": "test", "cluster": { "server": format!("http://{address}") } }],
        "users": [{ "name": "test", "user": { "token": "secret" } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
    });
    fs::write(kubeconfig.path(), config.to_string()).unwrap();
    let path = kubeconfig.path().to_str().unwrap();
    let names_it = arguments.contains(&"KUBECONFIG");
    let own = ("KUBECONFIG", if names_it { "/nothing" } else { path });
    let environment = [environment, &[own]].concat();
    let arguments: Vec<&str> = ["check", "--output", "json"]
        .iter()
        .chain(arguments)
        .map(|word| if *word == "KUBECONFIG" { path } else { *word })
        .collect();
    let mut run = packager_program(&arguments, &environment, "").unwrap();
    run.talk = run.talk.replace(&address.to_string(), "SERVER");
    run
}

fn serve(client: &TcpStream, answer: &Answer) -> io::Result<()> {
    let mut lines = BufReader::new(client).lines();
    while let Some(request) = lines.next() {
        let request = request?;
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        // They have no bodies.
        for header in lines.by_ref() {
            if header?.is_empty() {
                break;
            }
        }
        let (status, body) = answer(&path);
        let length = body.len();
        let mut client = client;
        write!(
            client,
            "HTTP/1.1 {status} -\r\ncontent-length: {length}\r\n\r\n{body}"
        )?;
    }
    Ok(())
}

/// A cluster with Istio's Gateways alone, of which the version that is preferred has none.
fn usual(path: &str) -> (u16, String) {
    let version = |name: &str| json!({ "groupVersion": format!("networking.istio.io/{name}"), "version": name });
    let resource = |name: &str, kind: &str| json!({ "name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["list"] });
    let body = match path.split('?').next().unwrap_or_default() {
        "/apis" => json!({ "kind": "APIGroupList", "groups": [{
            "name": "networking.istio.io",
            "versions": [version("v1"), version("v1beta1")],
            "preferredVersion": version("v1"),
        }]}),
        "/apis/networking.istio.io/v1" => {
            resources(&[resource("virtualservices", "VirtualService")])
        }
        "/apis/networking.istio.io/v1beta1" => resources(&[resource("gateways", "Gateway")]),
        "/apis/networking.istio.io/v1beta1/gateways" => list(&[gateway("a"), gateway("b")], ""),
        _ => list(&[], ""),
    };
    (200, body.to_string())
}

fn resources(resources: &[Value]) -> Value {
    json!({ "kind": "APIResourceList", "groupVersion": "", "resources": resources })
}

fn list(items: &[Value], next: &str) -> Value {
    json!({ "metadata": { "continue": next }, "items": items })
}

fn gateway(name: &str) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "istio-system" },
        "spec": { "servers": [{
            "port": { "number": 443, "name": "https", "protocol": "HTTPS" },
            "hosts": [format!("{name}.example.com")],
            "tls": { "mode": "PASSTHROUGH" },
        }]},
    })
}

fn status(code: u16, message: &str) -> (u16, String) {
    let status = json!({
        "kind": "Status", "status": "Failure", "code": code, "message": message, "reason": "",
    });
    (code, status.to_string())
}

#[track_caller]
fn gateways(run: &Run) -> u64 {
    let report: Value = serde_json::from_str(&run.out).unwrap_or_default();
    report
        .pointer("/summary/gateways")
        .and_then(Value::as_u64)
        .unwrap()
}

#[test]
fn a_kind_may_be_in_another_version_than_the_preferred_one() {
    let run = check(usual);
    assert_eq!(
        (gateways(&run), run.status, run.talk.as_str()),
        (2, 0, ASSUMED),
        "{run:?}"
    );
}

const ASSUMED: &str = "note: no pods of istio-system/* in the input, some are assumed\n";

/// The first page, or the second; the API server forgets lists before their end, so many times.
fn forgetful(times: usize) -> impl Fn(&str) -> (u16, String) + Send + Sync {
    let forgotten = AtomicUsize::new(0);
    move |path| {
        if !path.starts_with("/apis/networking.istio.io/v1beta1/gateways?") {
            return usual(path);
        }
        assert!(path.contains("limit=500"), "{path}");
        if !path.contains("continue=two") {
            return (200, list(&[gateway("a"), gateway("b")], "two").to_string());
        }
        if forgotten.fetch_add(1, Ordering::Relaxed) < times {
            return status(410, "The provided continue parameter is too old");
        }
        (200, list(&[gateway("c")], "").to_string())
    }
}

#[test]
fn a_list_that_is_forgotten_is_read_again_once() {
    for times in [0, 1] {
        let run = check(forgetful(times));
        assert_eq!(
            (gateways(&run), run.status, run.talk.as_str()),
            (3, 0, ASSUMED),
            "{run:?}"
        );
    }
    let run = check(forgetful(2));
    let expected = "error: listing gateways.networking.istio.io of http://SERVER: the list changes \
                    faster than it can be read\nhint: try again, or name the namespaces of the \
                    gateways with --namespace\n";
    assert_eq!(
        (run.status, run.talk.as_str(), run.out.as_str()),
        (2, expected, "")
    );
}

#[test]
fn what_is_no_answer_is_one_line() {
    let listing = "/apis/networking.istio.io/v1beta1/gateways?";
    for (path, answer, expected) in [
        (
            listing,
            status(500, "etcd\nis gone"),
            "listing gateways.networking.istio.io of http://SERVER: the API server answers 500: etcd is gone",
        ),
        (
            listing,
            (200, "<html>".to_owned()),
            "listing gateways.networking.istio.io of http://SERVER: the answer is not a list of resources (Syntax error)",
        ),
        (
            "/apis",
            (404, "<html>".to_owned()),
            "listing the kinds of resources of http://SERVER: the API server has none",
        ),
        (
            "/apis",
            status(403, "no"),
            "listing the kinds of resources of http://SERVER: no",
        ),
    ] {
        let run = check(move |asked| {
            if asked.starts_with(path) {
                answer.clone()
            } else {
                usual(asked)
            }
        });
        assert_eq!((run.status, run.out.as_str()), (2, ""), "{expected}");
        let mut lines = run.talk.lines();
        assert_eq!(lines.next(), Some(format!("error: {expected}").as_str()));
        assert!(
            lines.next().is_some_and(|hint| hint.starts_with("hint: ")),
            "{expected}"
        );
        assert_eq!(lines.next(), None, "{expected}");
    }
}

/// The others are looked at all the same.
#[test]
fn a_resource_that_is_wrong_is_named() {
    let run = check(|path| {
        if !path.starts_with("/apis/networking.istio.io/v1beta1/gateways?") {
            return usual(path);
        }
        let mut wrong = gateway("b");
        if let Some(hosts) = wrong.pointer_mut("/spec/servers/0/hosts") {
            *hosts = json!(["a b"]);
        }
        (200, list(&[gateway("a"), wrong], "").to_string())
    });
    let expected = "error: reading the cluster: Gateway istio-system/b: spec.servers[0].hosts[0]: ";
    assert!(run.talk.starts_with(expected), "{}", run.talk);
    assert_eq!((gateways(&run), run.status), (1, 2));
}

/// As kubectl does it: a proxy, unless the API server is one to be reached without.
#[test]
fn proxies_are_those_of_the_environment() {
    let proxies = [
        ("HTTP_PROXY", "http://localhost:1"),
        ("HTTPS_PROXY", "http://localhost:1"),
    ];
    let run = check_in(&proxies, usual);
    let expected = "error: listing the kinds of resources of http://SERVER: Connection refused";
    assert_eq!(run.status, 2);
    assert!(run.talk.starts_with(expected), "{}", run.talk);
    for (name, without) in [
        ("127.0.0.1", true),
        ("127.0.0.0/8", true),
        ("10.0.0.0/8", false),
    ] {
        let run = check_in(&[&proxies[..], &[("NO_PROXY", name)]].concat(), usual);
        assert_eq!(run.status == 0, without, "{name}: {}", run.talk);
    }
}

/// Files are put over the cluster: they replace a Gateway of their name, and add others.
#[test]
fn files_over_a_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("change.yaml");
    let path = file.to_str().unwrap();
    let hosts =
        |name: &str, host: &str| gateway_text(name).replace(&format!("{name}.example.com"), host);
    // The second Gateway repeats the host of the first, which is older, and is dropped.
    fs::write(
        &file,
        hosts("b", "a.example.com") + "---\n" + &hosts("c", "c.example.com"),
    )
    .unwrap();
    let run = check_with(&["--cluster", path], &[], usual);
    assert_eq!(gateways(&run), 3, "{run:?}");
    assert!(run.status == 1 && run.out.contains("\"SG201\""), "{run:?}");
    // Without --cluster only the file is read.
    let run = check_with(&["--filename", path], &[], usual);
    assert_eq!((gateways(&run), run.status), (2, 0), "{run:?}");
    // A broken file is an error before the cluster matters.
    fs::write(&file, gateway_text("b").replace("443", "many")).unwrap();
    let run = check_with(&["--cluster", path], &[], usual);
    assert_eq!((gateways(&run), run.status), (2, 2), "{run:?}");
}

fn gateway_text(name: &str) -> String {
    let mut gateway = gateway(name);
    let fields = gateway.as_object_mut().unwrap();
    fields.insert("apiVersion".into(), json!("networking.istio.io/v1"));
    fields.insert("kind".into(), json!("Gateway"));
    format!("{gateway}\n")
}

#[test]
fn a_kubeconfig_is_named() {
    let run = check_with(&["--kubeconfig", "KUBECONFIG", "-A"], &[], usual);
    assert_eq!((gateways(&run), run.status), (2, 0), "{run:?}");
    let run = check_with(&["--kubeconfig", "/nothing/here"], &[], usual);
    assert_eq!(run.status, 2, "{run:?}");
    assert!(run.talk.contains("/nothing/here: No such file"), "{run:?}");
    assert!(
        run.talk
            .contains("hint: name a kubeconfig with --kubeconfig"),
        "{run:?}"
    );
}

/// The note that the model assumes a default of the mesh configuration.
const ASSUMED_VISIBILITY: &str = "note: VirtualServices without exportTo are assumed";

/// The cluster with a VirtualService of another namespace and, if wanted, a pod of istiod. It has no ConfigMap.
fn without_mesh_config(has_istiod: bool) -> impl Fn(&str) -> (u16, String) + Send + Sync {
    move |path| {
        let body = match path.split('?').next().unwrap_or_default() {
            "/api/v1" => {
                let kinds = [("pods", "Pod"), ("configmaps", "ConfigMap")];
                resources(&kinds.map(|(name, kind)| json!({ "name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["list"] })))
            }
            "/api/v1/pods" if has_istiod => list(
                &[json!({
                    "metadata": {
                        "name": "istiod-1",
                        "namespace": "istio-system",
                        "labels": { "app": "istiod", "istio.io/rev": "default" },
                    },
                    "spec": { "containers": [{ "name": "discovery" }] },
                })],
                "",
            ),
            "/apis/networking.istio.io/v1beta1/gateways" => {
                let mut gateway = gateway("a");
                let tls = json!({ "mode": "SIMPLE", "credentialName": "a" });
                *gateway.pointer_mut("/spec/servers/0/tls").unwrap() = tls;
                list(&[gateway], "")
            }
            "/apis/networking.istio.io/v1/virtualservices" => list(
                &[json!({
                    "metadata": { "name": "a", "namespace": "shop" },
                    "spec": { "hosts": ["a.example.com"], "gateways": ["istio-system/a"], "http": [{ "route": [{ "destination": { "host": "a" } }] }] },
                })],
                "",
            ),
            _ => return usual(path),
        };
        (200, body.to_string())
    }
}

/// istiod has its defaults where the cluster has no ConfigMap, so they are known. An istiod outside of the cluster
/// has a ConfigMap elsewhere.
#[test]
fn without_a_config_map_the_defaults_of_istiod_hold() {
    let run = check(without_mesh_config(true));
    assert_eq!(gateways(&run), 1, "{run:?}");
    assert!(!run.talk.contains(ASSUMED_VISIBILITY), "{run:?}");
    let run = check(without_mesh_config(false));
    assert_eq!(gateways(&run), 1, "{run:?}");
    assert!(run.talk.contains(ASSUMED_VISIBILITY), "{run:?}");
}

/// A ConfigMap that the user may not read has a note of its own, and one is enough.
#[test]
fn an_unreadable_mesh_configuration_is_noted_once() {
    let answer = without_mesh_config(true);
    let run = check(move |path| {
        if path.starts_with("/api/v1/configmaps") {
            return status(403, "configmaps is forbidden");
        }
        answer(path)
    });
    let notes: Vec<&str> = run.talk.lines().collect();
    let expected = "note: the mesh configuration of istiod is assumed to be the default: configmaps is forbidden";
    assert!(notes.contains(&expected), "{run:?}");
    assert!(!run.talk.contains(ASSUMED_VISIBILITY), "{run:?}");
}
