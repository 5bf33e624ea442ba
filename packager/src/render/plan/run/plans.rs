//! The data about each plan: the pods that must have its steps, and the hosts to probe.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Result;
use gateway::merge::{ListenerId, Plan, State};
use gateway::{Model, Workload};
use serde_json::Value;

use super::super::super::hidden::printable;
use super::super::kubectl::single_quoted;

/// For each plan the pods that must have its steps, the address to probe, and the hosts.
pub(super) fn write(plans: &[Plan], start: &State, data: &mut String) -> Result<()> {
    let model = start.model();
    // Plans for one listener are probed at one address.
    let mut listeners: Vec<&ListenerId> = Vec::new();
    for plan in plans {
        if !listeners.contains(&&plan.listener) {
            listeners.push(&plan.listener);
        }
    }
    let variables: Vec<String> = (1..=listeners.len()).map(address_variable).collect();
    writeln!(data, "address_variables='{}'", variables.join(" "))?;
    for (index, plan) in plans.iter().enumerate() {
        let number = index + 1;
        let listener = listeners
            .iter()
            .position(|listener| **listener == plan.listener)
            .unwrap_or_default();
        writeln!(
            data,
            "# {} on {}, listener {}",
            printable(&plan.target.to_string()),
            printable(&plan.listener.workload_name()),
            printable(&plan.listener.listener_name()),
        )?;
        writeln!(
            data,
            "plan_{number}() {{\n    address_variable={}\n}}",
            address_variable(listener + 1),
        )?;
        writeln!(
            data,
            "pods_{number}() {{\n    {}\n}}",
            pod_lists(plan, start, &model)
        )?;
        writeln!(
            data,
            "probe_{number}() {{\n    \"$@\" {}\n}}",
            probe_words(plan)
        )?;
    }
    Ok(())
}

/// The variable with the address of a listener, by its number from 1.
fn address_variable(number: usize) -> String {
    if number == 1 {
        "GATEWAY".to_owned()
    } else {
        format!("GATEWAY_{number}")
    }
}

/// The arguments of a probe of all hosts on a connection for the first one.
fn probe_words(plan: &Plan) -> String {
    let mut words = Vec::new();
    if let Some(host) = plan.hosts.first() {
        words.extend(["--sni".to_owned(), single_quoted(host)]);
    }
    // The host of the connection is probed too: its answer must not change either.
    for host in &plan.hosts {
        words.extend(["--authority".to_owned(), single_quoted(host)]);
    }
    words.join(" ")
}

/// A command for each workload that runs the target's Gateway, which gets the namespace and the labels of its
/// pods. A selector may match workloads of several namespaces.
fn pod_lists(plan: &Plan, start: &State, model: &Model) -> String {
    let lists: BTreeSet<String> = model
        .workloads
        .iter()
        .filter(|workload| {
            workload
                .listeners
                .iter()
                .flat_map(|listener| &listener.chains)
                .any(|chain| chain.server.id.resource == plan.target.resource)
        })
        .map(|workload| {
            format!(
                "\"$@\" {} {}",
                single_quoted(&workload.namespace),
                single_quoted(&labels(plan, start, workload))
            )
        })
        .collect();
    lists.into_iter().collect::<Vec<_>>().join(" &&\n        ")
}

/// The labels of the pods of a workload that run the target's Gateway.
fn labels(plan: &Plan, start: &State, workload: &Workload) -> String {
    let selector = start
        .manifest(&plan.target.resource)
        .and_then(|manifest| manifest.pointer("/spec/selector"))
        .and_then(Value::as_object);
    let mut labels = Vec::new();
    for (key, value) in selector.into_iter().flatten() {
        labels.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    // A Gateway without a selector applies to all gateways, and not to other pods of the namespace.
    if labels.is_empty() {
        for (key, value) in &workload.labels {
            labels.push(format!("{key}={value}"));
        }
    }
    labels.join(",")
}
