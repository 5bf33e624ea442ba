//! The VirtualServices that nearly serve a host of a server, and why they do not.

use rule::host::istio::IstioHost;

use super::mesh::MeshSettings;
use super::resources::istio::VirtualService;
use super::resources::{GatewayReference, HostText, Kind, ResourceName, Resources};
use super::routes::Visibility;
use super::server::Handling;
use super::{Server, Workload};

/// The reason why a VirtualService does not serve a host of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It is bound to other Gateways only, or to none.
    OtherGateway { gateways: Vec<String> },
    /// It is not exported to the namespace of the pods.
    NotExported,
    /// It is bound to the Gateway and has other hosts.
    OtherHost { hosts: Vec<String> },
    /// All its rules have `match.port` with other ports than the port of the server.
    OtherPort { ports: Vec<u16> },
    /// It has no rule for TLS connections with the SNI, which a server with passthrough needs.
    OtherSni { sni_hosts: Vec<String> },
    /// The server limits the host to the routes of other namespaces.
    NotAllowed,
}

/// A VirtualService that nearly serves a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearRoute {
    pub resource: ResourceName,
    /// What keeps it from serving the host; never empty.
    pub obstacles: Vec<Obstacle>,
}

/// The VirtualServices that have the host or are bound to the Gateway of a server, and that do not serve the
/// host, those with the fewest obstacles first.
#[must_use]
pub fn near_routes(
    resources: &Resources,
    settings: &MeshSettings,
    workload: &Workload,
    server: &Server,
    host: &str,
) -> Vec<NearRoute> {
    let mut found: Vec<NearRoute> = resources
        .virtual_services
        .iter()
        .filter_map(|service| {
            let obstacles = obstacles(service, settings, workload, server, host)?;
            Some(NearRoute {
                resource: service.metadata.resource(Kind::VirtualService),
                obstacles,
            })
        })
        .collect();
    found.sort_by(|a, b| (a.obstacles.len(), &a.resource).cmp(&(b.obstacles.len(), &b.resource)));
    found
}

/// What keeps a VirtualService from serving a host; `None` if it serves the host, or has nothing to do with it.
fn obstacles(
    service: &VirtualService,
    settings: &MeshSettings,
    workload: &Workload,
    server: &Server,
    host: &str,
) -> Option<Vec<Obstacle>> {
    let namespace = &service.metadata.namespace;
    let spec = &service.spec;
    let has_host = spec
        .hosts
        .iter()
        .any(|own| IstioHost(own.as_str()).overlaps(IstioHost(host)));
    let is_bound = spec
        .gateways
        .iter()
        .any(|gateway| gateway.resolve(namespace).is(&server.gateway));
    if !has_host && !is_bound {
        return None;
    }

    let mut obstacles = Vec::new();
    if !is_bound {
        obstacles.push(Obstacle::OtherGateway {
            gateways: spec
                .gateways
                .iter()
                .map(|gateway| gateway.resolve(namespace))
                .filter(|gateway| *gateway != GatewayReference::Mesh)
                .map(|gateway| gateway.to_string())
                .collect(),
        });
    }
    if !has_host {
        obstacles.push(Obstacle::OtherHost {
            hosts: spec.hosts.iter().map(HostText::to_string).collect(),
        });
    }
    let visibility = Visibility::from_export_to(
        &spec.export_to,
        namespace,
        &settings.virtual_service_export_to,
    );
    if !visibility.includes(&workload.namespace) {
        obstacles.push(Obstacle::NotExported);
    }
    // A server can limit a host to the routes of one namespace.
    let is_allowed = server
        .hosts
        .iter()
        .filter(|own| IstioHost(&own.host).overlaps(IstioHost(host)))
        .any(|own| own.admits(namespace));
    if !is_allowed {
        obstacles.push(Obstacle::NotAllowed);
    }
    // istiod builds the chains of a server with passthrough from the SNIs of rules, not from its hosts (Istio
    // `pilot/pkg/networking/core/gateway.go`, `buildGatewayNetworkFiltersFromTLSRoutes`).
    let sni_hosts = spec
        .tls
        .iter()
        .flat_map(|rule| &rule.matches)
        .flat_map(|condition| &condition.sni_hosts);
    if server.handling() == Handling::Passthrough
        && !sni_hosts
            .clone()
            .any(|sni| IstioHost(sni.as_str()).overlaps(IstioHost(host)))
    {
        obstacles.push(Obstacle::OtherSni {
            sni_hosts: sni_hosts.map(HostText::to_string).collect(),
        });
    }
    let ports = other_ports(service, server.port);
    if !ports.is_empty() {
        obstacles.push(Obstacle::OtherPort { ports });
    }
    (!obstacles.is_empty()).then_some(obstacles)
}

/// The ports that the conditions of a VirtualService name, if none of its rules applies to `port`.
fn other_ports(service: &VirtualService, port: u16) -> Vec<u16> {
    let spec = &service.spec;
    let mut ports = Vec::new();
    // The conditions of all protocols. A rule without conditions applies to every port.
    let rules = spec
        .http
        .iter()
        .map(|rule| rule.matches.iter().map(|own| own.port).collect::<Vec<_>>())
        .chain(
            spec.tls
                .iter()
                .map(|rule| rule.matches.iter().map(|own| own.port).collect()),
        )
        .chain(
            spec.tcp
                .iter()
                .map(|rule| rule.matches.iter().map(|own| own.port).collect()),
        );
    for rule in rules {
        if rule.is_empty() || rule.iter().any(|own| *own == 0 || *own == port) {
            return Vec::new();
        }
        ports.extend(rule);
    }
    ports.sort_unstable();
    ports.dedup();
    ports
}

#[cfg(test)]
mod tests {
    use super::{Obstacle, near_routes};
    use crate::documents::read;
    use crate::{Model, Resources};

    const GATEWAY: &str = "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: public, \
        namespace: edge}, spec: {selector: {app: edge}, servers: [{port: {number: 443, name: https, \
        protocol: HTTPS}, hosts: [%], tls: {mode: SIMPLE}}]}}\n---\n";

    /// The obstacles of a VirtualService in `shop` for a.example.com; empty if it serves the host.
    fn obstacles(server_host: &str, spec: &str) -> Vec<Obstacle> {
        let text = GATEWAY.replace('%', server_host)
            + &format!(
                "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: va, \
                 namespace: shop}}, spec: {{{spec}}}}}\n"
            );
        let mut resources = Resources::default();
        assert_eq!(read("input.yaml", text, &mut resources), []);
        let model = Model::new(&resources);
        let workload = &model.workloads[0];
        let server = &workload.listeners[0].chains[0].server;
        let settings = &model.settings[0];
        near_routes(&resources, settings, workload, server, "a.example.com")
            .into_iter()
            .flat_map(|route| route.obstacles)
            .collect()
    }

    #[test]
    fn reasons_why_a_route_does_not_apply() {
        let gateways = "gateways: [edge/public]";
        let host = "hosts: [a.example.com]";
        let any = "a.example.com";
        for (server_host, spec, expected) in [
            (any, format!("{host}, {gateways}, http: [{{}}]"), vec![]),
            (
                any,
                format!("{host}, gateways: [mesh, other], http: [{{}}]"),
                vec![Obstacle::OtherGateway {
                    gateways: vec!["shop/other".into()],
                }],
            ),
            (
                any,
                format!("{host}, {gateways}, exportTo: [.], http: [{{}}]"),
                vec![Obstacle::NotExported],
            ),
            (
                any,
                format!("hosts: [a.exampel.com], {gateways}, http: [{{}}]"),
                vec![Obstacle::OtherHost {
                    hosts: vec!["a.exampel.com".into()],
                }],
            ),
            (
                any,
                format!("{host}, {gateways}, http: [{{match: [{{port: 80}}, {{port: 8080}}]}}]"),
                vec![Obstacle::OtherPort {
                    ports: vec![80, 8080],
                }],
            ),
            (
                any,
                format!(
                    "{host}, {gateways}, http: [{{match: [{{port: 80}}]}}, {{match: [{{port: 443}}]}}]"
                ),
                vec![],
            ),
            (
                "edge/a.example.com",
                format!("{host}, {gateways}, http: [{{}}]"),
                vec![Obstacle::NotAllowed],
            ),
            // It has nothing to do with the host.
            (
                any,
                "hosts: [c.example.com], gateways: [other], http: [{}]".to_owned(),
                vec![],
            ),
        ] {
            assert_eq!(obstacles(server_host, &spec), expected, "{spec}");
        }
    }

    #[test]
    fn a_server_with_passthrough_needs_the_sni() {
        for (sni, expected) in [
            ("a.example.com", None),
            ("*.example.com", None),
            ("a.exampel.com", Some("a.exampel.com")),
        ] {
            let text = GATEWAY
                .replace('%', "a.example.com")
                .replace("SIMPLE", "PASSTHROUGH")
                + &format!(
                    "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: va, \
                     namespace: shop}}, spec: {{hosts: [a.example.com], gateways: [edge/public], tls: \
                     [{{match: [{{sniHosts: ['{sni}']}}], route: [{{}}]}}]}}}}\n"
                );
            let mut resources = Resources::default();
            assert_eq!(read("input.yaml", text, &mut resources), []);
            let model = Model::new(&resources);
            let workload = &model.workloads[0];
            // istiod builds a chain for the SNI of the rule, whatever the host of the server is.
            let server = &workload.listeners[0].chains[0].server;
            let found: Vec<Obstacle> = near_routes(
                &resources,
                &model.settings[0],
                workload,
                server,
                "a.example.com",
            )
            .into_iter()
            .flat_map(|route| route.obstacles)
            .collect();
            let expected: Vec<Obstacle> = expected
                .map(|host: &str| Obstacle::OtherSni {
                    sni_hosts: vec![host.to_owned()],
                })
                .into_iter()
                .collect();
            assert_eq!(found, expected, "{sni}");
        }
    }

    #[test]
    fn a_server_with_passthrough_and_without_routes_has_no_chain() {
        let text = GATEWAY
            .replace('%', "a.example.com")
            .replace("SIMPLE", "PASSTHROUGH");
        let mut resources = Resources::default();
        assert_eq!(read("input.yaml", text, &mut resources), []);
        let model = Model::new(&resources);
        let servers: Vec<String> = model.workloads[0]
            .without_chains
            .iter()
            .map(|server| server.id.to_string())
            .collect();
        assert_eq!(servers, ["Gateway edge/public servers[0]"]);
    }
}
