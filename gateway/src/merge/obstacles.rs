//! What prevents a merge. Every obstacle is made here or in a submodule:
//!
//! - [`present_defects`] finds servers that already do not work.
//! - [`between_servers`] and [`within_group`] find differences that no plan can remove.
//! - [`certificate_presenter`] finds that no certificate covers all hosts.
//! - [`changed_answers`] and [`contradictory_input`] explain why the proof rejects a plan.
//!
//! An obstacle names the servers without which it does not exist, so that the others can be merged.

mod certificate;
mod defects;
mod envoy_filters;
mod generated;
mod plain_text;
mod proof;

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use super::group::{Group, Member, Split};
use super::listener_id::ListenerId;
use super::refusal::{Obstacle, Reason};
use super::state::State;
use crate::findings::Remedy;
use crate::listener::ChainKind;
use crate::resources::{Metadata, ResourceName};
use crate::{Listener, Model, ServerId};
pub(super) use certificate::certificate_presenter;
pub(super) use defects::present_defects;
pub(super) use proof::{changed_answers, contradictory_input};

/// The largest number of servers in one plan. The time still grows faster than the number, and a seamless
/// plan for more servers takes most of a day to carry out. `make bench-merge` measures this number.
const MAX_SERVERS: usize = 1_000;

/// What prevents any merge of such servers, whatever their resources contain.
pub(super) fn between_servers(listener: &Listener, servers: &[ServerId]) -> Option<Obstacle> {
    // The size comes first: the other checks and the proof would take too long.
    if servers.len() > MAX_SERVERS {
        return Some(
            Obstacle::new(
                Reason::TooMany,
                format!(
                    "{} servers break each other, but a plan can merge at most {MAX_SERVERS}",
                    servers.len()
                ),
            )
            .or(Remedy::new(
                "merge some of them, which --only and --exclude select",
            )),
        );
    }
    generated::find(listener, servers)
}

fn managed(server: &ServerId) -> Obstacle {
    Obstacle::new(
        Reason::Generated,
        format!("{server} is managed by a controller, which would revert the change"),
    )
}

/// What prevents a merge of servers of Istio Gateways.
pub(super) fn within_group(group: &Group<'_>, state: &State, model: &Model) -> Option<Obstacle> {
    managed_gateway(group, state)
        .or_else(|| deleted_gateway(group, state))
        .or_else(|| different_listeners(group, model))
        .or_else(|| different_ports(group, state))
        .or_else(|| different_addresses(group, state))
        .or_else(|| not_https(group))
        .or_else(|| unknown_age(group, state))
        .or_else(|| different_tls_settings(group, state))
        .or_else(|| envoy_filters::find(group, state))
        .or_else(|| plain_text::find(group, state))
}

fn managed_gateway(group: &Group<'_>, state: &State) -> Option<Obstacle> {
    let managed_members = members_of(group, state, is_managed);
    let obstacle = managed(&managed_members.first()?.id);
    Some(obstacle.blocking(ids(&managed_members)))
}

/// The members whose Gateways have such metadata, the oldest first.
fn members_of<'g>(
    group: &'g Group<'_>,
    state: &State,
    condition: fn(&Metadata) -> bool,
) -> Vec<&'g Member> {
    group.members_with(|member| {
        state
            .gateway(&member.gateway)
            .is_some_and(|gateway| condition(&gateway.metadata))
    })
}

/// A Gateway with finalizers stays for a while after its deletion, and istiod uses it until it is gone. Hosts
/// that move to it would be lost then.
fn deleted_gateway(group: &Group<'_>, state: &State) -> Option<Obstacle> {
    let deleted = members_of(group, state, |metadata| {
        metadata.deletion_timestamp.is_some()
    });
    let gateway = &deleted.first()?.gateway;
    let message = format!("{gateway} is being deleted");
    Some(
        Obstacle::new(Reason::Deletion, message)
            .or(Remedy::new("wait until it is gone, and plan again"))
            .blocking(ids(&deleted)),
    )
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

fn ids<'g>(members: &'g [&Member]) -> impl Iterator<Item = &'g ServerId> {
    members.iter().map(|member| &member.id)
}

/// A selector may match several workloads. A host that moves to a server on other pods would be lost
/// there, so all members must be on exactly the same listeners.
fn different_listeners(group: &Group<'_>, model: &Model) -> Option<Obstacle> {
    let listeners = listeners_by_server(group, model);
    let split = group.split_by(|member| listeners.get(&member.id).cloned())?;
    let other = split.others.first()?;
    Some(
        Obstacle::new(
            Reason::Pods,
            format!(
                "{} and {} are on different pods or ports",
                split.kept.id, other.id
            ),
        )
        .or(Remedy::new("give their Gateways the same selector first"))
        .blocking(ids(&split.others)),
    )
}

fn listeners_by_server<'m>(
    group: &Group<'_>,
    model: &'m Model,
) -> HashMap<&'m ServerId, BTreeSet<ListenerId>> {
    let gateways = group.gateways();
    let mut listeners: HashMap<&ServerId, BTreeSet<ListenerId>> = HashMap::new();
    for workload in &model.workloads {
        for listener in &workload.listeners {
            for chain in &listener.chains {
                if gateways.contains(&chain.server.id.resource) {
                    listeners
                        .entry(&chain.server.id)
                        .or_default()
                        .insert(ListenerId::new(workload, listener));
                }
            }
        }
    }
    listeners
}

/// A Service can map two ports of Gateways to one port of Envoy. The servers still differ, because
/// `match.port` of a VirtualService refers to the port of the Gateway.
fn different_ports(group: &Group<'_>, state: &State) -> Option<Obstacle> {
    let split = group.split_by(|member| member.server(state).map(|server| server.port.number))?;
    let other = split.others.first()?;
    let (kept_port, other_port) = (
        split.kept.server(state)?.port.number,
        other.server(state)?.port.number,
    );
    Some(
        Obstacle::new(
            Reason::Port,
            format!(
                "{} has port {kept_port}, but {} has port {other_port}",
                split.kept.id, other.id
            ),
        )
        .or(Remedy::new("give both the same port first"))
        .blocking(ids(&split.others)),
    )
}

/// istiod has one listener for both spellings of any address, but two names of route tables.
fn different_addresses(group: &Group<'_>, state: &State) -> Option<Obstacle> {
    let split = group.split_by(|member| member.server(state).map(|server| &server.bind))?;
    let other = split.others.first()?;
    let (kept_address, other_address) = (
        address(&split.kept.server(state)?.bind),
        address(&other.server(state)?.bind),
    );
    Some(
        Obstacle::new(
            Reason::Bind,
            format!(
                "{} listens on {kept_address}, but {} listens on {other_address}",
                split.kept.id, other.id
            ),
        )
        .or(Remedy::new("give both the same address first"))
        .blocking(ids(&split.others)),
    )
}

fn address(bind: &str) -> String {
    match bind {
        "" => "any address".to_owned(),
        bind => format!("address {bind}"),
    }
}

fn not_https(group: &Group<'_>) -> Option<Obstacle> {
    let others: BTreeSet<&ServerId> = group
        .listener
        .chains
        .iter()
        .filter(|chain| !matches!(chain.kind, ChainKind::Https(_)))
        .map(|chain| &chain.server.id)
        .filter(|server| group.has(server))
        .collect();
    let first = others.first()?;
    let message = format!("{first} does not terminate HTTPS");
    Some(Obstacle::new(Reason::NotHttps, message).blocking(others))
}

/// istiod drops a server that takes a host of an older one, so a wrong guess at the oldest Gateway
/// would take all hosts of the target down.
fn unknown_age(group: &Group<'_>, state: &State) -> Option<Obstacle> {
    // Within one Gateway the order of the servers decides.
    if group.gateways().len() < 2 {
        return None;
    }
    let has_unknown_age = |gateway: &ResourceName| {
        state
            .gateway(gateway)
            .is_none_or(|gateway| gateway.metadata.creation_timestamp.is_none())
    };
    let unknown = group
        .gateways()
        .into_iter()
        .find(|name| has_unknown_age(name))?;
    // Gateways of known ages can be merged with each other, and so can the servers of one Gateway.
    let split = group
        .split_by(|member| has_unknown_age(&member.gateway).then(|| member.gateway.clone()))?;
    Some(
        Obstacle::new(
            Reason::Age,
            format!(
                "{unknown} has no creationTimestamp, but only the oldest Gateway can take hosts"
            ),
        )
        .or(Remedy::new(
            "use the resources as the cluster returns them: kubectl get \
             gateways.networking.istio.io,virtualservices -A -o yaml",
        ))
        .blocking(ids(&split.others)),
    )
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
    // The text is only compared. The keys of JSON objects are sorted in it.
    let settings = |member: &Member| tls_settings(member, state).map(|tls| tls.to_string());
    if let Some(split) = group.split_by(settings) {
        let other = split.others.first()?;
        let message = format!(
            "the TLS settings of {} and {} differ",
            split.kept.id, other.id
        );
        return Some(tls_obstacle(message, &split));
    }
    let split = group.split_by(|member| authorities_of_clients(member, state))?;
    let other = split.others.first()?;
    let message = format!(
        "{} and {} verify client certificates with different Secrets",
        split.kept.id, other.id
    );
    Some(tls_obstacle(message, &split))
}

fn tls_obstacle(message: String, split: &Split<'_>) -> Obstacle {
    Obstacle::new(Reason::TlsSettings, message)
        .or(Remedy::new(
            "give both the settings that all hosts should have first",
        ))
        .blocking(ids(&split.others))
}

/// The TLS settings of a server without its certificates.
fn tls_settings(member: &Member, state: &State) -> Option<Value> {
    let mut tls = member.field(state, "tls").cloned()?;
    if let Some(fields) = tls.as_object_mut() {
        fields.retain(|name, _| !CREDENTIAL_FIELDS.contains(&name.as_str()));
    }
    Some(tls)
}

/// The Secrets with the authorities that client certificates are verified with; `None` if no Secret of the
/// server's own certificate decides that. With mutual TLS, istiod takes them from the Secret of the
/// certificate, or from the Secret with `-cacert` after this name.
fn authorities_of_clients(member: &Member, state: &State) -> Option<String> {
    let mode = member.server(state)?.tls.as_ref()?.mode;
    let tls = member.field(state, "tls")?;
    // `tls_settings` compares this field.
    let is_separate = tls
        .get("caCertCredentialName")
        .and_then(Value::as_str)
        .is_some_and(|name| !name.is_empty());
    if !mode.asks_for_client_certificate() || is_separate {
        return None;
    }
    let names = ["credentialName", "credentialNames"].map(|field| tls.get(field));
    Some(json!(names).to_string())
}
