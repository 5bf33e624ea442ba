//! Documents whose commands need a cluster, on one of their own: they speak of all that is in it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tempfile::TempDir;
use tests::certificate::Certificate;
use tests::client;
use tests::istio::{A, B, Pod, Stack, wait_for};
use tests::process::free_ports;
use tests::tools::checkout;
use tests::transcript::{self, Shell};

use super::merge::path;

/// A cluster with the gateway that `docs/quickstart.md` describes.
struct Web {
    stack: Stack,
    pod: Pod,
    address: SocketAddr,
    _folder: TempDir,
}

impl Web {
    fn open() -> Self {
        let stack = Stack::start().unwrap();
        let folder = TempDir::new().unwrap();
        let certificate = Certificate::generate(folder.path(), &[A, B]).unwrap();
        let port = *free_ports(1).unwrap().first().unwrap();
        let kubectl = stack.kubectl();
        let service = include_str!("../../istio/quickstart.yaml");
        kubectl
            .apply(&service.replace("$PORT", &port.to_string()))
            .unwrap();
        let status = r#"{"status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}}"#;
        let resource = ["service", "istio-ingressgateway", "--subresource", "status"];
        kubectl.patch("istio-system", &resource, status).unwrap();
        for (label, host) in [("a", A), ("b", B)] {
            let resources = include_str!("../../istio/host.yaml")
                .replace("istio: $NAME", "istio: ingressgateway")
                .replace("gw-$LABEL", "$LABEL")
                .replace("$NAME", "web")
                .replace("$HOST", host)
                .replace("$LABEL", label)
                .replace("$CERTIFICATE", certificate.certificate.to_str().unwrap())
                .replace("$KEY", certificate.key.to_str().unwrap());
            kubectl.apply(&resources).unwrap();
        }
        let labels = BTreeMap::from([("istio".to_owned(), "ingressgateway".to_owned())]);
        let pod = Pod::start_labelled(&stack, "istio-system", "ingressgateway-0", &labels).unwrap();
        let web = Self {
            stack,
            pod,
            address: ([127, 0, 0, 1], port).into(),
            _folder: folder,
        };
        for host in [A, B] {
            wait_for(host, &Some(200), || web.status(host, host)).unwrap();
        }
        web
    }

    fn status(&self, sni: &str, authority: &str) -> Option<u16> {
        client::get(self.address, sni, authority)
            .ok()
            .map(|response| response.status)
    }

    /// Waits until the gateway does what a command is for.
    fn settle(&self, command: &str) {
        let is_there = || {
            self.pod
                .metric("sni_guard.config_invalid")
                .unwrap()
                .is_some()
        };
        if command.starts_with("kubectl apply") {
            wait_for(command, &true, is_there).unwrap();
        }
        let effects = [
            ("\"enforce\"", 421),
            ("\"off\"", 404),
            (":null}", 421),
            ("delete wasmplugin", 404),
        ];
        for (_, expected) in effects.iter().filter(|(part, _)| command.contains(part)) {
            wait_for(command, &Some(*expected), || self.status(A, B)).unwrap();
        }
    }
}

#[test]
fn the_quickstart_prints_what_it_says() {
    let web = Web::open();
    let folder = checkout();
    let shell = Shell {
        folder: &folder,
        environment: vec![
            ("PATH", path()),
            (
                "KUBECONFIG",
                web.stack.kubectl().kubeconfig().display().to_string(),
            ),
        ],
        words: vec![
            (web.stack.registry().host(), "registry.example.com"),
            (web.pod.admin_address().to_string(), "127.0.0.1:15000"),
            (format!(":{}", web.address.port()), ":443"),
            (web.address.port().to_string(), "8443"),
        ],
    };
    let settle = |command: &str| web.settle(command);
    let commands =
        transcript::check("docs/quickstart.md", "console istio", &shell, settle).unwrap();
    assert!(commands > 15, "{commands}");
}
