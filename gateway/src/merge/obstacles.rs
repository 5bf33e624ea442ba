//! What prevents a merge. Every obstacle is made here or in a submodule:
//!
//! - [`present_defects`] finds servers that already do not work.
//! - [`between_servers`] and [`within_group`] find differences that no plan can remove.
//! - [`certificate_presenter`] finds that no certificate covers all hosts.
//! - [`changed_answer`] and [`contradictory_input`] explain why the proof rejects a plan.

mod certificate;
mod defects;
mod envoy_filters;
mod plain_text;
mod proof;

use std::collections::BTreeSet;

use serde_json::Value;

use super::group::{Group, Member};
use super::listener_id::ListenerId;
use super::refusal::{FILTER_HINT, Obstacle, Reason};
use super::state::State;
use crate::listener::ChainKind;
use crate::resources::Metadata;
use crate::server::Entry;
use crate::{Model, ServerId};
pub(super) use certificate::certificate_presenter;
pub(super) use defects::present_defects;
pub(super) use proof::{changed_answer, contradictory_input};

/// The largest number of servers in one plan. The time still grows faster than the number, and a seamless
/// plan for more servers takes most of a day to carry out. `make bench-merge` measures this number.
const MAX_SERVERS: usize = 1_000;

/// What prevents any merge of such servers, whatever their resources contain.
pub(super) fn between_servers(servers: &[ServerId]) -> Option<Obstacle> {
    // The size comes first: the other checks and the proof would take too long.
    if servers.len() > MAX_SERVERS {
        return Some(Obstacle::with_filter_hint(
            Reason::TooMany,
            format!(
                "{} servers break each other, but a plan can merge at most {MAX_SERVERS}",
                servers.len()
            ),
            "annotate Gateways with sni-guard/ignore to merge only some of them",
        ));
    }
    // istiod generates Gateways from these kinds of resources, and a plan can change only real ones.
    servers.iter().find_map(|server| match server.entry {
        Entry::Server { .. } => None,
        Entry::Listener(_) => Some(Obstacle::new(
            Reason::GatewayApi,
            format!("{server} is a Gateway API listener, which can have only one hostname"),
            FILTER_HINT,
        )),
        Entry::IngressTls(_) | Entry::IngressPlain => Some(managed(server)),
    })
}

fn managed(server: &ServerId) -> Obstacle {
    Obstacle::new(
        Reason::Generated,
        format!("{server} is managed by a controller, which would revert the change"),
        FILTER_HINT,
    )
}

/// What prevents a merge of servers of Istio Gateways.
pub(super) fn within_group(group: &Group<'_>, state: &State, model: &Model) -> Option<Obstacle> {
    managed_gateway(group, state)
        .or_else(|| different_listeners(group, model))
        .or_else(|| different_port_or_address(group, state))
        .or_else(|| not_https(group))
        .or_else(|| unknown_age(group, state))
        .or_else(|| different_tls_settings(group, state))
        .or_else(|| envoy_filters::find(group, state))
        .or_else(|| plain_text::find(group, state))
}

fn managed_gateway(group: &Group<'_>, state: &State) -> Option<Obstacle> {
    group
        .members()
        .find(|member| {
            state
                .gateway(&member.gateway)
                .is_some_and(|gateway| is_managed(&gateway.metadata))
        })
        .map(|member| managed(&member.id))
}

/// Whether a controller made a Gateway: Knative sets labels of its domain, and controllers that
/// translate Ingresses set an owner reference.
fn is_managed(metadata: &Metadata) -> bool {
    metadata
        .labels
        .keys()
        .filter_map(|label| label.split_once('/'))
        .any(|(domain, _)| domain.ends_with("knative.dev"))
        || metadata
            .owner_references
            .iter()
            .any(|owner| owner.kind == "Ingress")
}

/// A selector may match several workloads. A host that moves to a server on other pods would be lost
/// there, so all members must be on exactly the same listeners.
fn different_listeners(group: &Group<'_>, model: &Model) -> Option<Obstacle> {
    let target = listeners_of(&group.target, model);
    let other = group
        .absorbed
        .iter()
        .find(|member| listeners_of(member, model) != target)?;
    Some(Obstacle::with_filter_hint(
        Reason::Pods,
        format!(
            "{} and {} are on different pods or ports",
            group.target.id, other.id
        ),
        "give their Gateways the same selector first",
    ))
}

fn listeners_of(member: &Member, model: &Model) -> BTreeSet<ListenerId> {
    let mut listeners = BTreeSet::new();
    for workload in &model.workloads {
        for listener in &workload.listeners {
            if listener
                .chains
                .iter()
                .any(|chain| chain.server.id == member.id)
            {
                listeners.insert(ListenerId::new(workload, listener));
            }
        }
    }
    listeners
}

/// A Service can map two ports of Gateways to one port of Envoy. The servers still differ, because
/// `match.port` of a VirtualService refers to the port of the Gateway.
fn different_port_or_address(group: &Group<'_>, state: &State) -> Option<Obstacle> {
    let target_id = &group.target.id;
    let target = group.target.server(state)?;
    for member in &group.absorbed {
        let id = &member.id;
        let server = member.server(state)?;
        let (port, target_port) = (server.port.number, target.port.number);
        if port != target_port {
            return Some(Obstacle::with_filter_hint(
                Reason::Port,
                format!("{target_id} has port {target_port}, but {id} has port {port}"),
                "give both the same port first",
            ));
        }
        // istiod has one listener for both spellings of any address, but two names of route tables.
        if server.bind != target.bind {
            let target_address = address(&target.bind);
            let address = address(&server.bind);
            return Some(Obstacle::with_filter_hint(
                Reason::Bind,
                format!("{target_id} listens on {target_address}, but {id} listens on {address}"),
                "give both the same address first",
            ));
        }
    }
    None
}

fn address(bind: &str) -> String {
    match bind {
        "" => "any address".to_owned(),
        bind => format!("address {bind}"),
    }
}

fn not_https(group: &Group<'_>) -> Option<Obstacle> {
    let chain = group
        .listener
        .chains
        .iter()
        .filter(|chain| group.has(&chain.server.id))
        .find(|chain| !matches!(chain.kind, ChainKind::Https(_)))?;
    Some(Obstacle::new(
        Reason::NotHttps,
        format!("{} does not terminate HTTPS", chain.server.id),
        FILTER_HINT,
    ))
}

/// istiod drops a server that takes a host of an older one, so a wrong guess at the oldest Gateway
/// would take all hosts of the target down.
fn unknown_age(group: &Group<'_>, state: &State) -> Option<Obstacle> {
    // Within one Gateway the order of the servers decides.
    let gateways = group.gateways();
    if gateways.len() < 2 {
        return None;
    }
    let unknown = gateways.into_iter().find(|name| {
        state
            .gateway(name)
            .is_none_or(|gateway| gateway.metadata.creation_timestamp.is_none())
    })?;
    Some(Obstacle::new(
        Reason::Age,
        format!("{unknown} has no creationTimestamp, but only the oldest Gateway can take hosts"),
        "use the resources as the cluster returns them: kubectl get \
         gateways.networking.istio.io,virtualservices -A -o yaml",
    ))
}

/// The fields of `tls` that select a certificate. `certificate_presenter` compares the certificates.
const CREDENTIAL_FIELDS: [&str; 5] = [
    "credentialName",
    "credentialNames",
    "privateKey",
    "serverCertificate",
    "tlsCertificates",
];

/// One server has one set of TLS settings, so all hosts would get the target's settings.
fn different_tls_settings(group: &Group<'_>, state: &State) -> Option<Obstacle> {
    let target = tls_settings(&group.target, state);
    let other = group
        .absorbed
        .iter()
        .find(|member| tls_settings(member, state) != target)?;
    Some(Obstacle::with_filter_hint(
        Reason::TlsSettings,
        format!(
            "the TLS settings of {} and {} differ",
            group.target.id, other.id
        ),
        "give both the settings that all hosts should have first",
    ))
}

/// The TLS settings of a server without its certificates.
fn tls_settings(member: &Member, state: &State) -> Option<Value> {
    let mut tls = member.field(state, "tls").cloned()?;
    if let Some(fields) = tls.as_object_mut() {
        fields.retain(|name, _| !CREDENTIAL_FIELDS.contains(&name.as_str()));
    }
    Some(tls)
}
