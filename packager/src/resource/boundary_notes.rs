//! Comments and warnings for an [`AuthorizationPolicy`](super::AuthorizationPolicy).

use std::collections::{BTreeMap, BTreeSet};

use gateway::ServerId;
use gateway::protected::{Boundary, OpenHost, OtherListeners};
use rule::HostPattern;

use super::{Attachment, Metadata, Ports};

/// Comments for the resource. They do not include its [`warnings`].
#[must_use]
pub(crate) fn comments(ports: Ports) -> Vec<String> {
    let mut comments = vec![
        "spec.rules: requests for hosts with mutual TLS get 403 on connections whose SNI selects another \
         server. Write the resource again when Gateways or routes change."
            .to_owned(),
    ];
    // Without ports the resource covers every listener, and the comment would be wrong.
    if ports == Ports::Listed {
        comments.push(
            "spec.rules[].to[].operation.ports: the ports that Envoy listens on for these servers. Ports \
             without TLS are not among them: their connections have no SNI, so redirects to https would \
             get 403. Routes of these hosts on such ports are not covered."
                .to_owned(),
        );
    }
    comments
}

/// Requests that the rules do not deny, and requests that they may deny by mistake.
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

/// istiod ignores the hosts of a rule where a proxy forwards TCP, and sidecars do not see the SNI of clients.
fn everything(boundary: &Boundary, metadata: &Metadata, attachment: &Attachment) -> Option<String> {
    let namespace = &metadata.namespace;
    if *attachment != Attachment::Everything || boundary.denials.is_empty() {
        return None;
    }
    Some(format!(
        "spec: the resource applies to every proxy of the namespace {namespace}, including sidecars, and to \
         the whole mesh if this is its root namespace. On the ports of the rules, sidecars refuse requests \
         for these hosts and all TCP connections; select the gateway's pods."
    ))
}

fn workloads(boundary: &Boundary) -> Option<String> {
    boundary.workloads_differ.then(|| {
        "spec.rules: the workloads need different rules, and each workload gets all of them; write one \
         resource for each workload, with labels that only its pods have."
            .to_owned()
    })
}

fn plain_text(boundary: &Boundary, ports: Ports) -> Option<String> {
    if boundary.other_listeners != OtherListeners::PlainHttp || ports != Ports::All {
        return None;
    }
    Some(
        "spec.rules: a Service that is not in the input decides which ports Envoy listens on, so the rules \
         apply to all ports: requests without TLS for these hosts get 403, including redirects to https."
            .to_owned(),
    )
}

fn wildcards(boundary: &Boundary) -> Option<String> {
    // A host may be in several rules, and is named once.
    let wildcards: BTreeSet<String> = boundary
        .denials
        .iter()
        .flat_map(|denial| &denial.hosts)
        .filter(|host| !matches!(host, HostPattern::Exact(_)))
        .map(ToString::to_string)
        .collect();
    if wildcards.is_empty() {
        return None;
    }
    let list = wildcards.into_iter().collect::<Vec<_>>().join(", ");
    Some(format!(
        "spec.rules: for the wildcards {list} the rules do not cover an authority with a port, such as \
         x.example.com:443, because a pattern has only one wildcard; bind the routes only to the Gateway with \
         mutual TLS to close this gap."
    ))
}

/// One warning for each server, with all of its hosts.
fn shared(boundary: &Boundary) -> Vec<String> {
    // A server with many hosts gets one line, not one for each host.
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
                 certificate reach them by other names; bind the routes only to the Gateway with mutual \
                 TLS.",
                hosts.join(", ")
            )
        })
        .collect()
}

fn open(OpenHost { host, port, server }: &OpenHost) -> String {
    format!(
        "spec.rules: on port {port} {server} serves {host} without a client certificate, on \
         connections for {host} itself; the rules do not change that."
    )
}
