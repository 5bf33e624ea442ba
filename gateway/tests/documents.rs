//! Reading documents into resources, and the credentials that servers resolve to.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use gateway::documents::read;
use gateway::{Credential, Model, Resources};

fn resources(text: &str) -> Resources {
    let mut resources = Resources::default();
    let faults = read("input.yaml", text, &mut resources);
    assert!(faults.is_empty(), "{faults:?}");
    resources
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
        (
            format!("---\n{good}---\n# nothing\n---\n{good}..."),
            2,
            vec![],
        ),
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
            format!(
                "{good}---\n\n{}",
                gateway("{port: {number: 1}, hosts: ['*a.com']}")
            ),
            1,
            vec![
                "f:9: Gateway g: spec.servers[0].hosts[0]: \"*a.com\" is not a host: a wildcard is",
            ],
        ),
        (
            format!("{good}---\na: [\n---\n{good}"),
            2,
            vec!["f:8: it is not YAML: "],
        ),
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

/// A few lines whose aliases expand to billions of nodes.
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
    let text = format!("{:?}", resources.secrets);
    assert!(
        !text.contains("a2V5") && !text.contains("107, 101, 121"),
        "{text}"
    );
    let found: Vec<_> = resources
        .secrets
        .iter()
        .map(|secret| secret.certificate.as_deref())
        .collect();
    assert_eq!(found, [Some(&b"cert"[..]), Some(&b"plain"[..])]);
}

/// The sources of certificates, for the workload of the listener.
#[test]
fn credentials() {
    let secret = |namespace: &str, name: &str| Credential::Secret {
        namespace: namespace.into(),
        name: name.into(),
    };
    for (tls, expected) in [
        ("credentialName: w", vec![secret("istio-system", "w")]),
        (
            "credentialName: 'kubernetes://w'",
            vec![secret("istio-system", "w")],
        ),
        (
            "credentialName: istio-system/w",
            vec![secret("istio-system", "w")],
        ),
        // istiod gives a workload no Secret of another namespace.
        ("credentialName: other/w", vec![]),
        ("credentialName: 'kubernetes://other/w'", vec![]),
        (
            "credentialNames: [other/w, x]",
            vec![secret("istio-system", "x")],
        ),
        (
            "credentialNames: [w, x]",
            vec![secret("istio-system", "w"), secret("istio-system", "x")],
        ),
        ("credentialName: 'builtin://'", vec![Credential::Workload]),
        (
            "credentialName: 'sds://x'",
            vec![Credential::Unknown("sds://x".into())],
        ),
        (
            "serverCertificate: /etc/a.pem",
            vec![Credential::File("/etc/a.pem".into())],
        ),
        ("{}", vec![]),
    ] {
        let settings = if tls == "{}" {
            "{mode: SIMPLE}".into()
        } else {
            format!("{{mode: SIMPLE, {tls}}}")
        };
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: g, namespace: shop}}\n\
             spec:\n  selector: {{istio: ingressgateway}}\n  servers:\n  - hosts: [a.example.com]\n    \
             port: {{number: 443, name: a, protocol: HTTPS}}\n    tls: {settings}\n"
        );
        let model = Model::new(&resources(&text));
        let listener = &model.workloads.first().unwrap().listeners;
        let found = &listener
            .first()
            .unwrap()
            .chains
            .first()
            .unwrap()
            .credentials;
        assert_eq!(*found, expected, "{tls}");
    }
}
