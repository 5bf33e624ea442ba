use crate::documents::read;
use crate::protected::DenyingPolicies;
use crate::{Model, Resources};

const MUTUAL: &str = include_str!("../../../../tests/gateways/11-mutual.yaml");

/// The spellings of `b.example.com`.
const HOSTS: &str = "hosts: [b.example.com, 'b.example.com:*', b.example.com., 'b.example.com.:*']";

/// The condition that the connection is not for `b.example.com`.
const ELSEWHERE: &str = "when: [{key: connection.sni, notValues: [b.example.com]}]";

/// A policy for the ingress gateway with some fields of `spec`.
fn policy(spec: &str) -> String {
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
         metadata: {{name: boundary, namespace: istio-system}}\n\
         spec: {{selector: {{matchLabels: {{istio: ingressgateway}}}}, {spec}}}\n"
    )
}

/// Whether a text with policies denies the requests for `b.example.com` that bypass its client certificate.
fn is_denied(policies: &str) -> bool {
    let mut resources = Resources::default();
    let faults = read(
        "input.yaml",
        format!("{MUTUAL}\n{policies}"),
        &mut resources,
    );
    assert_eq!(faults, [], "{policies}");
    let model = Model::new(&resources);
    let workload = model.workloads.first().unwrap();
    let listener = workload.listeners.first().unwrap();
    DenyingPolicies::new(&resources, workload, listener)
        .of("b.example.com")
        .is_some_and(|denied| denied.are_all)
}

#[track_caller]
fn check(spec: &str, expected: bool) {
    assert_eq!(is_denied(&policy(spec)), expected, "{spec}");
}

#[track_caller]
fn check_rule(rule: &str, expected: bool) {
    check(&format!("action: DENY, rules: [{{{rule}}}]"), expected);
}

/// A rule for the spellings of the host on some connections.
#[track_caller]
fn check_when(condition: &str, expected: bool) {
    check_rule(
        &format!("to: [{{operation: {{{HOSTS}}}}}], when: [{condition}]"),
        expected,
    );
}

/// A rule for some requests on the connections of other hosts.
#[track_caller]
fn check_to(operation: &str, expected: bool) {
    check_rule(
        &format!("to: [{{operation: {{{operation}}}}}], {ELSEWHERE}"),
        expected,
    );
}

#[test]
fn all_spellings_of_the_host_have_to_be_denied() {
    check_to(HOSTS, true);
    check_to("hosts: [b.example.com]", false);
    check_to(
        "hosts: ['b.example.com:*', b.example.com., 'b.example.com.:*']",
        false,
    );
    check_to(
        "hosts: [b.example.com, 'b.example.com:443', b.example.com., 'b.example.com.:*']",
        false,
    );
    check_to("hosts: [a.example.com, 'a.example.com:*']", false);
    // Other texts that match all spellings.
    check_to("hosts: ['B.Example.COM*']", true);
    check_to("hosts: ['b.*']", true);
    check_to("hosts: ['*']", true);
    check_to("hosts: []", true);
    check_to("notHosts: [a.example.com, 'c*']", true);
    // Envoy routes b.example.com:x.example.org to b.example.com.
    check_to("notHosts: ['*.example.org']", false);
    check_to("hosts: ['*.example.com']", false);
    check_to("hosts: ['*'], notHosts: ['b.example.com:443']", false);
    check_to("hosts: ['*'], notHosts: ['*:443']", false);
}

#[test]
fn all_connections_that_bypass_the_certificate_have_to_be_denied() {
    check_when("{key: connection.sni, notValues: [b.example.com]}", true);
    check_when(
        "{key: connection.sni, notValues: [b.example.com, c.example.org]}",
        true,
    );
    check_when("{key: connection.sni, values: ['*.example.com']}", true);
    check_when("{key: connection.sni, values: ['*']}", true);
    check_when(
        "{key: connection.sni, values: ['*example.com'], notValues: [b.example.com]}",
        true,
    );
    // Names that select the wildcard server.
    for left in [
        "c.example.com",
        "'*.b.example.com'",
        "'*.com'",
        "'*'",
        "'a*'",
        "'*m'",
    ] {
        check_when(
            &format!("{{key: connection.sni, notValues: [b.example.com, {left}]}}"),
            false,
        );
    }
    for too_few in [
        "c.example.com",
        "'*.b.example.com'",
        "'x*'",
        "b.example.com",
    ] {
        check_when(
            &format!("{{key: connection.sni, values: [{too_few}]}}"),
            false,
        );
    }
    // All conditions have to match.
    check_when(
        "{key: connection.sni, notValues: [b.example.com]}, {key: connection.sni, values: [c.example.com]}",
        false,
    );
}

#[test]
fn conditions_that_the_model_cannot_decide_do_not_count() {
    for operation in ["methods: [GET]", "notPaths: [/healthz]", "futureField: [x]"] {
        check_to(&format!("{HOSTS}, {operation}"), false);
    }
    let to = format!("to: [{{operation: {{{HOSTS}}}}}]");
    check_rule(
        &format!("from: [{{source: {{notIpBlocks: [10.0.0.0/8]}}}}], {to}, {ELSEWHERE}"),
        false,
    );
    check_when(
        "{key: connection.sni, notValues: [b.example.com]}, {key: 'request.headers[x]', values: ['1']}",
        false,
    );
    // A rule without conditions denies all requests.
    check_rule("", true);
    check("action: DENY, rules: [null]", false);
    check("action: DENY", false);
}

#[test]
fn ports_are_those_that_envoy_listens_on() {
    check_to(&format!("{HOSTS}, ports: ['8443']"), true);
    check_to(&format!("{HOSTS}, ports: ['443']"), false);
    check_to(&format!("{HOSTS}, notPorts: ['8443']"), false);
    check_to(&format!("{HOSTS}, notPorts: ['443']"), true);
    for (port, expected) in [("8443", true), ("443", false)] {
        check_when(
            &format!(
                "{{key: connection.sni, notValues: [b.example.com]}}, \
                 {{key: destination.port, values: ['{port}']}}"
            ),
            expected,
        );
    }
}

#[test]
fn several_rules_and_policies_add_up() {
    let rule = |host: &str| format!("{{to: [{{operation: {{hosts: [{host}]}}}}], {ELSEWHERE}}}");
    let spellings = [
        "b.example.com",
        "'b.example.com:*'",
        "b.example.com.",
        "'b.example.com.:*'",
    ];
    let rules: Vec<String> = spellings.map(rule).to_vec();
    check(
        &format!("action: DENY, rules: [{}]", rules.join(", ")),
        true,
    );
    let policies: Vec<String> = rules
        .iter()
        .map(|rule| policy(&format!("action: DENY, rules: [{rule}]")))
        .collect();
    assert!(is_denied(&policies.concat()));
    assert!(!is_denied(&policies[1..].concat()));
}

#[test]
fn only_a_policy_that_istiod_enforces_on_the_gateway_counts() {
    let rules = format!("rules: [{{to: [{{operation: {{{HOSTS}}}}}], {ELSEWHERE}}}]");
    for action in [
        "action: ALLOW",
        "action: AUDIT",
        "action: CUSTOM",
        "targetRefs: []",
    ] {
        check(&format!("{action}, {rules}"), false);
    }
    check(
        &format!(
            "action: DENY, targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: w}}], {rules}"
        ),
        false,
    );
    let denying = policy(&format!("action: DENY, {rules}"));
    let changed = |old: &str, new: &str| {
        let text = denying.replace(old, new);
        assert_ne!(text, denying, "{old}");
        is_denied(&text)
    };
    assert!(is_denied(&denying));
    assert!(!changed("namespace: istio-system", "namespace: shop"));
    assert!(!changed("istio: ingressgateway", "istio: other"));
    assert!(changed("{matchLabels: {istio: ingressgateway}}", "null"));
    let annotated = |value: &str| {
        changed(
            "name: boundary,",
            &format!("name: boundary, annotations: {{istio.io/dry-run: '{value}'}},"),
        )
    };
    assert!(!annotated("true"));
    assert!(annotated("false"));
    assert!(annotated("yes"));
}
