//! Reading documents into resources, and the credentials that servers resolve to.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use gateway::documents::{SkipReason, Unread, read, read_all};
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
            format!("{good}---\nkind: Gateway\nmetadata: {{name: g}}\n"),
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

/// A fault has one line, which is the line in the file.
#[test]
fn faults_have_one_line() {
    let text = "{apiVersion: v1, kind: Service, metadata: {name: one}}\n---\napiVersion: v1\nkind: \"x\n\
                ---\napiVersion: v1\nkind: a\nkind: b\n";
    let faults = read("f", text, &mut Resources::default());
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let expected = [
        "f:4: it is not YAML: unclosed quote",
        "f:8: it is not YAML: duplicate mapping key `kind` is not allowed here",
    ];
    assert_eq!(faults, expected);
}

/// Documents that are not resources are no faults, and the others are read.
#[test]
fn other_documents_are_skipped() {
    let text = "{apiVersion: v1, kind: Service, metadata: {name: one}}\n\
                ---\n# values.yaml\nreplicas: 2\n\
                ---\n{{- if .Values.gateway }}\nkind: Gateway\n\
                ---\n- {op: remove, path: /spec}\n\
                ---\n{apiVersion: v1, kind: Service, metadata: {name: two}}\n";
    let mut resources = Resources::default();
    let Unread { faults, skipped } = read_all("f", text, &mut resources);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(resources.services.len(), 2);
    let found: Vec<(u64, SkipReason)> = skipped
        .iter()
        .map(|document| (document.origin.line, document.reason))
        .collect();
    let expected = [
        (4, SkipReason::NotResource),
        (6, SkipReason::Template),
        (9, SkipReason::Patch),
    ];
    assert_eq!(found, expected);
}

/// Objects of JSON one after the other, as several calls of kubectl print them, each with its line.
#[test]
fn json_streams() {
    let service = |name: &str| {
        format!(
            "{{\n\"apiVersion\": \"v1\", \"kind\": \"Service\",\n\"metadata\": {{\"name\": \"{name}\"}}}}"
        )
    };
    let list = format!(
        "{{\"apiVersion\": \"v1\", \"kind\": \"ServiceList\", \"items\": [\n{},\n{}]}}",
        service("c"),
        service("d")
    );
    let text = format!("{}{}\n\n{list}", service("a"), service("b"));
    let found = |text: &str| {
        let mut resources = Resources::default();
        let faults = read("f", text, &mut resources);
        let lines: Vec<u64> = resources
            .services
            .iter()
            .map(|service| service.metadata.origin.line)
            .collect();
        (lines, faults)
    };
    assert_eq!(found(&text), (vec![1, 3, 8, 11], vec![]));
    // An error in the stream is one fault with one line, and the objects before it count.
    let (lines, faults) = found(&format!("{}\n{{\"kind\": }}\n", service("a")));
    assert_eq!(lines, [1]);
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(faults, ["f:4: it is not JSON: expected value"]);
}

/// A namespace that is null or empty is not set, as in kubectl.
#[test]
fn empty_namespaces_are_default() {
    let resources = resources(
        "{apiVersion: v1, kind: Service, metadata: {name: a, namespace: null}}\n\
         ---\n{apiVersion: v1, kind: Service, metadata: {name: b, namespace: ''}}\n\
         ---\n{apiVersion: v1, kind: Service, metadata: {name: c}}\n\
         ---\n{apiVersion: v1, kind: Service, metadata: {name: d, namespace: shop}}\n",
    );
    let found: Vec<&str> = resources
        .services
        .iter()
        .map(|service| service.metadata.namespace.as_str())
        .collect();
    assert_eq!(found, ["default", "default", "default", "shop"]);
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
