//! SG203: no routes for a host.

use rule::HostPattern;
use rule::host::istio::{IstioHost, IstioHosts};

use super::finding::Findings;
use super::{Code, Finding};
use crate::listener::ChainKind;
use crate::{FilterChain, Listener, Outcome, Workload};

pub(super) fn find(workload: &Workload, listener: &Listener, findings: &mut Findings<'_>) {
    for chain in &listener.chains {
        let hosts = unattached(chain);
        let Some(first) = hosts.first() else { continue };
        let server = &chain.server.id;
        let others = match hosts.len() - 1 {
            0 => String::new(),
            others => format!(" and for {others} more of its hosts"),
        };
        let message = format!(
            "{server} answers 404 for {first}{others}: no routes that {} sees are bound to it with \
             that host (chain {})",
            workload.full_name(),
            chain.name
        );
        let hint = "bind a VirtualService or HTTPRoute with the host to it, in a namespace that \
                    may, exported to the namespace of the gateway's pods; or remove the host";
        let finding = Finding {
            sni: Some(first.clone()),
            authority: Some(first.clone()),
            ..Finding::new(Code::HostUnattached, message, hint)
                .at(workload, listener)
                .with_connection(server)
                .with_owner(server)
        };
        findings.add([server], finding);
    }
}

/// The hosts without a virtual host; for a wildcard, without one for any of its hosts: the routes
/// of a wildcard server are often those of single hosts, and nobody asks for the others.
fn unattached(chain: &FilterChain) -> Vec<String> {
    let ChainKind::Https(table) = &chain.kind else {
        return Vec::new();
    };
    let mut domains = IstioHosts::default();
    for virtual_host in table
        .virtual_hosts
        .iter()
        .filter(|host| !host.routes.is_empty())
    {
        for domain in &virtual_host.domains {
            domains.insert(&domain.to_string(), ());
        }
    }
    let names = chain
        .server_names
        .iter()
        .map(|name| (name, name.to_string()));
    let unattached = names.filter(|(name, text)| match name {
        HostPattern::Exact(_) => chain.answer(text.as_bytes()).outcome == Outcome::NotFound,
        HostPattern::Suffix(_) | HostPattern::Any => {
            domains.intersections(IstioHost(text)).next().is_none()
        }
    });
    unattached.map(|(_, text)| text).collect()
}
