use crate::findings::Code;
use crate::findings::tests::messages_of;

fn gateway(tls: &str, hosts: &str) -> String {
    let protocol = if tls.contains("PASSTHROUGH") {
        "TLS"
    } else {
        "HTTPS"
    };
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {{name: gw, namespace: shop}},\n \
         spec: {{selector: {{istio: ingressgateway}}, servers: [{{port: {{number: 443, name: https, protocol: \
         {protocol}}}, hosts: {hosts}, tls: {tls}}}]}}}}\n---\n"
    )
}

fn virtual_service(spec: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: v, namespace: team}},\n \
         spec: {{{spec}}}}}\n---\n"
    )
}

const SIMPLE: &str = "{mode: SIMPLE, credentialName: w}";
const PASSTHROUGH: &str = "{mode: PASSTHROUGH}";
const HTTP: &str = "http: [{route: []}]";

/// The messages about b.example.com, after the name of the VirtualService.
#[track_caller]
fn check(tls: &str, hosts: &str, spec: &str, expected: Option<&str>) {
    let input = gateway(tls, hosts) + &virtual_service(spec);
    let messages = messages_of(&input, Code::HostUnattached);
    let reasons: Vec<&str> = messages
        .iter()
        .map(|message| {
            message
                .split_once(": VirtualService team/v ")
                .map_or(message.as_str(), |(_, reason)| reason)
        })
        .collect();
    assert_eq!(reasons, expected.into_iter().collect::<Vec<_>>(), "{spec}");
}

#[test]
fn what_differs_in_a_virtual_service_for_https() {
    let bound = "hosts: [b.example.com], gateways: [shop/gw]";
    for (spec, expected) in [
        (format!("{bound}, {HTTP}"), None),
        (
            format!("{bound}, exportTo: [.], {HTTP}"),
            Some(
                "has the host, but is exported to team and not to istio-system, the namespace of the gateway's pods",
            ),
        ),
        (
            format!("{bound}, exportTo: ['~'], {HTTP}"),
            Some(
                "has the host, but is exported to no namespace and not to istio-system, the namespace of the gateway's pods",
            ),
        ),
        (
            format!("{bound}, http: [{{match: [{{port: 80}}], route: []}}]"),
            Some("has the host, but its rules match port 80, and the server has port 443"),
        ),
        (
            format!("{bound}, http: [{{match: [{{gateways: [shop/other]}}], route: []}}]"),
            Some("has the host, but its rules match only other Gateways"),
        ),
        (
            format!("{bound}, tls: [{{match: [{{sniHosts: [b.example.com]}}], route: [{{}}]}}]"),
            Some("has the host, but only tls or tcp rules, and the server needs an http rule"),
        ),
        (
            format!("{bound}, http: [{{delegate: {{name: gone}}}}]"),
            Some(
                "has the host, but no http rule, or only rules whose delegates are missing or not exported",
            ),
        ),
        (
            format!("hosts: [b.example.con], gateways: [shop/gw], {HTTP}"),
            Some("has the similar host b.example.con"),
        ),
        (
            format!("hosts: [b.example.com], gateways: [gw], {HTTP}"),
            Some("has the host, but is bound to team/gw"),
        ),
        (
            format!("hosts: [b.example.com], {HTTP}"),
            Some("has the host, but names no Gateway"),
        ),
        // Another host of another Gateway is not near.
        (
            format!("hosts: [c.example.com], gateways: [gw], {HTTP}"),
            Some(
                "Gateway shop/gw servers[0] answers 404 for b.example.com: no routes with that host are bound to \
                 it and visible to istio-system/istio=ingressgateway (chain https.443.https.gw.shop)",
            ),
        ),
    ] {
        check(SIMPLE, "[b.example.com]", &spec, expected);
    }
    check(
        SIMPLE,
        "[./b.example.com]",
        &format!("{bound}, {HTTP}"),
        Some("has the host, but the server excludes VirtualServices of namespace team"),
    );
}

#[test]
fn what_differs_in_a_virtual_service_for_passthrough() {
    let bound = "hosts: [b.example.com], gateways: [shop/gw]";
    let tls =
        |condition: &str| format!("{bound}, tls: [{{match: [{{{condition}}}], route: [{{}}]}}]");
    for (spec, expected) in [
        (tls("sniHosts: [b.example.com]"), None),
        (
            tls("sniHosts: [b.example.com], port: 8443"),
            Some("has the host, but its rules match port 8443, and the server has port 443"),
        ),
        (
            format!("{bound}, {HTTP}"),
            Some(
                "has the host, but no tls rule with sniHosts, which a server for passthrough needs",
            ),
        ),
        (
            "hosts: [b.exmaple.com], gateways: [shop/gw], \
             tls: [{match: [{sniHosts: [b.exmaple.com]}], route: [{}]}]"
                .to_owned(),
            Some("has the similar host b.exmaple.com"),
        ),
        (
            "hosts: [c.example.com], gateways: [gw], http: []".to_owned(),
            Some(
                "Gateway shop/gw servers[0] resets connections for b.example.com: no TLS route with that SNI is \
                 bound to it and visible to istio-system/istio=ingressgateway",
            ),
        ),
    ] {
        check(PASSTHROUGH, "[b.example.com]", &spec, expected);
    }
    // One of two hosts has a filter chain.
    check(
        PASSTHROUGH,
        "[b.example.com, d.example.com]",
        "hosts: [b.example.com, d.example.com], gateways: [shop/gw], \
         tls: [{match: [{sniHosts: [b.example.com]}], route: [{}]}]",
        Some("has the host, but its tls rules match the SNI b.example.com"),
    );
    // The hosts of a wildcard that clients use.
    check(
        PASSTHROUGH,
        "['*.example.com']",
        &tls("sniHosts: [b.example.com]"),
        None,
    );
}

/// The messages about the second listener of a Gateway, for an HTTPRoute.
#[track_caller]
fn check_route(namespace: &str, spec: &str, expected: &[&str]) {
    let input = format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: gw, namespace: shop}},\n \
         spec: {{gatewayClassName: istio, listeners: [{{name: b, hostname: b.example.com, port: 443, protocol: \
         HTTPS, tls: {{certificateRefs: [{{name: w}}]}}}}]}}}}\n---\n\
         {{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: r, namespace: \
         {namespace}}},\n spec: {{{spec}}}}}\n"
    );
    let messages = messages_of(&input, Code::HostUnattached);
    let reasons: Vec<&str> = messages
        .iter()
        .filter_map(|message| message.split_once(&format!("HTTPRoute {namespace}/r ")))
        .map(|(_, reason)| reason)
        .collect();
    assert_eq!(reasons, expected, "{messages:?}");
}

#[test]
fn what_differs_in_a_route_of_the_gateway_api() {
    let parent = "parentRefs: [{name: gw, namespace: shop}]";
    check_route(
        "shop",
        &format!("{parent}, hostnames: [b.example.com]"),
        &[],
    );
    check_route(
        "team",
        &format!("{parent}, hostnames: [b.example.com]"),
        &["has the host, but allowedRoutes of listener b excludes namespace team"],
    );
    check_route(
        "shop",
        &format!("{parent}, hostnames: [b.exmaple.com]"),
        &["has the similar host b.exmaple.com"],
    );
    check_route(
        "shop",
        "parentRefs: [{name: other}], hostnames: [b.example.com]",
        &["has the host, but does not refer to Gateway shop/gw"],
    );
    check_route(
        "shop",
        "parentRefs: [{name: gw, sectionName: c}], hostnames: [b.example.com]",
        &["has the host, but its parentRef names another listener by sectionName or port"],
    );
}
