//! What the rule asks about a request, in order. Each question costs the filter a call into Envoy.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;

use rule::{Config, Document, Facts, Gateway, Protocol, Request, Route};

/// A request that notes what it is asked, and does not know the answer to one question.
struct Noting<'a> {
    facts: Facts<'a>,
    asked: RefCell<Vec<&'static str>>,
    unknown: Option<&'static str>,
}

impl<'a> Noting<'a> {
    fn new(facts: Facts<'a>) -> Self {
        Self {
            facts,
            asked: RefCell::default(),
            unknown: None,
        }
    }

    fn note<T>(&self, question: &'static str, answer: T) -> Result<T, &'static str> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&question) {
            asked.push(question);
        }
        match self.unknown {
            Some(unknown) if unknown == question => Err(question),
            _ => Ok(answer),
        }
    }
}

impl Request for Noting<'_> {
    type Error = &'static str;

    fn has_route(&self) -> Result<bool, Self::Error> {
        self.note("has_route", self.facts.has_route)
    }

    fn route(&self) -> Result<Route, Self::Error> {
        self.note("route", self.facts.route)
    }

    fn authority(&self) -> Result<&[u8], Self::Error> {
        self.note("authority", self.facts.authority)
    }

    fn sni(&self) -> Result<&[u8], Self::Error> {
        self.note("sni", self.facts.sni)
    }

    fn is_tls(&self) -> Result<bool, Self::Error> {
        self.note("is_tls", self.facts.tls)
    }

    fn is_internal_redirect(&self) -> Result<bool, Self::Error> {
        self.note("is_internal_redirect", self.facts.internal_redirect)
    }

    fn is_connect(&self) -> Result<bool, Self::Error> {
        self.note("is_connect", self.facts.connect)
    }

    fn protocol(&self) -> Result<Option<Protocol>, Self::Error> {
        self.note("protocol", self.facts.protocol)
    }

    fn is_grpc(&self) -> Result<bool, Self::Error> {
        self.note("is_grpc", self.facts.grpc)
    }
}

const DISJOINT: &str = r#"{"servers": {"a": ["a.com"], "b": ["b.com"]}}"#;
const OVERLAPPING: &str = r#"{"servers": {"wild": ["*.com"], "b": ["b.com"]}}"#;
const SETTLED: &str = "is_internal_redirect is_connect protocol is_grpc";

fn config(json: &str) -> Config {
    let document: Document = serde_json::from_str(json).unwrap();
    Config::parse(&document).unwrap()
}

fn request<'a>(sni: &'a str, authority: &'a str) -> Facts<'a> {
    Facts::new(sni.as_bytes(), authority.as_bytes())
}

#[track_caller]
fn check(gateway: Gateway, json: &str, facts: Facts<'_>, expected: &str) {
    let request = Noting::new(facts);
    config(json).decide(gateway, &request).unwrap();
    let asked = request.asked.borrow().join(" ");
    assert_eq!(asked, expected, "{gateway:?} {json} {facts:?}");
}

#[test]
fn a_request_with_a_route_asks_for_as_little_as_its_gateway_allows() {
    use Gateway::{Istio, Other};
    let own = request("a.com", "a.com").routed();
    // Without servers, or without an overlap, the route is all there is to know.
    check(Istio, "{}", own, "has_route");
    check(Other, "{}", own, "has_route");
    check(Istio, DISJOINT, own, "has_route");
    // Where two servers may serve a host, the authority says whether it is one of those.
    check(Istio, OVERLAPPING, own, "authority has_route");
    check(
        Istio,
        OVERLAPPING,
        request("x.com", "y.com").routed(),
        "authority has_route",
    );
    check(
        Istio,
        OVERLAPPING,
        request("b.com", "B.com.:1").routed(),
        "authority sni",
    );
    // Elsewhere a route proves nothing, and some settings object to more than wrong routes.
    check(Other, DISJOINT, own, "sni authority");
    check(Other, OVERLAPPING, own, "sni authority");
    for gateway in [Istio, Other] {
        for json in [
            r#"{"rule": "exact"}"#,
            r#"{"missingSni": "reject"}"#,
            r#"{"unlistedSni": "reject"}"#,
        ] {
            check(gateway, json, own, "sni authority");
        }
    }
}

#[test]
fn a_request_without_a_route_is_compared() {
    use Gateway::{Istio, Other};
    let own = request("a.com", "a.com");
    let other = request("a.com", "b.com");
    check(Istio, "{}", own, "has_route sni authority");
    check(
        Istio,
        "{}",
        other,
        &format!("has_route sni authority route {SETTLED}"),
    );
    check(
        Other,
        "{}",
        other,
        &format!("has_route sni authority route {SETTLED}"),
    );
    check(
        Istio,
        DISJOINT,
        other,
        &format!("has_route sni authority {SETTLED}"),
    );
    check(Other, DISJOINT, other, &format!("sni authority {SETTLED}"));
    check(
        Istio,
        OVERLAPPING,
        other,
        &format!("authority sni {SETTLED}"),
    );
    check(
        Istio,
        DISJOINT,
        request("a.com", "c.com"),
        &format!("has_route sni authority route {SETTLED}"),
    );
    check(
        Istio,
        r#"{"rule": "exact"}"#,
        other,
        &format!("sni authority {SETTLED}"),
    );
    check(
        Istio,
        r#"{"rule": "exact", "grpc": "reject"}"#,
        other,
        "sni authority is_internal_redirect is_connect protocol",
    );
    check(
        Istio,
        r#"{"rule": "exact", "protocols": []}"#,
        other,
        "sni authority is_internal_redirect is_connect protocol",
    );
    check(
        Istio,
        r#"{"action": "off"}"#,
        other,
        "has_route sni authority",
    );
}

#[test]
fn a_connection_without_a_server_name_is_asked_about_tls_only_where_it_matters() {
    let facts = request("", "b.com");
    let reject = r#"{"missingSni": "reject"}"#;
    check(Gateway::Other, "{}", facts, "has_route sni");
    check(
        Gateway::Other,
        reject,
        facts,
        &format!("sni is_tls authority {SETTLED}"),
    );
    check(
        Gateway::Other,
        reject,
        Facts {
            tls: false,
            ..facts
        },
        "sni is_tls",
    );
}

#[test]
fn a_question_without_an_answer_is_an_error() {
    let json = r#"{"missingSni": "reject"}"#;
    for (question, facts) in [
        ("sni", request("a.com", "b.com")),
        ("authority", request("a.com", "b.com")),
        ("route", request("a.com", "b.com")),
        ("is_internal_redirect", request("a.com", "b.com")),
        ("is_connect", request("a.com", "b.com")),
        ("protocol", request("a.com", "b.com")),
        ("is_grpc", request("a.com", "b.com")),
        ("is_tls", request("", "b.com")),
    ] {
        let mut request = Noting::new(facts);
        request.unknown = Some(question);
        let decision = config(json).decide(Gateway::Istio, &request);
        assert_eq!(decision, Err(question));
    }
    let mut request = Noting::new(request("a.com", "b.com"));
    request.unknown = Some("has_route");
    let decision = config("{}").decide(Gateway::Istio, &request);
    assert_eq!(decision, Err("has_route"));
}
