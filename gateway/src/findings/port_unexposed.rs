//! SG207: a port of a Gateway that no Service leads to.

use std::collections::BTreeSet;

use serde_json::json;

use super::context::Context;
use super::finding::Findings;
use super::info::{Info, Severity};
use super::{Code, Finding, Remedy, kubectl};
use crate::resources::Kind;
use crate::server::{Protocol, Server};
use crate::{Listener, Workload};

pub(super) const INFO: Info = Info {
    id: "SG207",
    name: "port-unexposed",
    severity: Severity::Warning,
    what: "A Gateway has a port, and no port of the Services of its pods leads to it.",
    why: "Envoy listens on the port, but connections from outside of the pods do not arrive there.",
    example: "A Gateway has a server on port 8443. The Service istio-ingressgateway has the ports 80 and 443 \
              with the target ports 8080 and 443.",
    fix: "Add the port to the Service, or use a port of the Service in the Gateway: istiod translates it to \
          the target port.",
    coalesced_answer: None,
};

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    for workload in &context.input.model.workloads {
        let Some(exposed) = exposed_ports(workload) else {
            continue;
        };
        for listener in &workload.listeners {
            if is_for_all_addresses(listener)
                && !exposed.contains(&listener.port)
                && let Some(server) = gateway_server(listener)
            {
                findings.add(unexposed(workload, listener, server));
            }
        }
    }
}

/// The ports of the pods that Services lead to; `None` if that is unknown.
fn exposed_ports(workload: &Workload) -> Option<BTreeSet<u16>> {
    // Pods without a Service in the input usually have one that the input does not contain.
    if workload.services.is_empty() {
        return None;
    }
    let mut exposed = BTreeSet::new();
    for service in &workload.services {
        exposed.extend(service.targets.as_ref()?);
    }
    Some(exposed)
}

/// Whether the listener is meant for connections from outside. A server can bind to an address that only a
/// process beside Envoy uses.
fn is_for_all_addresses(listener: &Listener) -> bool {
    matches!(listener.bind.as_str(), "0.0.0.0" | "::")
}

/// The oldest server of an Istio Gateway. For other kinds istiod creates the Service, or takes the ports from it.
fn gateway_server(listener: &Listener) -> Option<&Server> {
    listener
        .chains
        .iter()
        .map(|chain| &*chain.server)
        .find(|server| server.id.resource.kind == Kind::Gateway)
}

fn unexposed(workload: &Workload, listener: &Listener, server: &Server) -> Finding {
    let port = listener.port;
    // All Services are named: the port can be added to any of them.
    let names: Vec<&str> = workload
        .services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    let services = match names.as_slice() {
        [name] => format!("Service {name}"),
        names => format!("Services {}", names.join(", ")),
    };
    let message = format!(
        "{} listens on port {port} of the pods {}, and no port of their {services} leads to it: \
         connections from outside of the pods do not arrive",
        server.id,
        workload.full_name()
    );
    // istiod translates the port of the Gateway by the Service, so both sides get it.
    let hint = Remedy::with_command(
        "add the port to the Service",
        kubectl::add_service_port(
            &workload.namespace,
            names.first().copied().unwrap_or_default(),
            &json!({
                "name": format!("{}-{}", protocol_name(server.protocol), server.port),
                "port": server.port,
                "targetPort": port,
            }),
        ),
    );
    Finding::new(Code::PortUnexposed, message, hint)
        .at(workload, listener)
        .with_connection(&server.id)
}

/// The protocol as Istio reads it from the name of a port.
fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Https => "https",
        Protocol::Tls => "tls",
        Protocol::Tcp => "tcp",
    }
}

#[cfg(test)]
mod tests {
    use crate::findings::Code;
    use crate::findings::tests::messages_of;

    fn gateway(port: u16, bind: &str) -> String {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {{name: gw, namespace: shop}},\n \
             spec: {{selector: {{istio: ingressgateway}}, servers: [{{port: {{number: {port}, name: https, \
             protocol: HTTPS}}, bind: '{bind}', hosts: [a.example.com], tls: {{mode: SIMPLE, credentialName: w}}}}]}}}}\n---\n"
        )
    }

    fn service(name: &str, ports: &str) -> String {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: istio-system}},\n \
             spec: {{selector: {{istio: ingressgateway}}, ports: {ports}}}}}\n---\n"
        )
    }

    #[track_caller]
    fn check(input: &str, expected: bool) {
        let found = messages_of(input, Code::PortUnexposed);
        assert_eq!(!found.is_empty(), expected, "{found:?} {input}");
    }

    #[test]
    fn no_service_leads_to_the_port() {
        let web = service(
            "web",
            "[{port: 80, targetPort: 8080}, {port: 443, targetPort: 8443}]",
        );
        let message = "Gateway shop/gw servers[0] listens on port 9443 of the pods \
                       istio-system/istio=ingressgateway, and no port of their Service web leads to it: \
                       connections from outside of the pods do not arrive";
        let found = messages_of(&(gateway(9443, "") + &web), Code::PortUnexposed);
        assert_eq!(found, [message]);
    }

    #[test]
    fn some_service_leads_to_the_port_or_may() {
        let web = service("web", "[{port: 443, targetPort: 8443}]");
        // The port of the Service, and the port of the pods.
        check(&(gateway(443, "") + &web), false);
        check(&(gateway(8443, "") + &web), false);
        // Another Service of the pods.
        let other = service("other", "[{port: 9443}]");
        check(&(gateway(9443, "") + &web + &other), false);
        // No Service in the input, or a port by a name that the input does not resolve.
        check(&gateway(9443, ""), false);
        let named = service("web", "[{port: 443, targetPort: https}]");
        check(&(gateway(9443, "") + &named), false);
        // An address for processes in the pods.
        check(&(gateway(9443, "127.0.0.1") + &web), false);
        check(&(gateway(9443, "0.0.0.0") + &web), true);
    }
}
