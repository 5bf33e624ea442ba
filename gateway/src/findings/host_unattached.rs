//! SG203: no routes for a host.

use rule::HostPattern;
use rule::host::istio::{IstioHost, IstioHosts};

use super::context::Context;
use super::finding::Findings;
use super::info::{Info, Severity};
use super::{Code, Finding};
use crate::listener::ChainKind;
use crate::{FilterChain, Outcome};

pub(super) const INFO: Info = Info {
    id: "SG203",
    name: "host-unattached",
    severity: Severity::Warning,
    what: "A server has a host without any routes: the gateway answers every request for it with 404.",
    why: "Usually a VirtualService refers to another Gateway, is not exported to the namespace of the \
          gateway's pods, or has a different host.",
    example: "The VirtualService of b.example.com in namespace shop has exportTo: [\".\"], and the \
              gateway runs in istio-system.",
    fix: "Bind routes with that host to the Gateway, or remove the host from the Gateway.",
    coalesced_answer: None,
};

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (workload, listener) in context.accepted_tls_listeners() {
        for chain in &listener.chains {
            let hosts = unattached_hosts(chain);
            // One finding for each filter chain: its hosts usually have the same cause.
            let Some(first) = hosts.first() else { continue };
            let server = &chain.server.id;
            let others = match hosts.len() - 1 {
                0 => String::new(),
                count => format!(" and {count} more of its hosts"),
            };
            let message = format!(
                "{server} answers 404 for {first}{others}: no routes with that host are bound to it \
                 and visible to {} (chain {})",
                workload.full_name(),
                chain.name
            );
            let hint = "bind a VirtualService or HTTPRoute with the host to the server, in an allowed \
                        namespace, exported to the namespace of the gateway's pods; or remove the host";
            findings.add(Finding {
                sni: Some(first.clone()),
                authority: Some(first.clone()),
                ..Finding::new(Code::HostUnattached, message, hint)
                    .at(workload, listener)
                    .with_connection(server)
                    .with_owner(server)
            });
        }
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
