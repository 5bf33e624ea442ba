//! How few scopes represent many certificates.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};

use super::certificate_scopes;
use crate::coalescing::ListenerHosts;
use crate::documents::read;
use crate::{Certificates, Model, Resources};

/// The numbers of connections and hosts of each scope, for so many servers. Server N serves
/// hN.example.com and nN.example.net, and its certificate has these names.
fn scopes(count: usize, names: impl Fn(usize) -> Vec<String>) -> Vec<(usize, usize)> {
    let key = KeyPair::generate().unwrap();
    let mut text = String::new();
    for n in 0..count {
        let certificate = CertificateParams::new(names(n)).unwrap();
        let certificate = certificate.self_signed(&key).unwrap();
        let hosts = format!("[h{n}.example.com, n{n}.example.net]");
        write!(
            text,
            "---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: g{n}, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - hosts: {hosts}
    port: {{number: 443, name: https, protocol: HTTPS}}
    tls: {{mode: SIMPLE, credentialName: s{n}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v{n}, namespace: istio-system}}
spec: {{hosts: {hosts}, gateways: [g{n}], http: [{{route: []}}]}}
---
apiVersion: v1
kind: Secret
metadata: {{name: s{n}, namespace: istio-system}}
data: {{tls.crt: {}, tls.key: {}}}
",
            STANDARD.encode(certificate.pem()),
            STANDARD.encode(key.serialize_pem())
        )
        .unwrap();
    }
    let mut resources = Resources::default();
    let faults = read("input.yaml", text, &mut resources);
    assert!(faults.is_empty(), "{faults:?}");
    let certificates = Certificates::new(&resources);
    let model = Model::new(&resources);
    let workload = &model.workloads[0];
    let hosts = ListenerHosts::new(workload, &workload.listeners[0], &certificates);
    let scopes = certificate_scopes(&hosts, &certificates);
    scopes
        .iter()
        .map(|scope| (scope.connections.len(), scope.hosts.len()))
        .collect()
}

#[test]
fn names_that_make_no_difference_keep_no_certificates_apart() {
    let names = |n: usize| {
        vec![
            "*.example.com".to_owned(),
            // The wildcard covers it.
            format!("h{}.example.com", n + 1),
            // It covers a host of the same server only.
            format!("n{n}.example.net"),
            // It covers no host.
            format!("x{n}.example.org"),
        ]
    };
    assert_eq!(scopes(3, names), [(3, 3)]);
}

#[test]
fn a_name_of_many_certificates_becomes_a_scope() {
    let names = |count: usize| {
        move |n: usize| {
            vec![
                "*.example.com".to_owned(),
                format!("n{}.example.net", (n + 1) % count),
            ]
        }
    };
    // Twenty certificates stay as they are: each covers the hosts of the wildcard and one more.
    assert_eq!(scopes(20, names(20)), [(1, 21); 20]);
    // With one more, all connections share a scope for the wildcard.
    let mut expected = vec![(21, 21)];
    expected.extend([(1, 1); 21]);
    assert_eq!(scopes(21, names(21)), expected);
}
