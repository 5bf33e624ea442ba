//! What is in the way of a merge and can be told before there is a plan.

mod certificate;
mod envoy_filters;
mod plain_text;

use std::collections::BTreeSet;

use serde_json::Value;

use super::group::{Group, Member};
use super::refusal::{GUARD, Obstacle, Reason};
use super::state::State;
use crate::listener::ChainKind;
use crate::resources::Metadata;
use crate::server::Entry;
use crate::{Model, ServerId};
pub(super) use certificate::presenter;

/// How many servers become one at once at most. A plan has two steps for each and is proved after
/// each, which takes a time that grows with the square of them.
const MOST: usize = 300;

/// What is in the way of any merge of servers, for what they are.
pub(super) fn of_servers(servers: &[ServerId]) -> Option<Obstacle> {
    if servers.len() > MOST {
        return Some(Obstacle::new(
            Reason::TooMany,
            format!(
                "{} servers break each other, and a plan is for {MOST} at most",
                servers.len()
            ),
            format!("annotate Gateways with sni-guard/ignore to merge some of them, or {GUARD}"),
        ));
    }
    let is = |kind: fn(&Entry) -> bool| servers.iter().find(|server| kind(&server.entry));
    if let Some(server) = is(|entry| matches!(entry, Entry::Listener(_))) {
        return Some(Obstacle::new(
            Reason::GatewayApi,
            format!("{server} is of the Gateway API, where a listener has one hostname"),
            GUARD,
        ));
    }
    let server = is(|entry| matches!(entry, Entry::IngressTls(_) | Entry::IngressPlain))?;
    Some(generated(server))
}

fn generated(server: &ServerId) -> Obstacle {
    Obstacle::new(
        Reason::Generated,
        format!("{server} is generated, and what writes it would undo the change"),
        GUARD,
    )
}

/// The same for servers of Istio's own Gateways.
pub(super) fn of_group(group: &Group<'_>, state: &State, model: &Model) -> Option<Obstacle> {
    generated_gateway(group, state)
        .or_else(|| different_pods(group, model))
        .or_else(|| different_places(group, state))
        .or_else(|| not_https(group))
        .or_else(|| unknown_age(group, state))
        .or_else(|| tls_settings(group, state))
        .or_else(|| envoy_filters::find(group, state))
        .or_else(|| plain_text::find(group, state))
}

/// Knative's, and those of anything that makes Gateways from Ingresses.
fn generated_gateway(group: &Group<'_>, state: &State) -> Option<Obstacle> {
    let is_generated = |metadata: &Metadata| {
        let is_knative = |label: &String| {
            label
                .split_once('/')
                .is_some_and(|(domain, _)| domain.ends_with("knative.dev"))
        };
        metadata.labels.keys().any(is_knative)
            || metadata
                .owner_references
                .iter()
                .any(|owner| owner.kind == "Ingress")
    };
    let mut members = group.members();
    let found = members.find(|member| {
        state
            .gateway(&member.gateway)
            .is_some_and(|gateway| is_generated(&gateway.metadata))
    })?;
    Some(generated(&found.id))
}

/// Each member must be where every other is, and nowhere else.
fn different_pods(group: &Group<'_>, model: &Model) -> Option<Obstacle> {
    let places = |member: &Member| -> BTreeSet<(String, String)> {
        let workloads = model.workloads.iter().flat_map(|workload| {
            workload
                .listeners
                .iter()
                .map(move |listener| (workload, listener))
        });
        let found = workloads.filter(|(_, listener)| {
            listener
                .chains
                .iter()
                .any(|chain| chain.server.id == member.id)
        });
        found
            .map(|(workload, listener)| (workload.full_name(), listener.name()))
            .collect()
    };
    let target = places(&group.target);
    let other = group
        .absorbed
        .iter()
        .find(|member| places(member) != target)?;
    Some(Obstacle::new(
        Reason::Pods,
        format!(
            "{} and {} are on different pods or ports",
            group.target.id, other.id
        ),
        format!("give their Gateways the same selector first, or {GUARD}"),
    ))
}

fn different_places(group: &Group<'_>, state: &State) -> Option<Obstacle> {
    let target = group.target.server(state)?;
    for member in &group.absorbed {
        let server = member.server(state)?;
        let differ = |what: &str, one: &dyn std::fmt::Display, other: &dyn std::fmt::Display| {
            let (id, target) = (&member.id, &group.target.id);
            format!("{target} is on {what}{one}, and {id} on {what}{other}")
        };
        let hint = format!("give them the same first, or {GUARD}");
        if server.port.number != target.port.number {
            let message = differ("port ", &target.port.number, &server.port.number);
            return Some(Obstacle::new(Reason::Port, message, hint));
        }
        if server.bind != target.bind {
            let named = |bind: &str| match bind {
                "" => "any address".to_owned(),
                bind => format!("address {bind}"),
            };
            let message = differ("", &named(&target.bind), &named(&server.bind));
            return Some(Obstacle::new(Reason::Bind, message, hint));
        }
    }
    None
}

fn not_https(group: &Group<'_>) -> Option<Obstacle> {
    let mut chains = group.listener.chains.iter();
    let found = chains.find(|chain| {
        let is_member = group.members().any(|member| member.id == chain.server.id);
        is_member && !matches!(chain.kind, ChainKind::Https(_))
    })?;
    Some(Obstacle::new(
        Reason::NotHttps,
        format!("{} does not terminate HTTPS", found.server.id),
        GUARD,
    ))
}

/// To grow the wrong one takes all of its hosts down, so a guess will not do.
fn unknown_age(group: &Group<'_>, state: &State) -> Option<Obstacle> {
    let gateways = group.gateways();
    if gateways.len() < 2 {
        return None;
    }
    let unknown = gateways.into_iter().find(|name| {
        let gateway = state.gateway(name);
        gateway.is_none_or(|gateway| gateway.metadata.creation_timestamp.is_none())
    })?;
    Some(Obstacle::new(
        Reason::Age,
        format!("{unknown} has no creationTimestamp, and only the oldest Gateway can grow"),
        "give the resources as the cluster has them: kubectl get \
         gateways.networking.istio.io,virtualservices -A -o yaml",
    ))
}

/// What says where the certificate is; all other settings must be the same.
const CREDENTIALS: [&str; 5] = [
    "credentialName",
    "credentialNames",
    "privateKey",
    "serverCertificate",
    "tlsCertificates",
];

fn tls_settings(group: &Group<'_>, state: &State) -> Option<Obstacle> {
    let settings = |member: &Member| {
        let mut tls = member.field(state, "tls").cloned();
        if let Some(fields) = tls.as_mut().and_then(Value::as_object_mut) {
            fields.retain(|name, _| !CREDENTIALS.contains(&name.as_str()));
        }
        tls
    };
    let target = settings(&group.target);
    let other = group
        .absorbed
        .iter()
        .find(|member| settings(member) != target)?;
    Some(Obstacle::new(
        Reason::TlsSettings,
        format!(
            "the TLS settings of {} and {} differ",
            group.target.id, other.id
        ),
        format!("decide which of them all hosts are to have, or {GUARD}"),
    ))
}
