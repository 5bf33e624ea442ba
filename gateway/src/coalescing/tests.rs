//! The example of `broken_pairs`, and groups of many servers.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{
    BrokenPairs, ConnectedServers, Defect, Known, ListenerHosts, certificate_scopes, components,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::documents::read;
use crate::{Certificates, Model, Resources};

/// Servers that use one credential, each with a host and with routes for it. The input does not have
/// the certificate, so it is presumed to cover all hosts.
fn model(hosts: &[&str]) -> Model {
    Model::new(&resources(hosts, "{mode: SIMPLE, credentialName: w}"))
}

/// The same with other TLS settings of the servers.
fn resources(hosts: &[&str], tls: &str) -> Resources {
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
    tls: {tls}
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
    resources
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
        let all: Vec<_> = pairs.host_servers().into_iter().collect();
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
    assert!(
        hosts
            .servers()
            .all(|(index, id)| hosts.server(index) == Some(id))
    );
    let members = ConnectedServers::new(&hosts).members(&hosts);
    assert!(members.values().all(|servers| servers.len() == 1));
    assert_eq!(members.len(), 2);
}

/// How many scopes are presumed if the servers have these TLS settings and the input has a Secret `w`
/// with this certificate.
fn presumed_scopes(tls: &str, certificate: &str, key: &str) -> usize {
    let mut resources = resources(&["a.example.com", "b.example.com"], tls);
    let secret = format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: w, namespace: istio-system}}, \
         data: {{tls.crt: {}, tls.key: {}}}}}",
        STANDARD.encode(certificate),
        STANDARD.encode(key)
    );
    read("secret.yaml", secret, &mut resources);
    let certificates = Certificates::new(&resources);
    let model = Model::new(&resources);
    let workload = &model.workloads[0];
    let hosts = ListenerHosts::new(workload, &workload.listeners[0], &certificates);
    certificate_scopes(&hosts, &certificates)
        .iter()
        .filter(|scope| scope.known == Known::Presumed)
        .count()
}

#[test]
fn only_certificates_outside_the_input_are_presumed() {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["a.example.com".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    for (tls, certificate, expected) in [
        (
            "{mode: SIMPLE, credentialName: other}",
            certificate.as_str(),
            1,
        ),
        // The input has the certificate, for one of the hosts.
        ("{mode: SIMPLE, credentialName: w}", certificate.as_str(), 0),
        // Envoy rejects a damaged one.
        (
            "{mode: SIMPLE, credentialName: w}",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            0,
        ),
        // The certificate of the mesh has no host names.
        ("{mode: ISTIO_MUTUAL}", certificate.as_str(), 0),
    ] {
        assert_eq!(presumed_scopes(tls, certificate, &key), expected, "{tls}");
    }
}

/// The wildcard server g00 with a certificate for all hosts, and g01 and g02 with certificates for their
/// own host. g00 and g01 have the same routes for b.example.com. g00 and g01 have these TLS modes.
fn with_shared_routes(modes: [&str; 2]) -> Resources {
    let servers = [
        ("g00", "*.example.com", modes[0]),
        ("g01", "b.example.com", modes[1]),
        ("g02", "c.example.com", "SIMPLE"),
    ];
    let mut text = String::new();
    for (name, host, mode) in servers {
        write!(
            text,
            "---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - hosts: ['{host}']
    port: {{number: 443, name: https, protocol: HTTPS}}
    tls: {{mode: {mode}, credentialName: {name}}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {{name: {name}, namespace: istio-system}}
spec: {{secretName: {name}, dnsNames: ['{host}']}}
"
        )
        .unwrap();
    }
    for (host, gateways) in [("b.example.com", "g00, g01"), ("c.example.com", "g02")] {
        write!(
            text,
            "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {host}, namespace: istio-system}}
spec: {{hosts: [{host}], gateways: [{gateways}], http: [{{route: []}}]}}
"
        )
        .unwrap();
    }
    let mut resources = Resources::default();
    let faults = read("input.yaml", text, &mut resources);
    assert!(faults.is_empty(), "{faults:?}");
    resources
}

#[test]
fn only_servers_of_broken_pairs_are_joined() {
    let resources = with_shared_routes(["SIMPLE", "SIMPLE"]);
    let certificates = Certificates::new(&resources);
    let model = Model::new(&resources);
    let workload = &model.workloads[0];
    let joined = components(&certificates, workload, &workload.listeners[0], &|_, _| {
        false
    });
    // g01 answers as g00 does.
    let names: Vec<Vec<&str>> = joined
        .iter()
        .map(|servers| servers.iter().map(|id| id.resource.name.as_str()).collect())
        .collect();
    assert_eq!(names, [["g00", "g02"]]);
}

#[test]
fn a_connection_without_client_certificate_breaks_a_server_that_demands_one() {
    for (modes, expected) in [
        (["SIMPLE", "SIMPLE"], vec![]),
        (["SIMPLE", "MUTUAL"], vec![Defect::TlsPolicy]),
        (["MUTUAL", "SIMPLE"], vec![]),
        (["MUTUAL", "MUTUAL"], vec![]),
    ] {
        let resources = with_shared_routes(modes);
        let certificates = Certificates::new(&resources);
        let model = Model::new(&resources);
        let workload = &model.workloads[0];
        let hosts = ListenerHosts::new(workload, &workload.listeners[0], &certificates);
        let defects: Vec<Defect> = certificate_scopes(&hosts, &certificates)
            .iter()
            .flat_map(|scope| BrokenPairs::new(&hosts, scope, &|_, _| false).with_routes)
            .map(|pair| pair.defect)
            .collect();
        assert_eq!(defects, expected, "{modes:?}");
    }
}

#[test]
fn a_group_has_the_servers_of_its_pairs_only() {
    let resources = with_shared_routes(["SIMPLE", "SIMPLE"]);
    let certificates = Certificates::new(&resources);
    let model = Model::new(&resources);
    let workload = &model.workloads[0];
    let hosts = ListenerHosts::new(workload, &workload.listeners[0], &certificates);
    let server = |name: &str| {
        let mut servers = hosts.servers();
        servers.find(|(_, id)| id.resource.name == name).unwrap().0
    };
    let [g00, g01, g02] = ["g00", "g01", "g02"].map(server);
    let scopes = certificate_scopes(&hosts, &certificates);
    let wildcard = scopes.iter().find(|scope| scope.hosts.len() == 2).unwrap();
    let pairs = BrokenPairs::new(&hosts, wildcard, &|_, _| false);
    // g00 has the routes of g01, so only requests for the host of g02 get 404.
    let group = pairs.not_found_group(&pairs.host_servers());
    assert_eq!(group.pairs, 1);
    assert_eq!(group.connections, BTreeSet::from([g00]));
    assert_eq!(group.owners, BTreeSet::from([g02]));
    assert!(pairs.not_found_of(g02).is_some() && pairs.not_found_of(g01).is_none());
    assert!(group.includes(g00, g02));
    assert!(!group.includes(g00, g01) && !group.includes(g01, g02) && !group.includes(g02, g00));
}
