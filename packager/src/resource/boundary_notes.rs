//! What somebody who reads or writes an [`AuthorizationPolicy`](super::AuthorizationPolicy) should know
//! and cannot see in it.

use std::collections::{BTreeMap, BTreeSet};

use gateway::ServerId;
use gateway::protected::{Boundary, OpenHost, OtherListeners};
use rule::HostPattern;

use super::{Attachment, Metadata, Ports};

/// Comments for the resource, besides its [`warnings`].
#[must_use]
pub(crate) fn comments(ports: Ports) -> Vec<String> {
    let mut comments = vec![
        "spec.rules: requests for hosts with mutual TLS, on connections whose server name leads to \
         another server, are answered 403. Write it again when Gateways or routes change."
            .to_owned(),
    ];
    if ports == Ports::Listed {
        comments.push(
            "spec.rules[].to[].operation.ports: the ports that Envoy listens on where such requests \
             are served. On a port in plain text a redirect to https would be answered 403, since its \
             connections have no server name; routes of these hosts that are bound there are not \
             covered."
                .to_owned(),
        );
    }
    comments
}

/// What the rules leave open, and what they may break.
#[must_use]
pub(crate) fn warnings(
    boundary: &Boundary,
    metadata: &Metadata,
    attachment: &Attachment,
    ports: Ports,
) -> Vec<String> {
    let mut warnings: Vec<String> = [
        everything(boundary, metadata, attachment),
        workloads(boundary),
        plain_text(boundary, ports),
        wildcards(boundary),
    ]
    .into_iter()
    .flatten()
    .collect();
    warnings.extend(shared(boundary));
    warnings.extend(boundary.open.iter().map(open));
    warnings
}

/// istiod ignores hosts where a proxy forwards TCP, and sidecars see no server names of clients.
fn everything(boundary: &Boundary, metadata: &Metadata, attachment: &Attachment) -> Option<String> {
    let namespace = &metadata.namespace;
    let is_warned = *attachment == Attachment::Everything && !boundary.denials.is_empty();
    is_warned.then(|| {
        format!(
            "spec: every proxy of the namespace {namespace} is reached, sidecars too, and of the \
             whole mesh where that is its root namespace: on the ports of the rules, sidecars refuse \
             requests for these hosts and all TCP connections; select the gateway's pods."
        )
    })
}

fn workloads(boundary: &Boundary) -> Option<String> {
    boundary.workloads_differ.then(|| {
        "spec.rules: the workloads that are reached need different rules, and each gets all of them; \
         write a resource for each, with labels that only its pods have."
            .to_owned()
    })
}

fn plain_text(boundary: &Boundary, ports: Ports) -> Option<String> {
    let is_warned = boundary.other_listeners == OtherListeners::PlainHttp && ports == Ports::All;
    is_warned.then(|| {
        "spec.rules: the ports that Envoy listens on depend on a Service that is not in the input, so \
         the rules are for all of them: requests in plain text for these hosts are answered 403, \
         redirects to https too."
            .to_owned()
    })
}

fn wildcards(boundary: &Boundary) -> Option<String> {
    let wildcards: BTreeSet<String> = boundary
        .denials
        .iter()
        .flat_map(|denial| &denial.hosts)
        .filter(|host| !matches!(host, HostPattern::Exact(_)))
        .map(ToString::to_string)
        .collect();
    let list = wildcards.into_iter().collect::<Vec<_>>().join(", ");
    (!list.is_empty()).then(|| {
        format!(
            "spec.rules: for the wildcards {list} an authority with a port is not covered, such as \
             x.example.com:443, since a pattern has one wildcard; only routes that are bound to the \
             Gateway with mutual TLS alone close that."
        )
    })
}

/// One warning for each server, with all of its hosts.
fn shared(boundary: &Boundary) -> Vec<String> {
    let mut hosts: BTreeMap<&ServerId, Vec<String>> = BTreeMap::new();
    for shared in &boundary.shared {
        hosts
            .entry(&shared.server)
            .or_default()
            .push(shared.host.to_string());
    }
    hosts
        .into_iter()
        .map(|(server, hosts)| {
            format!(
                "spec.rules: {server} has the routes of {} for a wider wildcard: clients without a \
                 certificate reach them by other names; bind the routes to the Gateway with mutual \
                 TLS alone.",
                hosts.join(", ")
            )
        })
        .collect()
}

fn open(OpenHost { host, port, server }: &OpenHost) -> String {
    format!(
        "spec.rules: on port {port} {server} serves {host} without a client certificate, on \
         connections for {host} itself; the rules leave that as it is."
    )
}
