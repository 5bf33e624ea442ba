//! The model of gateways, by cases that are files: each YAML in `gateways/` is an input, and its lines
//! `# EXPECT:` are all that there is to say about the model's TLS listeners, in any order:
//!
//! - `listener WORKLOAD NAME`, with `?` after a port that is not certain; what follows is about it;
//! - `chain NAME = SERVER NAMES`, with the TLS mode where it is not simple;
//! - `rejected SERVER NAMES`;
//! - `SNI AUTHORITY OUTCOME CHAIN VIRTUAL-HOST`, `-` for none: a request;
//! - `dropped SERVER: REASON`, `unprogrammed SERVER: REASON`, `ignored RESOURCE: REASON`, wherever.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod properties;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use packager::gateway::documents::read;
use packager::gateway::resources::istio::TlsMode;
use packager::gateway::{Credential, DropReason, Dropped, Listener, Model, Resources};
use rule::{Config, Document};
use serde::Deserialize as _;
use tests::process::{packager, packager_with_input};

fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<_> =
        fs::read_dir("gateways").unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

fn resources(text: &str) -> Resources {
    let mut resources = Resources::default();
    let faults = read("input.yaml", text, &mut resources);
    assert!(faults.is_empty(), "{faults:?}");
    resources
}

#[test]
fn what_istiod_makes_of_the_input() {
    let cases = cases();
    assert!(cases.len() > 50, "{}", cases.len());
    for case in cases {
        check_case(&case);
    }
}

#[track_caller]
fn check_case(case: &Path) {
    let text = fs::read_to_string(case).unwrap();
    let model = Model::of(&resources(&text));
    let mut expected: Vec<&str> = Vec::new();
    let mut listener = None;
    for line in text.lines().filter_map(|line| line.strip_prefix("# EXPECT: ")) {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["chain" | "rejected" | "dropped" | "unprogrammed" | "ignored", ..] => {
                expected.push(line);
            }
            ["listener", ..] => {
                expected.push(line);
                listener = find(&model, line);
                assert!(listener.is_some(), "{}: no {line} in {:?}", case.display(), told(&model));
            }
            [sni, authority, ..] => check_answer(case, listener.unwrap(), sni, authority, line),
            _ => panic!("{}: {line}", case.display()),
        }
    }
    expected.sort_unstable();
    let mut told = told(&model);
    told.sort_unstable();
    assert_eq!(told, expected, "{}", case.display());
}

fn find<'m>(model: &'m Model, line: &str) -> Option<&'m Listener> {
    let mut listeners = model.workloads.iter().flat_map(|workload| {
        workload.listeners.iter().map(|listener| (workload.full_name(), listener))
    });
    let found = listeners.find(|(workload, listener)| heading(workload, listener) == line);
    found.map(|(_, listener)| listener)
}

fn heading(workload: &str, listener: &Listener) -> String {
    let doubt = if listener.port_is_certain { "" } else { "?" };
    format!("listener {workload} {}{doubt}", listener.name())
}

#[track_caller]
fn check_answer(case: &Path, listener: &Listener, sni: &str, authority: &str, line: &str) {
    let server_name = if sni == "-" { "" } else { sni };
    let answer = listener.answer(server_name.as_bytes(), authority.as_bytes());
    let chain = answer.chain.map_or("-", |chain| chain.name.as_str());
    let virtual_host = answer.virtual_host.map_or("-", |host| host.name.as_str());
    let told = format!("{sni} {authority} {} {chain} {virtual_host}", answer.outcome.name());
    assert_eq!(told, line, "{}", case.display());
}

/// Everything but requests.
fn told(model: &Model) -> Vec<String> {
    let mut lines = Vec::new();
    for workload in &model.workloads {
        // Plain text on the ports for it has no part in this.
        let is_told = |listener: &&Listener| listener.is_tls() || listener.port == 8443;
        for listener in workload.listeners.iter().filter(is_told) {
            lines.push(heading(&workload.full_name(), listener));
            lines.extend(listener.chains.iter().map(chain));
            if listener.is_rejected() {
                let hosts = listener.duplicates.iter().map(|duplicate| duplicate.host.to_string());
                lines.push(format!("rejected {}", hosts.collect::<Vec<_>>().join(" ")));
            }
        }
        lines.extend(workload.dropped.iter().map(dropped));
    }
    lines.extend(model.unprogrammed.iter().map(|found| format!("unprogrammed {found}")));
    lines.extend(model.ignored.iter().map(|found| format!("ignored {found}")));
    lines
}

fn chain(chain: &packager::gateway::FilterChain) -> String {
    let hosts: Vec<String> = chain.server_names.iter().map(ToString::to_string).collect();
    let mode = match chain.tls {
        Some(TlsMode::Mutual) => " MUTUAL",
        None => " PLAIN",
        Some(_) => "",
    };
    format!("chain {} = {}{mode}", chain.name, hosts.join(" "))
}

fn dropped(dropped: &Dropped) -> String {
    let reason = match &dropped.reason {
        DropReason::SameHost { host, winner } => format!("{host} is in {winner}"),
        DropReason::PlainText { winner } => format!("plain text in {winner}"),
        DropReason::SamePortName { winner } => format!("the port name is in {winner}"),
    };
    format!("dropped {}: {reason}", dropped.server.id)
}

/// The `servers` of every listener are a configuration, and name each server name once.
#[test]
fn servers_are_a_valid_configuration() {
    let mut tables = 0;
    for case in cases() {
        let model = Model::of(&resources(&fs::read_to_string(&case).unwrap()));
        for listener in model.workloads.iter().flat_map(|workload| &workload.listeners) {
            let servers = listener.servers();
            if listener.is_tls() {
                let config = serde_json::json!({ "servers": servers });
                let config = Config::parse(&Document::deserialize(&config).unwrap());
                config.unwrap_or_else(|faults| panic!("{}: {faults}", case.display()));
                tables += 1;
            } else {
                assert!(servers.is_empty(), "{servers:?}");
            }
        }
    }
    assert!(tables > 50, "{tables}");
}

#[test]
fn servers_by_label() {
    for (case, expected) in [
        (
            "10-passthrough",
            vec![
                "istio-system/gw-a/https-a=a.example.com",
                "istio-system/gw-b/tls-b=b.example.com",
            ],
        ),
        (
            "11-mutual",
            vec![
                "istio-system/gw-b/https-b=b.example.com",
                "istio-system/gw-w/https-w=*.example.com",
            ],
        ),
        ("17-gateway-api", vec!["shop/public/a=a.example.com", "shop/public/b=b.example.com"]),
        (
            "passthrough-names",
            vec![
                "istio-system/gw-b/tls-b=b.example.com c.example.com",
                "istio-system/gw-w/https-w=*.example.com",
            ],
        ),
        ("13-rejected", vec!["istio-system/gw-a/https-a=a.example.com"]),
    ] {
        let text = fs::read_to_string(format!("gateways/{case}.yaml")).unwrap();
        let model = Model::of(&resources(&text));
        let listener =
            model.workloads.iter().flat_map(|workload| &workload.listeners).next().unwrap();
        let told: Vec<String> = listener
            .servers()
            .iter()
            .map(|(label, hosts)| format!("{label}={}", hosts.join(" ")))
            .collect();
        assert_eq!(told, expected, "{case}");
    }
}

/// The order of documents means nothing.
#[test]
fn the_order_of_the_input_does_not_matter() {
    for case in cases() {
        let text = fs::read_to_string(&case).unwrap();
        let forward = resources(&text);
        let mut backward = forward.clone();
        backward.gateways.reverse();
        backward.virtual_services.reverse();
        backward.api_gateways.reverse();
        backward.listener_sets.reverse();
        backward.routes.reverse();
        backward.services.reverse();
        backward.pods.reverse();
        let sorted = |resources| told(&Model::of(resources)).into_iter().collect::<BTreeSet<_>>();
        assert_eq!(sorted(&forward), sorted(&backward), "{}", case.display());
    }
}

/// A large cluster, once on one workload and once with a workload for each Gateway.
#[test]
fn a_large_cluster_takes_no_time() {
    for selector in ["ingressgateway", "{n}"] {
        let mut text = String::new();
        for n in 0..5_000 {
            let selector = selector.replace("{n}", &format!("gateway-{n}"));
            write!(
                text,
                "{{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"Gateway\",\"metadata\":\
                 {{\"name\":\"g{n}\"}},\"spec\":{{\"selector\":{{\"istio\":\"{selector}\"}},\
                 \"servers\":[{{\"port\":{{\"number\":443,\"name\":\"https\",\"protocol\":\"HTTPS\"}},\
                 \"hosts\":[\"h{n}.example.com\"],\"tls\":{{\"mode\":\"SIMPLE\"}}}}]}}}}\n---\n"
            )
            .unwrap();
        }
        for n in 0..10_000 {
            let gateway = n / 2;
            write!(
                text,
                "{{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"VirtualService\",\"metadata\":\
                 {{\"name\":\"v{n}\"}},\"spec\":{{\"hosts\":[\"h{gateway}.example.com\"],\
                 \"gateways\":[\"g{gateway}\"],\"http\":[{{\"route\":[]}}]}}}}\n---\n"
            )
            .unwrap();
        }
        let resources = resources(&text);
        let start = Instant::now();
        let model = Model::of(&resources);
        let took = start.elapsed();
        let chains: usize = model
            .workloads
            .iter()
            .flat_map(|workload| &workload.listeners)
            .map(|listener| listener.chains.len())
            .sum();
        assert_eq!(chains, 5_000);
        // All pairs would be fifty million comparisons, minutes in a build like this one.
        assert!(took < Duration::from_secs(10), "{took:?}");
        println!("{selector}: {took:?}");
    }
}

/// `explain --from` says what becomes of each case at each TLS listener, and what the filter does.
#[test]
fn explain_tells_for_each_listener() {
    for (case, sni, authority, expected) in [
        (
            "01-one-secret",
            "a.example.com",
            "b.example.com",
            vec![r#""outcome":"not_found","status":421,"reason":"other_server""#],
        ),
        (
            "06-one-server",
            "a.example.com",
            "b.example.com",
            vec![r#""outcome":"served","status":null,"reason":"same_server""#],
        ),
        (
            "07-wildcard-route",
            "x.example.com",
            "b.example.com",
            vec![r#""outcome":"served","status":421,"reason":"other_server""#],
        ),
        (
            "10-passthrough",
            "a.example.com",
            "b.example.com",
            vec![r#""outcome":"not_found","status":421,"reason":"other_server""#],
        ),
        (
            "10-passthrough",
            "b.example.com",
            "b.example.com",
            vec![r#""outcome":"passthrough","status":null,"reason":null"#],
        ),
        (
            "13-rejected",
            "a.example.com",
            "a.example.com",
            vec![
                r#""chain":null,"virtualHost":null,"outcome":"reset","status":null,"reason":null"#,
            ],
        ),
        (
            "08-different-pods",
            "a.example.com",
            "a.example.com",
            vec![
                r#""outcome":"served","status":null,"reason":"equal""#,
                r#""outcome":"reset","status":null,"reason":null"#,
            ],
        ),
    ] {
        let path = format!("gateways/{case}.yaml");
        let run = packager(&["explain", "--from", &path, "--sni", sni, "--authority", authority]);
        assert_eq!(run.status, 0, "{case}: {}", run.talk);
        let lines: Vec<&str> = run.out.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{case}: {}", run.out);
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.contains(expected), "{case}: {line}");
        }
    }
}

#[test]
fn explain_has_every_key() {
    let case = r#"{"sni":"b.example.com","authority":"a.example.com"}"#;
    let run = packager_with_input(
        &["explain", "--from", "gateways/01-one-secret.yaml", "--cases", "-"],
        case,
    );
    let expected = concat!(
        r#"{"sni":"b.example.com","authority":"a.example.com","#,
        r#""workload":"istio-system/istio=ingressgateway","listener":"0.0.0.0_8443","#,
        r#""chain":"https.443.https-b.gw-b.istio-system","virtualHost":null,"#,
        r#""outcome":"not_found","status":421,"reason":"other_server"}"#,
        "\n"
    );
    assert_eq!((run.out.as_str(), run.status), (expected, 0), "{}", run.talk);
    assert!(
        run.talk.contains("note: no pods of istio-system/istio=ingressgateway"),
        "{}",
        run.talk
    );
}

/// Folders, several paths, and standard input; what does not parse is told, and the rest is read.
#[test]
fn explain_reads_files_folders_and_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string("gateways/01-one-secret.yaml").unwrap();
    fs::create_dir(folder.path().join("below")).unwrap();
    fs::write(folder.path().join("below/gateways.yml"), &text).unwrap();
    fs::write(folder.path().join("notes.txt"), "kind: [").unwrap();
    let path = folder.path().to_str().unwrap();
    let request = ["--sni", "a.example.com", "--authority", "a.example.com"];
    let explain = |from: &[&str], input: &str| {
        packager_with_input(&[&["explain", "--from"], from, &request].concat(), input)
    };
    let run = explain(&[path], "");
    assert_eq!((run.out.lines().count(), run.status), (1, 0), "{}", run.talk);
    let run = explain(&["-"], &text);
    assert_eq!((run.out.lines().count(), run.status), (1, 0), "{}", run.talk);
    fs::write(
        folder.path().join("broken.yaml"),
        "a: 1\nkind: [\n---\nkind: ConfigMap\napiVersion: v1\n",
    )
    .unwrap();
    let run = explain(&[path], "");
    assert_eq!((run.out.lines().count(), run.status), (1, 2), "{}", run.talk);
    assert!(
        run.talk.contains("broken.yaml:2") || run.talk.contains("broken.yaml:3"),
        "{}",
        run.talk
    );
    let run = explain(&["missing.yaml"], "");
    assert_eq!(run.status, 2);
    assert!(run.talk.contains("reading missing.yaml"), "{}", run.talk);
    let run = explain(&["-"], "");
    assert_eq!(run.status, 2);
    assert!(run.talk.contains("hint: "), "{}", run.talk);
}

/// Each document that does not parse is one fault, with its line and what was expected.
#[test]
fn faults_of_documents() {
    let gateway = |servers: &str| {
        format!(
            "apiVersion: networking.istio.io/v1beta1\nkind: Gateway\nmetadata: {{name: g}}\n\
             spec:\n  servers:\n  - {servers}\n"
        )
    };
    let good = gateway("{port: {number: 443, name: a, protocol: HTTPS}, hosts: [a.example.com]}");
    let list = format!(
        "# a list\napiVersion: v1\nkind: List\nitems:\n- {}- apiVersion: v1\n  kind: Secret\n  metadata: {{name: 1}}\n",
        good.replace('\n', "\n  ").trim_end_matches(' ')
    );
    for (text, gateways, expected) in [
        (good.clone(), 1, vec![]),
        (format!("---\n{good}---\n# nothing\n---\n{good}..."), 2, vec![]),
        (good.replace("v1beta1", "v1alpha3"), 1, vec![]),
        (
            list,
            1,
            vec!["f:11: items[1]: Secret without a name: metadata.name: invalid type: integer `1`"],
        ),
        (
            format!("{}---\n{good}", gateway("{port: {number: many}}")),
            1,
            vec![
                "f:1: Gateway g: spec.servers[0].port.number: invalid type: string \"many\", expected u16",
            ],
        ),
        (
            format!("{good}---\n\n{}", gateway("{port: {number: 1}, hosts: ['*a.com']}")),
            1,
            vec![
                "f:9: Gateway g: spec.servers[0].hosts[0]: \"*a.com\" is not a host: a wildcard is",
            ],
        ),
        (format!("{good}---\na: [\n---\n{good}"), 2, vec!["f:8: it is no YAML: "]),
        (
            format!("{good}---\na: 1\n"),
            1,
            vec!["f:8: expected a resource of Kubernetes, with apiVersion"],
        ),
        (
            good.replace("a.example.com", "off"),
            0,
            vec![
                "f:1: Gateway g: spec.servers[0].hosts[0]: invalid type: boolean `false`, expected a string",
            ],
        ),
        (bomb(), 0, vec!["f:"]),
    ] {
        let mut resources = Resources::default();
        let faults = read("f", &text, &mut resources);
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(resources.gateways.len(), gateways, "{text}\n{faults:?}");
        assert_eq!(faults.len(), expected.len(), "{text}\n{faults:?}");
        for (fault, expected) in faults.iter().zip(expected) {
            assert!(fault.starts_with(expected), "{fault}\n{expected}");
        }
    }
}

/// A few lines that stand for billions.
fn bomb() -> String {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let before = n - 1;
        let aliases = vec![format!("*a{before}"); 10].join(", ");
        writeln!(text, "a{n}: &a{n} [{aliases}]").unwrap();
    }
    text
}

/// Private keys are not kept.
#[test]
fn secrets_keep_their_certificates_alone() {
    let resources = resources(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: w}\ndata: {tls.crt: Y2VydA==, tls.key: a2V5}\n\
         ---\napiVersion: v1\nkind: Secret\nmetadata: {name: g}\nstringData: {cert: plain}\n",
    );
    let told = format!("{:?}", resources.secrets);
    assert!(!told.contains("a2V5") && !told.contains("107, 101, 121"), "{told}");
    let found: Vec<_> = resources
        .secrets
        .iter()
        .map(|secret| (secret.certificate.as_deref(), secret.has_key))
        .collect();
    assert_eq!(found, [(Some(&b"cert"[..]), true), (Some(&b"plain"[..]), false)]);
}

/// Where the certificates come from, for the workload of the listener.
#[test]
fn credentials() {
    let secret = |namespace: &str, name: &str| Credential::Secret {
        namespace: namespace.into(),
        name: name.into(),
    };
    for (tls, expected) in [
        ("credentialName: w", vec![secret("istio-system", "w")]),
        ("credentialName: 'kubernetes://w'", vec![secret("istio-system", "w")]),
        ("credentialName: istio-system/w", vec![secret("istio-system", "w")]),
        ("credentialName: other/w", vec![secret("other", "w")]),
        ("credentialNames: [w, x]", vec![secret("istio-system", "w"), secret("istio-system", "x")]),
        ("credentialName: 'builtin://'", vec![Credential::Workload]),
        ("credentialName: 'sds://x'", vec![Credential::Unknown("sds://x".into())]),
        ("serverCertificate: /etc/a.pem", vec![Credential::File("/etc/a.pem".into())]),
        ("{}", vec![]),
    ] {
        let settings =
            if tls == "{}" { "{mode: SIMPLE}".into() } else { format!("{{mode: SIMPLE, {tls}}}") };
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: g, namespace: shop}}\n\
             spec:\n  selector: {{istio: ingressgateway}}\n  servers:\n  - hosts: [a.example.com]\n    \
             port: {{number: 443, name: a, protocol: HTTPS}}\n    tls: {settings}\n"
        );
        let model = Model::of(&resources(&text));
        let listener = &model.workloads.first().unwrap().listeners;
        let found = &listener.first().unwrap().chains.first().unwrap().credentials;
        assert_eq!(*found, expected, "{tls}");
    }
}
