//! Random servers and routes, with certificates that cover some of their hosts.

use std::fmt::Write as _;
use std::sync::OnceLock;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

/// The hosts of servers and routes.
const HOSTS: [&str; 8] = [
    "a.example.com",
    "b.example.com",
    "x.b.example.com",
    "*.b.example.com",
    "example.com",
    "*.example.com",
    "c.test",
    "*",
];

/// The names of the certificates, each with the credential that has it. The last is not in the input.
pub(crate) const CERTIFICATES: [(&str, &[&str]); 7] = [
    ("wildcard", &["*.example.com"]),
    ("both", &["example.com", "*.example.com"]),
    ("copy", &["*.example.com"]),
    ("a", &["a.example.com"]),
    ("several", &["a.example.com", "b.example.com", "c.test"]),
    ("deep", &["x.b.example.com", "*.b.example.com"]),
    ("unknown", &[]),
];

fn secrets() -> &'static str {
    static SECRETS: OnceLock<String> = OnceLock::new();
    SECRETS.get_or_init(|| {
        CERTIFICATES
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(name, names)| secret(name, names))
            .collect()
    })
}

/// A Secret with a new certificate for these names.
fn secret(name: &str, names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names)
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "namespace": "istio-system" },
        "stringData": { "tls.crt": certificate.pem(), "tls.key": key.serialize_pem() },
    });
    format!("---\n{secret}\n")
}

#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) hosts: Vec<&'static str>,
    pub(crate) mode: &'static str,
    pub(crate) credential: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) struct Routes {
    pub(crate) hosts: Vec<&'static str>,
    pub(crate) gateways: Vec<usize>,
}

pub(crate) fn servers() -> impl Strategy<Value = Vec<Server>> {
    let hosts = subsequence(&HOSTS[..], 1..=2);
    let modes = select(vec![
        "SIMPLE",
        "SIMPLE",
        "SIMPLE",
        "MUTUAL",
        "PASSTHROUGH",
        "ISTIO_MUTUAL",
    ]);
    let credentials = select(&CERTIFICATES[..]);
    let server = (hosts, modes, credentials).prop_map(|(hosts, mode, (credential, _))| Server {
        hosts,
        mode,
        credential,
    });
    proptest::collection::vec(server, 2..=4)
}

pub(crate) fn routes() -> impl Strategy<Value = Vec<Routes>> {
    let gateways = subsequence(vec![0, 1, 2, 3], 1..=3);
    let routes = (subsequence(&HOSTS[..], 1..=3), gateways)
        .prop_map(|(hosts, gateways)| Routes { hosts, gateways });
    proptest::collection::vec(routes, 1..=4)
}

/// The input as YAML. The Gateways are the older, the lower their number.
pub(crate) fn text(servers: &[Server], routes: &[Routes]) -> String {
    let mut text = secrets().to_owned();
    for (
        n,
        Server {
            hosts,
            mode,
            credential,
        },
    ) in servers.iter().enumerate()
    {
        let protocol = if *mode == "PASSTHROUGH" {
            "TLS"
        } else {
            "HTTPS"
        };
        writeln!(
            text,
            "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: g{n}, namespace: \
             istio-system, creationTimestamp: \"2026-01-01T00:00:0{n}Z\"}}\nspec:\n  selector: {{istio: ingressgateway}}\n  servers:\n  - hosts: \
             {hosts:?}\n    port: {{number: 443, name: p{n}, protocol: {protocol}}}\n    tls: {{mode: \
             {mode}, credentialName: {credential}}}"
        )
        .unwrap();
    }
    for (n, Routes { hosts, gateways }) in routes.iter().enumerate() {
        let gateways: Vec<String> = gateways.iter().map(|n| format!("g{n}")).collect();
        writeln!(
            text,
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v{n}, \
             namespace: istio-system}}\nspec:\n  hosts: {hosts:?}\n  gateways: {gateways:?}\n  http: \
             [{{route: []}}]\n  tls: [{{match: [{{sniHosts: {hosts:?}}}], route: [{{}}]}}]"
        )
        .unwrap();
    }
    text
}
