//! The example of `broken_pairs`, and groups of many servers.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{
    BrokenPairs, ConnectedServers, Defect, Known, ListenerHosts, certificate_scopes, components,
};
use crate::documents::read;
use crate::{Certificates, Model, Resources};

/// Servers that use one credential, each with a host and with routes for it. The input does not have
/// the certificate, so it is presumed to cover all hosts.
fn model(hosts: &[&str]) -> Model {
    let mut text = String::new();
    for (n, host) in hosts.iter().enumerate() {
        write!(
            text,
            "---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: g{n:02}, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - hosts: ['{host}']
    port: {{number: 443, name: https, protocol: HTTPS}}
    tls: {{mode: SIMPLE, credentialName: w}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v{n:02}, namespace: istio-system}}
spec: {{hosts: ['{host}'], gateways: [g{n:02}], http: [{{route: []}}]}}
"
        )
        .unwrap();
    }
    let mut resources = Resources::default();
    let faults = read("input.yaml", text, &mut resources);
    assert!(faults.is_empty(), "{faults:?}");
    Model::new(&resources)
}

/// Checks the broken pairs of the only scope of these servers. `ignored` is the Gateway that suppresses
/// all findings.
#[track_caller]
fn with_pairs(hosts: &[&str], ignored: &str, check: impl Fn(&BrokenPairs<'_>)) {
    let model = model(hosts);
    let certificates = Certificates::default();
    let [workload] = &model.workloads[..] else {
        panic!("{:?}", model.workloads);
    };
    let listener_hosts = ListenerHosts::new(workload, &workload.listeners[0], &certificates);
    let scopes = certificate_scopes(&listener_hosts, &certificates);
    assert_eq!(scopes.len(), 1);
    assert_eq!(scopes[0].known, Known::Presumed);
    check(&BrokenPairs::new(
        &listener_hosts,
        &scopes[0],
        &|server, _| server.resource.name == ignored,
    ));
}

/// `CONNECTION HOST` of each pair, by the names of the Gateways and hosts.
fn names(pairs: &[super::BrokenPair<'_>]) -> Vec<String> {
    pairs
        .iter()
        .map(|pair| {
            let connection = &pair.connection.chain.chain.server.id.resource.name;
            format!("{connection} {}", pair.host.name)
        })
        .collect()
}

const EXAMPLE: [&str; 3] = ["a.example.com", "b.example.com", "*.example.com"];

#[test]
fn the_example() {
    with_pairs(&EXAMPLE, "", |pairs| {
        assert_eq!(
            names(&pairs.with_routes),
            ["g02 a.example.com", "g02 b.example.com"]
        );
        assert!(
            pairs
                .with_routes
                .iter()
                .all(|pair| pair.defect == Defect::WrongRoute)
        );
        assert_eq!(pairs.count_all(), 4);
        assert_eq!(pairs.suppressed, 0);
        let group = pairs.not_found_group(&pairs.host_servers());
        assert_eq!(group.pairs, 4);
        // The wildcard has routes for all others.
        assert_eq!(group.connections.len(), 2);
        assert_eq!(group.owners.len(), 3);
        assert_eq!(
            names(&pairs.not_found_pairs(&pairs.host_servers(), 10)),
            [
                "g00 b.example.com",
                "g00 x.example.com",
                "g01 a.example.com",
                "g01 x.example.com"
            ]
        );
    });
}

#[test]
fn a_count_for_some_owners() {
    with_pairs(&EXAMPLE, "", |pairs| {
        let all: Vec<_> = pairs.connection_servers().into_iter().collect();
        let set = |servers: &[usize]| -> BTreeSet<_> { servers.iter().map(|n| all[*n]).collect() };
        for (owners, connections, count) in [
            (&[0][..], &[1][..], 1),
            (&[0, 1], &[0, 1], 2),
            (&[2], &[0, 1], 2),
            (&[], &[], 0),
        ] {
            let group = pairs.not_found_group(&set(owners));
            assert_eq!(group.pairs, count, "{owners:?}");
            assert_eq!(group.connections, set(connections), "{owners:?}");
            assert_eq!(group.owners, set(owners), "{owners:?}");
        }
    });
}

#[test]
fn annotations_suppress_the_pairs_of_a_server() {
    with_pairs(&EXAMPLE, "g01", |pairs| {
        assert_eq!(names(&pairs.with_routes), ["g02 a.example.com"]);
        let found = pairs.not_found_pairs(&pairs.host_servers(), 10);
        assert_eq!(names(&found), ["g00 x.example.com"]);
        // Three pairs that get 404, and the one with routes.
        assert_eq!(pairs.suppressed, 4);
    });
}

#[test]
fn many_pairs_are_counted_and_some_are_listed() {
    let hosts: Vec<String> = (0..30).map(|n| format!("h{n}.example.com")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    with_pairs(&hosts, "", |pairs| {
        let owners = pairs.host_servers();
        let group = pairs.not_found_group(&owners);
        assert_eq!(group.pairs, 30 * 29);
        assert_eq!((group.connections.len(), group.owners.len()), (30, 30));
        let listed = pairs.not_found_pairs(&owners, 2);
        assert_eq!(names(&listed), ["g00 h1.example.com", "g00 h2.example.com"]);
        assert_eq!(pairs.not_found_pairs(&owners, usize::MAX).len(), 30 * 29);
    });
}

#[test]
fn components_are_connected_by_pairs() {
    let model = model(&EXAMPLE);
    let workload = &model.workloads[0];
    let certificates = Certificates::default();
    let sizes = |ignored: &str| -> Vec<usize> {
        components(
            &certificates,
            workload,
            &workload.listeners[0],
            &|server, _| server.resource.name == ignored,
        )
        .iter()
        .map(Vec::len)
        .collect()
    };
    assert_eq!(sizes(""), [3]);
    assert_eq!(sizes("g01"), [2]);
}

#[test]
fn servers_without_pairs_stay_apart() {
    let model = model(&["a.example.com", "b.example.com"]);
    let workload = &model.workloads[0];
    let hosts = ListenerHosts::new(workload, &workload.listeners[0], &Certificates::default());
    let members = ConnectedServers::new(&hosts).members(&hosts);
    assert!(members.values().all(|servers| servers.len() == 1));
    assert_eq!(members.len(), 2);
}
