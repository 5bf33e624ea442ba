//! SG206: a VirtualService whose rules another one hides.

mod precedence;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::context::Context;
use super::finding::Findings;
use super::info::{Info, Severity};
use super::{Code, Finding, Remedy, kubectl};
use crate::listener::{ChainKind, RouteSource, VirtualHost};
use crate::resources::ResourceName;
use crate::routes::{Binding, Visibility};
use crate::{FilterChain, Listener, Workload};
use precedence::{Hidden, hidden_rules};

pub(super) const INFO: Info = Info {
    id: "SG206",
    name: "host-routed-twice",
    severity: Severity::Warning,
    what: "Two VirtualServices have the same host on the same Gateway, and a rule of one takes all requests of \
           a rule of the other.",
    why: "istiod appends the rules of all VirtualServices of a host, the oldest VirtualService first. So the \
          rule of the younger one has no effect. The order changes when a VirtualService is deleted and created \
          again.",
    example: "Two teams apply a VirtualService for shop.example.com, and both have a rule for all paths. The \
              older one gets all requests.",
    fix: "Keep one VirtualService for the host, or give the rules different conditions. For rules of several \
          teams, use delegates.",
    coalesced_answer: None,
};

/// A rule without effect, with the place where the model shows it.
struct Found<'i> {
    hidden: Hidden<'i>,
    workload: &'i Workload,
    listener: &'i Listener,
    chain: &'i FilterChain,
    host: String,
}

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    let bindings = bindings_without_delegates(context);
    // One finding for each VirtualService that hides others: its hosts and Gateways have the same cause.
    let mut by_winner: BTreeMap<&ResourceName, Vec<Found<'_>>> = BTreeMap::new();
    for (workload, listener) in context.accepted_tls_listeners() {
        for chain in &listener.chains {
            for virtual_host in virtual_hosts(chain) {
                for hidden in hidden_rules(&sources(virtual_host, &bindings)) {
                    let host = virtual_host.domains.first().map(ToString::to_string);
                    by_winner
                        .entry(&hidden.winner.resource)
                        .or_default()
                        .push(Found {
                            hidden,
                            workload,
                            listener,
                            chain,
                            host: host.unwrap_or_default(),
                        });
                }
            }
        }
    }
    for (winner, found) in by_winner {
        if let Some(finding) = finding(winner, &found) {
            findings.add(finding);
        }
    }
}

fn virtual_hosts(chain: &FilterChain) -> &[VirtualHost] {
    match &chain.kind {
        ChainKind::Https(table) => &table.virtual_hosts,
        ChainKind::Tcp | ChainKind::Passthrough | ChainKind::Plain => &[],
    }
}

/// The VirtualServices that delegate no rule. The model does not keep the conditions that a rule of a delegate
/// gets from its root, so rules of others are not compared.
fn bindings_without_delegates<'i>(
    context: &'i Context<'_>,
) -> HashMap<&'i ResourceName, &'i Binding> {
    let delegating: BTreeSet<(&str, &str)> = context
        .input
        .resources
        .virtual_services
        .iter()
        .filter(|service| service.spec.http.iter().any(|rule| rule.delegate.is_some()))
        .map(|service| {
            (
                service.metadata.namespace.as_str(),
                service.metadata.name.as_str(),
            )
        })
        .collect();
    context
        .bindings
        .iter()
        .filter(|binding| {
            !delegating.contains(&(binding.namespace.as_str(), binding.name.as_str()))
        })
        .filter_map(|binding| Some((&**binding.sources.first()?, binding)))
        .collect()
}

/// The VirtualServices of a virtual host with their rules, in the order in which istiod appends them.
fn sources<'i>(
    virtual_host: &'i VirtualHost,
    bindings: &HashMap<&'i ResourceName, &'i Binding>,
) -> Vec<(&'i RouteSource, &'i Binding)> {
    // The input can contain one VirtualService twice.
    let mut seen: BTreeSet<&Arc<ResourceName>> = BTreeSet::new();
    virtual_host
        .routes
        .iter()
        .filter(|source| seen.insert(&source.resource))
        .filter_map(|source| Some((source, *bindings.get(&*source.resource)?)))
        .collect()
}

fn finding(winner: &ResourceName, found: &[Found<'_>]) -> Option<Finding> {
    // One rule is the example: the others have the same cause.
    let first = found.first()?;
    let loser = &first.hidden.loser.resource;
    let losers: BTreeSet<&ResourceName> = found
        .iter()
        .map(|found| &*found.hidden.loser.resource)
        .collect();
    let others = match losers.len() - 1 {
        0 => String::new(),
        count => format!(", and rules of {count} more VirtualServices"),
    };
    let message = format!(
        "{winner} and {loser} both route {} on {}: http[{}] of {winner} takes all requests of http[{}] of \
         {loser}{others}, because {winner} {}",
        first.host,
        first.chain.server.id.resource,
        first.hidden.winning_rule.route,
        first.hidden.losing_rule.route,
        reason(first.hidden.winning, first.hidden.losing),
    );
    let hint = Remedy::with_command(
        "keep the rules in one VirtualService, or give them different conditions",
        kubectl::edit(loser),
    );
    // The winner comes first: it is the resource whose rules stay.
    let mut finding = Finding {
        authority: Some(first.host.clone()),
        ..Finding::new(Code::HostRoutedTwice, message, hint)
    }
    .at(first.workload, first.listener)
    .about(winner.clone());
    for loser in losers {
        finding = finding.about(loser.clone());
    }
    Some(finding)
}

/// Why istiod appends the rules of a VirtualService before the rules of another (Istio
/// `pilot/pkg/model/push_context.go`, `VirtualServicesForGateway`, and `pilot/pkg/model/config.go`,
/// `sortConfigByCreationTime`).
fn reason(winner: &Binding, loser: &Binding) -> &'static str {
    match (&winner.visibility, &loser.visibility) {
        (Visibility::Namespaces(_), Visibility::Everywhere) => {
            "names namespaces in exportTo, and so precedes a VirtualService for all namespaces"
        }
        (Visibility::Namespaces(_), Visibility::Namespaces(_))
            if winner.namespace != loser.namespace =>
        {
            "precedes it: first the VirtualServices of the gateway's namespace, then the oldest"
        }
        (Visibility::Namespaces(_) | Visibility::Everywhere, _)
            if winner.created != loser.created =>
        {
            "is older"
        }
        (Visibility::Namespaces(_) | Visibility::Everywhere, _) => {
            "precedes it by name: both have the same time of creation"
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::findings::Code;
    use crate::findings::tests::messages_of;

    const GATEWAY: &str = "\
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: gw, namespace: shop},
 spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 443, name: https, protocol: HTTPS},
 hosts: [a.example.com], tls: {mode: SIMPLE, credentialName: w}}]}}
---
";

    fn virtual_service(name: &str, day: u8, http: &str) -> String {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: VirtualService,\n \
             metadata: {{name: {name}, namespace: shop, creationTimestamp: '2026-01-0{day}T00:00:00Z'}},\n \
             spec: {{hosts: [a.example.com], gateways: [gw], http: {http}}}}}\n---\n"
        )
    }

    fn found(old: &str, young: &str) -> Vec<String> {
        let input = GATEWAY.to_owned()
            + &virtual_service("old", 1, old)
            + &virtual_service("young", 2, young);
        messages_of(&input, Code::HostRoutedTwice)
    }

    const ALL: &str = "[{route: []}]";

    #[test]
    fn a_rule_of_the_younger_one_has_no_effect() {
        let message = "VirtualService shop/old and VirtualService shop/young both route a.example.com on Gateway \
                       shop/gw: http[0] of VirtualService shop/old takes all requests of http[0] of \
                       VirtualService shop/young, because VirtualService shop/old is older";
        assert_eq!(found(ALL, ALL), [message]);
        let prefix = "[{match: [{uri: {prefix: /a}}], route: []}]";
        assert_eq!(found(prefix, prefix), [message]);
        assert_eq!(
            found(prefix, "[{match: [{uri: {prefix: /a/b}}], route: []}]"),
            [message]
        );
    }

    #[test]
    fn rules_that_istiod_merges_as_intended() {
        let prefix = |path: &str| format!("[{{match: [{{uri: {{prefix: {path}}}}}], route: []}}]");
        // istiod moves rules for all requests to the end, whichever VirtualService is older.
        assert_eq!(found(ALL, &prefix("/a")), [""; 0]);
        assert_eq!(found(&prefix("/a"), ALL), [""; 0]);
        assert_eq!(found(&prefix("/a"), &prefix("/b")), [""; 0]);
        assert_eq!(found(&prefix("/a/b"), &prefix("/a")), [""; 0]);
        // Rules for different ports.
        assert_eq!(found("[{match: [{port: 80}], route: []}]", ALL), [""; 0]);
        // A root with delegates.
        assert_eq!(
            found("[{match: [{uri: {prefix: /a}}], delegate: {name: d}}]", ALL),
            [""; 0]
        );
    }

    #[test]
    fn one_virtual_service_twice_is_one() {
        let same = virtual_service("same", 1, ALL);
        let input = GATEWAY.to_owned() + &same + &same;
        assert_eq!(messages_of(&input, Code::HostRoutedTwice), [""; 0]);
    }
}
