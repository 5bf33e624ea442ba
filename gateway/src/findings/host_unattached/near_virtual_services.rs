//! VirtualServices that nearly fit a host of a server of Istio's Gateway.

use std::collections::{BTreeSet, HashMap};

use rule::host::istio::{IstioHost, IstioHosts};
use serde_json::json;

use super::Near;
use crate::Workload;
use crate::findings::context::Context;
use crate::findings::server_field::hosts_field;
use crate::findings::similar_host::{correction, is_similar};
use crate::findings::{Remedy, kubectl};
use crate::resources::istio::{HttpMatch, TlsMatch};
use crate::resources::{GatewayName, GatewayReference, HostText, NamespacedHost, ResourceName};
use crate::routes::{Binding, ProxyContext, Visibility, l4_applies};
use crate::server::{Handling, Server};

/// How many VirtualServices with similar hosts are compared, so that thousands of them on one Gateway cost little.
const MAX_COMPARED: usize = 500;

/// The VirtualServices, by the Gateways that they are bound to and by their hosts.
pub(super) struct NearVirtualServices<'i> {
    by_gateway: HashMap<&'i GatewayName, Vec<&'i Binding>>,
    by_host: IstioHosts<&'i Binding>,
    /// The hosts of each Gateway, with the namespaces that can use them.
    hosts: HashMap<GatewayName, IstioHosts<NamespacedHost>>,
}

impl<'i> NearVirtualServices<'i> {
    pub(super) fn new(context: &'i Context<'_>) -> Self {
        let mut by_gateway: HashMap<&GatewayName, Vec<&Binding>> = HashMap::new();
        let mut by_host = IstioHosts::default();
        for binding in &context.bindings {
            for reference in &binding.gateways {
                if let GatewayReference::Qualified(gateway) = reference {
                    by_gateway.entry(gateway).or_default().push(binding);
                }
            }
            for host in &binding.hosts {
                by_host.insert(host, binding);
            }
        }
        let mut hosts: HashMap<GatewayName, IstioHosts<NamespacedHost>> = HashMap::new();
        for gateway in &context.input.resources.gateways {
            let metadata = &gateway.metadata;
            let name = GatewayName::new(&metadata.namespace, &metadata.name);
            let own = hosts.entry(name).or_default();
            for server in &gateway.spec.servers {
                for host in NamespacedHost::sanitized(&server.hosts, &metadata.namespace) {
                    let text = host.host.clone();
                    own.insert(&text, host);
                }
            }
        }
        Self {
            by_gateway,
            by_host,
            hosts,
        }
    }

    /// The VirtualService that fits most nearly, and why it does not fit.
    pub(super) fn find(&self, server: &Server, host: &str, workload: &Workload) -> Option<Near> {
        let bound = self
            .by_gateway
            .get(&server.gateway)
            .map_or(&[][..], Vec::as_slice);
        // First the VirtualServices of this Gateway with the host: only one setting is wrong.
        let with_host = bound.iter().find(|binding| has_host(binding, host));
        if let Some(binding) = with_host {
            return refusal(binding, server, host, workload);
        }
        self.misspelt(bound, server, host)
            .or_else(|| self.bound_elsewhere(server, host))
    }

    /// A VirtualService of the Gateway with a similar host that no server of the Gateway has.
    fn misspelt(&self, bound: &[&Binding], server: &Server, host: &str) -> Option<Near> {
        let own = self.hosts.get(&server.gateway);
        let (binding, index, similar) = bound
            .iter()
            .flat_map(|binding| {
                binding
                    .hosts
                    .iter()
                    .enumerate()
                    .map(move |(index, similar)| (*binding, index, similar))
            })
            .take(MAX_COMPARED)
            .filter(|(_, _, similar)| is_similar(similar, host))
            // A host that is attached is no typing error: hosts of one domain are often similar.
            .find(|(_, _, similar)| {
                own.is_none_or(|own| own.intersections(IstioHost(similar)).next().is_none())
            })?;
        let resource = resource(binding)?;
        let patch = correction(binding, index, host);
        Some(Near {
            reason: format!("has the similar host {similar}"),
            hint: Remedy::with_command("correct the host", kubectl::json_patch(&resource, &patch)),
            resource,
        })
    }

    /// A VirtualService with the host that is not bound to the Gateway.
    fn bound_elsewhere(&self, server: &Server, host: &str) -> Option<Near> {
        let binding = self
            .by_host
            .intersections(IstioHost(host))
            // Wildcards of other Gateways cover hosts that they are not meant for.
            .find(|(_, binding)| {
                binding
                    .hosts
                    .iter()
                    .any(|own| IstioHost(own) == IstioHost(host))
            })
            .map(|(_, binding)| *binding)?;
        let resource = resource(binding)?;
        let names: Vec<String> = binding.gateways.iter().map(ToString::to_string).collect();
        let gateway = server.gateway.to_string();
        let (reason, patch) = if names.is_empty() {
            // Without a list the routes are for sidecars, and must stay so.
            (
                "has the host, but names no Gateway".to_owned(),
                json!([{"op": "add", "path": "/spec/gateways", "value": ["mesh", gateway]}]),
            )
        } else {
            (
                format!("has the host, but is bound to {}", names.join(", ")),
                json!([{"op": "add", "path": "/spec/gateways/-", "value": gateway}]),
            )
        };
        Some(Near {
            reason,
            hint: Remedy::with_command(
                format!("bind it to Gateway {gateway}"),
                kubectl::json_patch(&resource, &patch),
            ),
            resource,
        })
    }
}

fn resource(binding: &Binding) -> Option<ResourceName> {
    binding.sources.first().map(|resource| (**resource).clone())
}

fn has_host(binding: &Binding, host: &str) -> bool {
    binding
        .hosts
        .iter()
        .any(|own| IstioHost(own).overlaps(IstioHost(host)))
}

/// Why a VirtualService that is bound to the Gateway and has the host does not serve it. The checks have the order
/// of istiod.
fn refusal(binding: &Binding, server: &Server, host: &str, workload: &Workload) -> Option<Near> {
    let resource = resource(binding)?;
    // `exportTo` (Istio `pilot/pkg/model/push_context.go`, `VirtualServicesForGateway`).
    if !binding.visibility.includes(&workload.namespace) {
        return Some(not_exported(binding, resource, workload));
    }
    // The namespace before the host (Istio `pkg/config/host/names.go`, `NamesForNamespace`).
    let is_admitted = server
        .hosts
        .iter()
        .filter(|own| IstioHost(&own.host.to_ascii_lowercase()).overlaps(IstioHost(host)))
        .any(|own| own.admits(&binding.namespace));
    if !is_admitted {
        return Some(Near {
            reason: format!(
                "has the host, but the server excludes VirtualServices of namespace {}",
                binding.namespace
            ),
            hint: Remedy::with_command(
                format!(
                    "allow namespace {} in {} of {}",
                    binding.namespace,
                    hosts_field(&server.id),
                    server.id.resource
                ),
                kubectl::edit(&server.id.resource),
            ),
            resource,
        });
    }
    let context = ProxyContext {
        namespace: &workload.namespace,
        labels: &workload.labels,
        gateway: &server.gateway,
        port: server.port,
    };
    Some(Near {
        reason: rules_reason(binding, server, context)?,
        hint: Remedy::with_command("correct the rules", kubectl::edit(&resource)),
        resource,
    })
}

fn not_exported(binding: &Binding, resource: ResourceName, workload: &Workload) -> Near {
    let own = &workload.namespace;
    let names = match &binding.visibility {
        Visibility::Namespaces(names) => names.as_slice(),
        Visibility::Everywhere => &[],
    };
    let namespaces = match names {
        [] => "no namespace".to_owned(),
        names => names.join(", "),
    };
    // The whole list: the resource may have none, and the default of the mesh applies.
    let exported: Vec<&String> = names.iter().chain([own]).collect();
    let patch = json!({"spec": {"exportTo": exported}});
    Near {
        reason: format!(
            "has the host, but is exported to {namespaces} and not to {own}, the namespace of the gateway's pods"
        ),
        hint: Remedy::with_command(
            "export it to the namespace",
            kubectl::merge_patch(&resource, &patch),
        ),
        resource,
    }
}

/// Why no rule of a VirtualService applies to the server; `None` if the reason is unknown.
fn rules_reason(binding: &Binding, server: &Server, context: ProxyContext<'_>) -> Option<String> {
    match server.handling() {
        Handling::Https | Handling::PlainHttp => Some(http_reason(binding, context)),
        Handling::Passthrough => Some(tls_reason(binding, context)),
        Handling::TerminatedTcp | Handling::PlainTcp => binding
            .tcp
            .is_empty()
            .then(|| "has the host, but no tcp rule, which the server needs".to_owned()),
        Handling::AutoPassthrough => None,
    }
}

/// Why no HTTP rule applies (Istio `BuildHTTPRoutesForVirtualService` and `sourceMatchHTTP`).
fn http_reason(binding: &Binding, context: ProxyContext<'_>) -> String {
    if binding.http.is_empty() {
        return if binding.tls.is_empty() && binding.tcp.is_empty() {
            "has the host, but no http rule, or only rules whose delegates are missing or not exported"
                .to_owned()
        } else {
            "has the host, but only tls or tcp rules, and the server needs an http rule".to_owned()
        };
    }
    let conditions: Vec<&HttpMatch> = binding.http.iter().flat_map(|rule| &rule.matches).collect();
    // Without conditions, only the spelling of the hosts is left.
    if conditions.is_empty() {
        return "has the host with other capital letters, and istiod compares hosts letter by letter"
            .to_owned();
    }
    // The port of a condition is the port of the Gateway, not the port of a Service or of the pods.
    if conditions
        .iter()
        .all(|condition| is_for_other_port(condition.port, context))
    {
        return other_ports(conditions.iter().map(|condition| condition.port), context);
    }
    if conditions
        .iter()
        .all(|condition| is_for_other_gateways(&condition.gateways, context.gateway))
    {
        return "has the host, but its rules match only other Gateways".to_owned();
    }
    "has the host, but the conditions of its rules (port, gateways, sourceLabels, sourceNamespace) exclude \
     the server"
        .to_owned()
}

/// Why no TLS rule applies to a server for passthrough (Istio `buildGatewayNetworkFiltersFromTLSRoutes`).
fn tls_reason(binding: &Binding, context: ProxyContext<'_>) -> String {
    let conditions: Vec<&TlsMatch> = binding.tls.iter().flat_map(|rule| &rule.matches).collect();
    if conditions.is_empty() {
        return "has the host, but no tls rule with sniHosts, which a server for passthrough needs"
            .to_owned();
    }
    if conditions
        .iter()
        .all(|condition| is_for_other_port(condition.port, context))
    {
        return other_ports(conditions.iter().map(|condition| condition.port), context);
    }
    if !conditions
        .iter()
        .any(|condition| l4_applies(&condition.gateways, condition.port, context))
    {
        return "has the host, but its rules match only other Gateways".to_owned();
    }
    // A few names are enough to see the difference.
    let names: BTreeSet<&str> = conditions
        .iter()
        .flat_map(|condition| &condition.sni_hosts)
        .map(HostText::as_str)
        .collect();
    let names: Vec<&str> = names.into_iter().take(5).collect();
    format!(
        "has the host, but its tls rules match the SNI {}",
        names.join(", ")
    )
}

fn is_for_other_port(port: u16, context: ProxyContext<'_>) -> bool {
    port != 0 && port != context.port
}

fn other_ports(ports: impl Iterator<Item = u16>, context: ProxyContext<'_>) -> String {
    let mut ports: Vec<u16> = ports.collect();
    ports.sort_unstable();
    ports.dedup();
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    format!(
        "has the host, but its rules match port {}, and the server has port {}",
        ports.join(", "),
        context.port
    )
}

fn is_for_other_gateways(gateways: &[GatewayReference], own: &GatewayName) -> bool {
    !gateways.is_empty() && !gateways.iter().any(|gateway| gateway.is(own))
}
