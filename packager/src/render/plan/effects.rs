//! What a plan changes for users, in words.

use gateway::Credential;
use gateway::merge::{
    CertificateChange, Effects, LostAnnotations, LostRestriction, Plan, Risk, StepKind,
};
use serde_json::{Value, json};

use crate::render::count::count;

/// How many hosts a line names.
const MAX_HOSTS: usize = 5;

/// One line for each change for users.
pub(super) fn lines(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(plan.effects.certificates.iter().map(certificate));
    lines.extend(plan.effects.restrictions.iter().map(restriction));
    lines.extend(requests(plan));
    lines
}

/// What the deleted Gateways have besides servers, for each of them.
pub(super) fn warnings(plan: &Plan) -> Vec<String> {
    plan.effects
        .annotations
        .iter()
        .map(|lost| {
            format!(
                "{} is deleted, and with it {}: {}; add what programs such as external-dns need to {} first",
                lost.gateway,
                count(lost.keys.len(), "annotation"),
                lost.keys.join(", "),
                plan.target.resource
            )
        })
        .collect()
}

/// All effects for programs.
pub(super) fn object(plan: &Plan) -> Value {
    let Effects {
        certificates,
        restrictions,
        annotations,
        risky_steps,
    } = &plan.effects;
    let risk = match risky_steps.kind {
        Risk::Drain => "drain",
        Risk::Gap => "gap",
    };
    json!({
        "certificates": certificates.iter().map(certificate_object).collect::<Vec<_>>(),
        "restrictions": restrictions.iter().map(restriction_object).collect::<Vec<_>>(),
        "annotations": annotations.iter().map(annotations_object).collect::<Vec<_>>(),
        "requests": { "risk": risk, "steps": risky_steps.count },
    })
}

fn certificate_object(change: &CertificateChange) -> Value {
    json!({ "hosts": change.hosts, "from": names(&change.from), "to": names(&change.to) })
}

fn restriction_object(lost: &LostRestriction) -> Value {
    json!({ "host": lost.host, "wider": lost.wider, "server": lost.server.to_string() })
}

fn annotations_object(lost: &LostAnnotations) -> Value {
    json!({ "gateway": lost.gateway.to_string(), "keys": lost.keys })
}

fn certificate(change: &CertificateChange) -> String {
    let verb = if change.hosts.len() == 1 {
        "shows"
    } else {
        "show"
    };
    format!(
        "{} {verb} the certificate of {} instead of {}",
        hosts(&change.hosts),
        names(&change.to).join(" and "),
        names(&change.from).join(" and ")
    )
}

fn restriction(lost: &LostRestriction) -> String {
    let LostRestriction {
        host,
        wider,
        server,
    } = lost;
    format!(
        "{host} can also get routes of other namespaces, because the host {wider} of {server} is in the \
         same server then"
    )
}

/// The requests that can fail. The line with the kind of plan has the risk of a short plan.
fn requests(plan: &Plan) -> Option<String> {
    let risk = plan.effects.risky_steps;
    match risk.kind {
        Risk::Drain if risk.count > 0 => Some(format!(
            "at {} ({}), requests on idle connections fail unless the next step waits for the drain",
            count(risk.count, "step"),
            StepKind::ShiftConnections.name()
        )),
        Risk::Drain | Risk::Gap => None,
    }
}

/// The first hosts, and the number of the others.
fn hosts(hosts: &[String]) -> String {
    let named: Vec<&str> = hosts.iter().take(MAX_HOSTS).map(String::as_str).collect();
    let named = named.join(", ");
    match hosts.len().saturating_sub(MAX_HOSTS) {
        0 => named,
        more => format!("{named} and {more} more hosts"),
    }
}

fn names(credentials: &[Credential]) -> Vec<String> {
    credentials.iter().map(ToString::to_string).collect()
}
