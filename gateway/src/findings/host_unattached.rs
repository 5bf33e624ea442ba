//! SG203: no routes for a host.

mod near_routes;
mod near_virtual_services;

use rule::HostPattern;
use rule::host::istio::{IstioHost, IstioHosts};

use super::context::Context;
use super::finding::Findings;
use super::info::{Info, Severity};
use super::server_field::edit_hosts;
use super::{Code, Finding, Remedy};
use crate::listener::ChainKind;
use crate::resources::{Kind, ResourceName};
use crate::server::{Handling, Server};
use crate::{FilterChain, Listener, Outcome, ServerId, Workload};
use near_routes::NearRoutes;
use near_virtual_services::NearVirtualServices;

pub(super) const INFO: Info = Info {
    id: "SG203",
    name: "host-unattached",
    severity: Severity::Warning,
    what: "A server has a host without any routes: the gateway answers every request for it with 404. Without a \
           TLS route for passthrough, or a TCP route, it has no filter chain and resets the connection.",
    why: "Usually a VirtualService refers to another Gateway, is not exported to the namespace of the \
          gateway's pods, or has a different host or port. The finding names the routes that nearly fit.",
    example: "The VirtualService of b.example.com in namespace shop has exportTo: [\".\"], and the \
              gateway runs in istio-system.",
    fix: "Bind routes with that host to the Gateway, or remove the host from the Gateway.",
    coalesced_answer: None,
};

const NO_NEAR_ROUTES: &str = "bind a VirtualService or HTTPRoute with the host to the server, in an allowed \
     namespace, exported to the namespace of the gateway's pods; or remove the host from";

/// Routes that would serve a host if one thing were different.
struct Near {
    resource: ResourceName,
    /// What is different, as a part of a sentence whose subject is the resource.
    reason: String,
    hint: Remedy,
}

/// The search for routes that nearly fit, by the kind of the server's resource.
struct NearFits<'i> {
    virtual_services: NearVirtualServices<'i>,
    routes: NearRoutes<'i>,
}

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    let near_fits = NearFits {
        virtual_services: NearVirtualServices::new(context),
        routes: NearRoutes::new(context),
    };
    for (workload, listener) in context.accepted_tls_listeners() {
        for chain in &listener.chains {
            if let Some(finding) = not_found(workload, listener, chain, &near_fits) {
                findings.add(finding);
            }
        }
    }
    find_reset(context, &near_fits, findings);
}

impl NearFits<'_> {
    fn find(&self, server: &Server, host: &str, workload: &Workload) -> Option<Near> {
        match server.id.resource.kind {
            Kind::ApiGateway | Kind::ListenerSet => self.routes.find(&server.id, host),
            // The routes of an Ingress are part of it.
            Kind::Ingress => None,
            Kind::AuthorizationPolicy
            | Kind::EnvoyFilter
            | Kind::GrpcRoute
            | Kind::Gateway
            | Kind::HttpRoute
            | Kind::Secret
            | Kind::TcpRoute
            | Kind::TlsRoute
            | Kind::TrafficExtension
            | Kind::VirtualService
            | Kind::WasmPlugin => self.virtual_services.find(server, host, workload),
        }
    }
}

/// The finding about the hosts of a filter chain that have no virtual host.
fn not_found(
    workload: &Workload,
    listener: &Listener,
    chain: &FilterChain,
    near_fits: &NearFits<'_>,
) -> Option<Finding> {
    let hosts = unattached_hosts(chain);
    // One finding for each filter chain: its hosts usually have the same cause.
    let first = hosts.first()?;
    let server = &chain.server.id;
    let subject = format!("{server} answers 404 for {}", with_others(&hosts, first));
    let (message, hint, resource) = match near_fits.find(&chain.server, first, workload) {
        Some(near) => (
            format!("{subject}: {} {}", near.resource, near.reason),
            near.hint,
            Some(near.resource),
        ),
        None => (
            format!(
                "{subject}: no routes with that host are bound to it and visible to {} (chain {})",
                workload.full_name(),
                chain.name
            ),
            edit_hosts(NO_NEAR_ROUTES, server),
            None,
        ),
    };
    let finding = Finding {
        sni: Some(first.clone()),
        authority: Some(first.clone()),
        ..Finding::new(Code::HostUnattached, message, hint)
            .at(workload, listener)
            .with_connection(server)
            .with_owner(server)
    };
    Some(resource.into_iter().fold(finding, Finding::about))
}

/// A host with the number of the others.
fn with_others(hosts: &[String], first: &str) -> String {
    match hosts.len() - 1 {
        0 => first.to_owned(),
        count => format!("{first} and {count} more of its hosts"),
    }
}

/// The hosts of a filter chain without a virtual host.
fn unattached_hosts(chain: &FilterChain) -> Vec<String> {
    // Only HTTP has virtual hosts; a TCP route needs no host.
    let ChainKind::Https(table) = &chain.kind else {
        return Vec::new();
    };
    let mut domains = IstioHosts::default();
    for virtual_host in &table.virtual_hosts {
        // A virtual host without routes answers 404 as well.
        if virtual_host.routes.is_empty() {
            continue;
        }
        for domain in &virtual_host.domains {
            domains.insert(&domain.to_string(), ());
        }
    }
    chain
        .server_names
        .iter()
        .map(|name| (name, name.to_string()))
        .filter(|(name, text)| match name {
            HostPattern::Exact(_) => chain.answer(text.as_bytes()).outcome == Outcome::NotFound,
            // The routes of a wildcard server are often for single hosts, and clients use only these.
            HostPattern::Suffix(_) | HostPattern::Any => {
                domains.intersections(IstioHost(text)).next().is_none()
            }
        })
        .map(|(_, text)| text)
        .collect()
}

/// Reports the hosts of servers for passthrough and TCP that no filter chain of the server has.
fn find_reset(context: &Context<'_>, near_fits: &NearFits<'_>, findings: &mut Findings<'_>) {
    for workload in &context.input.model.workloads {
        for without in &workload.without_chains {
            let hosts: Vec<String> = server_hosts(&without.server);
            let listener = workload
                .listeners
                .iter()
                .find(|listener| listener.port == without.port && listener.bind == without.bind);
            // Envoy closes every connection to a listener that it rejects, which SG202 reports.
            if listener.is_some_and(Listener::is_rejected) {
                continue;
            }
            add_reset(
                workload,
                listener,
                &without.server,
                &hosts,
                near_fits,
                findings,
            );
        }
        for listener in &workload.listeners {
            find_partly_reset(workload, listener, near_fits, findings);
        }
    }
}

/// Reports the hosts that a server for passthrough has besides the hosts of its filter chains.
fn find_partly_reset(
    workload: &Workload,
    listener: &Listener,
    near_fits: &NearFits<'_>,
    findings: &mut Findings<'_>,
) {
    if listener.is_rejected() {
        return;
    }
    let mut seen: Vec<&ServerId> = Vec::new();
    for chain in &listener.chains {
        // A server for passthrough has a chain for each condition of its routes.
        let is_passthrough = matches!(chain.kind, ChainKind::Passthrough);
        if !is_passthrough || seen.contains(&&chain.server.id) {
            continue;
        }
        seen.push(&chain.server.id);
        let mut names = IstioHosts::default();
        for other in &listener.chains {
            if other.server.id == chain.server.id {
                for name in &other.server_names {
                    names.insert(&name.to_string(), ());
                }
            }
        }
        let hosts: Vec<String> = server_hosts(&chain.server)
            .into_iter()
            .filter(|host| names.intersections(IstioHost(host)).next().is_none())
            .collect();
        add_reset(
            workload,
            Some(listener),
            &chain.server,
            &hosts,
            near_fits,
            findings,
        );
    }
}

/// The hosts of a server as Envoy would match them, each once.
fn server_hosts(server: &Server) -> Vec<String> {
    let mut hosts: Vec<String> = server
        .hosts
        .iter()
        .map(|host| host.host.to_ascii_lowercase())
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

fn add_reset(
    workload: &Workload,
    listener: Option<&Listener>,
    server: &Server,
    hosts: &[String],
    near_fits: &NearFits<'_>,
    findings: &mut Findings<'_>,
) {
    let Some(first) = hosts.first() else { return };
    let missing = match server.handling() {
        Handling::Passthrough => "no TLS route with that SNI",
        Handling::TerminatedTcp => "no TCP route",
        // In plain text there is no SNI, and AUTO_PASSTHROUGH needs no routes.
        Handling::PlainHttp | Handling::PlainTcp | Handling::AutoPassthrough | Handling::Https => {
            return;
        }
    };
    let id = &server.id;
    let hosts = with_others(hosts, first);
    // Another server with a wildcard can have a filter chain for the host.
    let taken_by = listener.and_then(|listener| listener.chain(first.as_bytes()));
    let effect = match taken_by {
        Some(chain) => format!(
            "connections for {hosts} of {id} use the filter chain of {}",
            chain.server.id
        ),
        None => format!("{id} resets connections for {hosts}"),
    };
    let (message, hint, resource) = match near_fits.find(server, first, workload) {
        Some(near) => (
            format!("{effect}: {} {}", near.resource, near.reason),
            near.hint,
            Some(near.resource),
        ),
        None => (
            format!(
                "{effect}: {missing} is bound to it and visible to {}",
                workload.full_name()
            ),
            edit_hosts(
                "bind a VirtualService with such a route to the Gateway, or remove the host from",
                id,
            ),
            None,
        ),
    };
    let finding = Finding {
        sni: Some(first.clone()),
        authority: Some(first.clone()),
        ..Finding::new(Code::HostUnattached, message, hint)
            .with_connection(id)
            .with_owner(id)
    };
    let finding = match listener {
        Some(listener) => finding.at(workload, listener),
        None => finding.on(workload),
    };
    findings.add(resource.into_iter().fold(finding, Finding::about));
}

#[cfg(test)]
mod tests;
