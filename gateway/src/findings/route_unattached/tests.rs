use crate::findings::tests::{messages, messages_of, resources};
use crate::findings::{Code, Input};
use crate::{Certificates, Model};

fn gateway(namespace: &str, name: &str, hosts: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {{name: {name}, namespace: {namespace}}},\n \
         spec: {{selector: {{istio: ingressgateway}}, servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, \
         hosts: {hosts}}}]}}}}\n---\n"
    )
}

fn virtual_service(hosts: &str, gateways: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: v, namespace: shop}},\n \
         spec: {{hosts: {hosts}, gateways: {gateways}, http: [{{route: []}}]}}}}\n---\n"
    )
}

fn found(input: &str) -> Vec<String> {
    messages_of(input, Code::RouteUnattached)
}

#[test]
fn a_host_that_the_gateway_does_not_have() {
    let public = gateway("shop", "public", "[a.example.com]");
    assert_eq!(
        found(&(public.clone() + &virtual_service("[other.example.com]", "[public]"))),
        [
            "no server of Gateway shop/public has other.example.com of VirtualService shop/v: its routes for the \
             host have no effect"
        ]
    );
    assert_eq!(
        found(&(public.clone() + &virtual_service("[a.exmaple.com]", "[public]"))),
        [
            "no server of Gateway shop/public has a.exmaple.com of VirtualService shop/v (the server has the \
             similar host a.example.com): its routes for the host have no effect"
        ]
    );
    // A similar host that has routes was not meant.
    let other = "[b.example.com, a.example.com]";
    assert_eq!(
        found(&(public.clone() + &virtual_service(other, "[public]"))),
        [
            "no server of Gateway shop/public has b.example.com of VirtualService shop/v: its routes for the host \
             have no effect"
        ]
    );
    let of_team = gateway("shop", "public", "[team-a/a.example.com]");
    assert_eq!(
        found(&(of_team + &virtual_service("[a.example.com]", "[public]"))),
        [
            "no server of Gateway shop/public has a.example.com of VirtualService shop/v (the server has \
             team-a/a.example.com, which VirtualServices of namespace shop cannot use): its routes for the host \
             have no effect"
        ]
    );
}

#[test]
fn hosts_that_some_server_has() {
    let public = gateway("shop", "public", "[a.example.com]");
    let other = gateway("shop", "other", "[b.example.com]");
    for (hosts, gateways) in [
        ("[a.example.com]", "[public]"),
        ("['*.example.com']", "[public]"),
        // Each Gateway has one of the hosts.
        ("[a.example.com, b.example.com]", "[public, other]"),
        // The other host is for sidecars.
        ("[a.example.com, cart]", "[mesh, public]"),
        ("[c.example.com]", "[mesh]"),
        ("[c.example.com]", "[]"),
        // A Gateway that is not in the input may have the host.
        ("[c.example.com]", "[public, elsewhere/gw]"),
    ] {
        let input = public.clone() + &other + &virtual_service(hosts, gateways);
        assert_eq!(found(&input), [""; 0], "{hosts} {gateways}");
    }
}

#[test]
fn a_gateway_that_does_not_exist() {
    let public = gateway("istio-system", "public", "[a.example.com]");
    let service = virtual_service("[a.example.com]", "[public]");
    // The input has no Gateway of the namespace: the Gateway can be in other files.
    assert_eq!(found(&(public.clone() + &service)), [""; 0]);
    let other = gateway("shop", "other", "[b.example.com]");
    let expected = "VirtualService shop/v is bound to Gateway shop/public, which does not exist; there is Gateway \
                    istio-system/public: its routes have no effect";
    assert_eq!(found(&(public.clone() + &other + &service)), [expected]);

    // With all Gateways of a cluster one of the namespace is not needed.
    let resources = resources(&(public + &service));
    let model = Model::new(&resources);
    let certificates = Certificates::new(&resources);
    let input = Input {
        has_all_gateways: true,
        ..Input::for_tests(&resources, &model, &certificates)
    };
    assert_eq!(messages(&input, Code::RouteUnattached), [expected]);
}

const API_GATEWAY: &str = "\
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: public, namespace: infra},
 spec: {gatewayClassName: istio, listeners: [
 {name: a, hostname: a.example.com, port: 80, protocol: HTTP},
 {name: b, hostname: b.example.com, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]}}
---
";

/// The part in brackets of the message about an HTTPRoute in namespace `shop`.
fn reason(hosts: &str, parent: &str) -> Option<String> {
    let route = format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: r, namespace: shop}},\n \
         spec: {{hostnames: {hosts}, parentRefs: [{{namespace: infra, {parent}}}]}}}}\n---\n"
    );
    let message = found(&(API_GATEWAY.to_owned() + &route)).pop()?;
    let Some((_, rest)) = message.split_once('(') else {
        return Some(message);
    };
    Some(rest.split(')').next().unwrap().to_owned())
}

#[test]
fn routes_of_the_gateway_api() {
    for (hosts, parent, expected) in [
        ("[b.example.com]", "name: public", None),
        ("[]", "name: public", None),
        ("[b.example.com]", "name: public, sectionName: b", None),
        // A Service of the mesh.
        (
            "[c.example.com]",
            "name: cart, kind: Service, group: ''",
            None,
        ),
        (
            "[c.example.com]",
            "name: public",
            Some("a listener has a.example.com"),
        ),
        (
            "[a.example.com]",
            "name: public",
            Some("allowedRoutes excludes namespace shop"),
        ),
        (
            "[b.example.com]",
            "name: public, sectionName: a",
            Some("sectionName or port of the parentRef names another listener"),
        ),
        (
            "[b.example.com]",
            "name: publik",
            Some(
                "HTTPRoute shop/r refers to Gateway infra/publik, which does not exist: its routes have no effect",
            ),
        ),
    ] {
        assert_eq!(
            reason(hosts, parent).as_deref(),
            expected,
            "{hosts} {parent}"
        );
    }
}
