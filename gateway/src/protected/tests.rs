use super::*;
use crate::documents::read;
use crate::{Model, Resources};

/// A Gateway of the pods `istio: ingressgateway`, from `NAME PORT MODE HOST…`.
fn gateway(words: &str) -> String {
    let mut words = words.split(' ');
    let mut next = || words.next().unwrap();
    let (name, port, mode) = (next(), next(), next());
    let hosts: Vec<String> = words.map(|host| format!("\"{host}\"")).collect();
    let (protocol, tls) = match mode {
        "PLAIN" => ("HTTP", String::new()),
        "TCP" => ("TCP", String::new()),
        "PASSTHROUGH" => ("TLS", "tls: {mode: PASSTHROUGH}".to_owned()),
        mode => ("HTTPS", format!("tls: {{mode: {mode}, credentialName: w}}")),
    };
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: Gateway\n\
         metadata: {{name: {name}, namespace: istio-system}}\n\
         spec:\n  selector: {{istio: ingressgateway}}\n  servers:\n\
         \x20 - port: {{number: {port}, name: p{port}, protocol: {protocol}}}\n\
         \x20   hosts: [{}]\n    {tls}\n",
        hosts.join(", ")
    )
}

/// A VirtualService from `NAME GATEWAY,… HOST…`. It has TLS or TCP rules if the name begins with `tls` or `tcp`.
fn routes(words: &str) -> String {
    let mut words = words.split(' ');
    let mut next = || words.next().unwrap();
    let (name, gateways) = (next(), next());
    let hosts: Vec<String> = words.map(|host| format!("\"{host}\"")).collect();
    let hosts = hosts.join(", ");
    let route = "route: [{destination: {host: backend}}]";
    let rules = match name.get(..3) {
        Some("tls") => format!("tls: [{{match: [{{sniHosts: [{hosts}]}}], {route}}}]"),
        Some("tcp") => format!("tcp: [{{{route}}}]"),
        _ => format!("http: [{{{route}}}]"),
    };
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: {name}, namespace: istio-system}}\n\
         spec: {{hosts: [{hosts}], gateways: [{gateways}], {rules}}}\n"
    )
}

fn boundary(gateways: &[&str], services: &[&str]) -> Boundary {
    let text = [
        gateways
            .iter()
            .map(|words| gateway(words))
            .collect::<String>(),
        services.iter().map(|words| routes(words)).collect(),
        "---\napiVersion: v1\nkind: Service\nmetadata: {name: gateway, namespace: istio-system}\n\
         spec:\n  selector: {istio: ingressgateway}\n  ports:\n\
         \x20 - {port: 80, targetPort: 8080}\n  - {port: 443, targetPort: 8443}\n\
         \x20 - {port: 444, targetPort: 9443}\n  - {port: 9000, targetPort: 9000}\n"
            .to_owned(),
    ]
    .concat();
    let mut resources = Resources::default();
    let faults = read("-", text.as_bytes(), &mut resources);
    assert!(faults.is_empty(), "{faults:?}");
    let model = Model::new(&resources);
    Boundary::new(&model.workloads.iter().collect::<Vec<_>>())
}

fn list<T: ToString>(values: &BTreeSet<T>) -> String {
    let values: Vec<String> = values.iter().map(T::to_string).collect();
    values.join(" ")
}

/// A denial as `HOSTS - EXCEPT | AMONG - BUT | PORTS`.
fn line(denial: &Denial) -> String {
    let Denial {
        hosts,
        except,
        connections,
        ports,
    } = denial;
    format!(
        "{} - {} | {} - {} | {}",
        list(hosts),
        list(except),
        list(&connections.among),
        list(&connections.but),
        list(ports)
    )
}

#[track_caller]
fn check(gateways: &[&str], services: &[&str], expected: &[&str]) -> Boundary {
    let found = boundary(gateways, services);
    let lines: Vec<String> = found.denials.iter().map(line).collect();
    assert_eq!(lines, expected);
    found
}

const W: &str = "w 443 SIMPLE *.example.com";
const B: &str = "b 443 MUTUAL b.example.com";

#[test]
fn routes_of_a_host_with_mutual_tls_on_a_wildcard_server() {
    let found = check(
        &[W, B],
        &["vb w,b b.example.com"],
        &["b.example.com -  |  - b.example.com | 8443"],
    );
    assert_eq!(found.other_listeners, OtherListeners::None);
    assert!(found.ports_are_certain && !found.workloads_differ);
    assert!(found.open.is_empty() && found.shared.is_empty());
}

#[test]
fn nothing_to_deny() {
    // Other routes, or none; a certificate on both sides; none on either.
    check(&[W, B], &["vw w b.example.com", "vb b b.example.com"], &[]);
    check(&[W, B], &["vb b b.example.com"], &[]);
    let mutual = "w 443 MUTUAL *.example.com";
    check(&[mutual, B], &["vb w,b b.example.com"], &[]);
    let simple = "b 443 SIMPLE b.example.com";
    check(&[W, simple], &["vb w,b b.example.com"], &[]);
    // A more specific server of the wildcard's own.
    let mutual = "m 443 MUTUAL *.example.com";
    let a = "a 443 SIMPLE a.example.com";
    check(&[mutual, a], &["va m,a a.example.com"], &[]);
}

#[test]
fn a_certificate_that_need_not_be_shown_is_none() {
    let optional = "w 443 OPTIONAL_MUTUAL *.example.com";
    check(
        &[optional, B],
        &["vb w,b b.example.com"],
        &["b.example.com -  |  - b.example.com | 8443"],
    );
}

#[test]
fn hosts_of_one_server_share_a_denial() {
    let b = "b 443 MUTUAL b.example.com c.example.com";
    check(
        &[W, b, "d 443 MUTUAL d.example.com"],
        &["vb w,b b.example.com c.example.com", "vd w,d d.example.com"],
        &[
            "b.example.com c.example.com -  |  - b.example.com c.example.com | 8443",
            "d.example.com -  |  - d.example.com | 8443",
        ],
    );
}

#[test]
fn a_wildcard_route_is_shared_with_other_names() {
    let found = check(
        &[W, B],
        &["vb w,b *.example.com"],
        &["b.example.com -  |  - b.example.com | 8443"],
    );
    let shared: Vec<String> = found
        .shared
        .iter()
        .map(|shared| format!("{} {}", shared.host, shared.server))
        .collect();
    assert_eq!(shared, ["b.example.com Gateway istio-system/w servers[0]"]);
}

#[test]
fn some_rules_in_common_are_enough() {
    let both = |name: &str, gateways: &str| routes(&format!("{name} {gateways} b.example.com"));
    let text = [gateway(W), gateway(B), both("v1", "w,b"), both("v2", "b")].concat();
    let mut resources = Resources::default();
    assert!(read("-", text.as_bytes(), &mut resources).is_empty());
    let model = Model::new(&resources);
    let found = Boundary::new(&model.workloads.iter().collect::<Vec<_>>());
    assert_eq!(found.denials.len(), 1);
    assert!(!found.ports_are_certain);
}

#[test]
fn a_protected_wildcard_leaves_hosts_with_a_server_of_their_own() {
    check(
        &[
            "w 443 SIMPLE *",
            "m 443 MUTUAL *.example.com",
            "c 443 SIMPLE c.example.com",
            "d 443 MUTUAL d.example.com",
        ],
        &["vm w,m *.example.com"],
        &["*.example.com - c.example.com |  - *.example.com | 8443"],
    );
}

#[test]
fn server_names_below_the_owners_that_lead_elsewhere() {
    check(
        &[
            "w 443 SIMPLE *.com c.example.com",
            "m 443 MUTUAL *.example.com",
        ],
        &["vm w,m y.example.com"],
        &[
            "y.example.com -  |  - *.example.com | 8443",
            "y.example.com -  | c.example.com -  | 8443",
        ],
    );
}

/// For TCP istiod keeps the server names of a denial and not its hosts.
#[test]
fn connections_that_are_passed_through_stay_open() {
    check(
        &[W, B, "p 443 PASSTHROUGH p.example.com"],
        &["vb w,b b.example.com", "tls-p p p.example.com"],
        &["b.example.com -  |  - b.example.com p.example.com | 8443"],
    );
    // All other server names are passed through.
    check(
        &[W, B, "p 443 PASSTHROUGH *"],
        &["vb w,b b.example.com", "tls-p p *"],
        &["b.example.com -  | *.example.com - b.example.com | 8443"],
    );
}

#[test]
fn other_listeners_are_named() {
    let others = |gateways: &[&str], services: &[&str]| {
        let services = [&["vb w,b b.example.com"], services].concat();
        let expected = ["b.example.com -  |  - b.example.com | 8443"];
        check(&[&[W, B], gateways].concat(), &services, &expected).other_listeners
    };
    assert_eq!(others(&[], &[]), OtherListeners::None);
    let plain = "plain 80 PLAIN *";
    assert_eq!(others(&[plain], &[]), OtherListeners::PlainHttp);
    let tcp = "tcp 9000 TCP *";
    assert_eq!(others(&[plain, tcp], &["tcp tcp *"]), OtherListeners::Any);
    let other = "other 444 SIMPLE other.test";
    assert_eq!(others(&[other], &[]), OtherListeners::Any);
}

#[test]
fn a_host_that_another_port_serves_without_a_certificate_stays() {
    let found = check(
        &[W, B, "w2 444 SIMPLE *.example.com"],
        &["vb w,b,w2 b.example.com"],
        &["b.example.com -  |  - b.example.com | 8443"],
    );
    let open: Vec<String> = found
        .open
        .iter()
        .map(|open| format!("{} {} {}", open.host, open.port, open.server))
        .collect();
    assert_eq!(
        open,
        ["b.example.com 9443 Gateway istio-system/w2 servers[0]"]
    );
}

/// On the other port the gateway forwards connections for the host to a backend, and terminates connections for
/// the second host of the owner.
#[test]
fn a_listener_of_another_port_has_the_routes() {
    check(
        &[
            "b 443 MUTUAL b.example.com d.example.com",
            "w2 444 SIMPLE *.example.com",
            "p 444 PASSTHROUGH b.example.com",
        ],
        &["vb b,w2 b.example.com", "tls-p p b.example.com"],
        &[
            "b.example.com -  |  - b.example.com d.example.com | 9443",
            "b.example.com -  | d.example.com -  | 9443",
        ],
    );
}
