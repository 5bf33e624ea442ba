//! The model of gateways, by cases that are files: each YAML in `gateways/` is an input, and its lines
//! `# EXPECT:` are all that there is to say about the model's TLS listeners, in any order:
//!
//! - `listener WORKLOAD NAME`, with `?` after a port that is not certain; what follows is about it;
//! - `chain NAME = SERVER NAMES`, with the TLS mode where it is not simple;
//! - `rejected SERVER NAMES`;
//! - `SNI AUTHORITY OUTCOME CHAIN VIRTUAL-HOST`, `-` for none: a request;
//! - `dropped SERVER: REASON`, `unprogrammed SERVER: REASON`, `ignored RESOURCE: REASON`, wherever.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod explain;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gateway::documents::read;
use gateway::resources::istio::TlsMode;
use gateway::{DropReason, Dropped, Listener, Model, Resources};
use rule::{Config, Document};
use serde::Deserialize as _;
use tests::process::{packager, packager_with_input};

fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<_> = fs::read_dir("gateways")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
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
    let model = Model::new(&resources(&text));
    let mut expected: Vec<&str> = Vec::new();
    let mut listener = None;
    for line in text
        .lines()
        .filter_map(|line| line.strip_prefix("# EXPECT: "))
    {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            [
                "chain" | "rejected" | "dropped" | "unprogrammed" | "ignored",
                ..,
            ] => {
                expected.push(line);
            }
            ["listener", ..] => {
                expected.push(line);
                listener = find(&model, line);
                assert!(
                    listener.is_some(),
                    "{}: no {line} in {:?}",
                    case.display(),
                    told(&model)
                );
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
        workload
            .listeners
            .iter()
            .map(|listener| (workload.full_name(), listener))
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
    let told = format!(
        "{sni} {authority} {} {chain} {virtual_host}",
        answer.outcome.name()
    );
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
                let hosts = listener
                    .duplicates
                    .iter()
                    .map(|duplicate| duplicate.host.to_string());
                lines.push(format!("rejected {}", hosts.collect::<Vec<_>>().join(" ")));
            }
        }
        lines.extend(workload.dropped.iter().map(dropped));
    }
    lines.extend(
        model
            .unprogrammed
            .iter()
            .map(|found| format!("unprogrammed {found}")),
    );
    lines.extend(model.ignored.iter().map(|found| format!("ignored {found}")));
    lines
}

fn chain(chain: &gateway::FilterChain) -> String {
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
        let model = Model::new(&resources(&fs::read_to_string(&case).unwrap()));
        for listener in model
            .workloads
            .iter()
            .flat_map(|workload| &workload.listeners)
        {
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
        (
            "17-gateway-api",
            vec!["shop/public/a=a.example.com", "shop/public/b=b.example.com"],
        ),
        (
            "passthrough-names",
            vec![
                "istio-system/gw-b/tls-b=b.example.com c.example.com",
                "istio-system/gw-w/https-w=*.example.com",
            ],
        ),
        (
            "13-rejected",
            vec!["istio-system/gw-a/https-a=a.example.com"],
        ),
    ] {
        let text = fs::read_to_string(format!("gateways/{case}.yaml")).unwrap();
        let model = Model::new(&resources(&text));
        let listener = model
            .workloads
            .iter()
            .flat_map(|workload| &workload.listeners)
            .next()
            .unwrap();
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
        let sorted = |resources| {
            told(&Model::new(resources))
                .into_iter()
                .collect::<BTreeSet<_>>()
        };
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
        let model = Model::new(&resources);
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
