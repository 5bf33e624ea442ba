//! The model of gateways: what it makes of each file in `gateways/`. The lines `# EXPECT:` of a file
//! list everything about the TLS listeners of the model, in any order:
//!
//! - `listener WORKLOAD NAME`, with `?` after a port that is not certain; the lines of requests after it
//!   are about this listener;
//! - `chain NAME = SERVER NAMES`, with the TLS mode where it is not `SIMPLE`;
//! - `rejected SERVER NAMES`: Envoy rejects the listener for these duplicates;
//! - `SNI AUTHORITY OUTCOME CHAIN VIRTUAL-HOST`, with `-` for none: a request;
//! - `dropped SERVER: REASON`, `unprogrammed SERVER: REASON`, `ignored RESOURCE: REASON`;
//! - `unselected RESOURCE`: none of the pods of the input run it.

use anyhow::{Context, Result, bail, ensure};
use gateway::documents::read;
use gateway::resources::istio::TlsMode;
use gateway::{DropReason, Dropped, FilterChain, Listener, Model, Resources};
use libtest_mimic::Trial;
use rule::{Config, Document};
use serde::Deserialize as _;
use tests::gateways::{Case, names};

use crate::trials;

pub(crate) fn all() -> Result<Vec<Trial>> {
    trials("model", 35, named()?, |name| {
        let case = Case::read(name)?;
        check_expectations(&case)?;
        check_order(&case)?;
        check_configurations(&case.model)
    })
}

/// The names of the cases, twice: a file that cannot be read fails in its own trial.
pub(crate) fn named() -> Result<Vec<(String, String)>> {
    Ok(names()?
        .into_iter()
        .map(|name| (name.clone(), name))
        .collect())
}

fn check_expectations(case: &Case) -> Result<()> {
    let mut expected: Vec<String> = Vec::new();
    let mut listener = None;
    for line in case
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("# EXPECT: "))
    {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            [
                "chain" | "rejected" | "dropped" | "unprogrammed" | "ignored" | "unselected",
                ..,
            ] => {
                expected.push(line.to_owned());
            }
            // The lines after this one are about requests to this listener.
            ["listener", ..] => {
                expected.push(line.to_owned());
                listener = find_listener(&case.model, line);
                ensure!(
                    listener.is_some(),
                    "no {line} in {:#?}",
                    describe(&case.model)
                );
            }
            [sni, authority, ..] => {
                let listener = listener.context("a request before the first listener")?;
                check_request(listener, sni, authority, line)?;
            }
            _ => bail!("{line:?} is not an expectation"),
        }
    }
    // Both lists are complete: the model must not have more than the case expects.
    expected.sort_unstable();
    let found = describe(&case.model);
    ensure!(
        found == expected,
        "found {found:#?}, expected {expected:#?}"
    );
    Ok(())
}

fn find_listener<'m>(model: &'m Model, line: &str) -> Option<&'m Listener> {
    model.workloads.iter().find_map(|workload| {
        workload
            .listeners
            .iter()
            .find(|listener| describe_listener(&workload.full_name(), listener) == line)
    })
}

fn check_request(listener: &Listener, sni: &str, authority: &str, expected: &str) -> Result<()> {
    let server_name = if sni == "-" { "" } else { sni };
    let answer = listener.answer(server_name.as_bytes(), authority.as_bytes());
    let chain = answer.chain.map_or("-", |chain| chain.name.as_str());
    let virtual_host = answer.virtual_host.map_or("-", |host| host.name.as_str());
    let outcome = answer.outcome.name();
    let found = format!("{sni} {authority} {outcome} {chain} {virtual_host}");
    ensure!(found == expected, "found {found}, expected {expected}");
    Ok(())
}

/// The order of documents in the input changes nothing: istiod sorts by age and name.
fn check_order(case: &Case) -> Result<()> {
    let mut resources = Resources::default();
    let faults = read(&case.name, &case.text, &mut resources);
    ensure!(faults.is_empty(), "{faults:?}");
    resources.gateways.reverse();
    resources.virtual_services.reverse();
    resources.api_gateways.reverse();
    resources.listener_sets.reverse();
    resources.routes.reverse();
    resources.services.reverse();
    resources.pods.reverse();
    let (forward, backward) = (describe(&case.model), describe(&Model::new(&resources)));
    ensure!(
        forward == backward,
        "in reverse order {backward:#?}, else {forward:#?}"
    );
    Ok(())
}

/// The `servers` of each TLS listener are a valid configuration of the filter.
fn check_configurations(model: &Model) -> Result<()> {
    for listener in model
        .workloads
        .iter()
        .flat_map(|workload| &workload.listeners)
    {
        // `packager manifest` writes this table into the configuration of the filter.
        let servers = listener.servers();
        if listener.is_tls() {
            let config = serde_json::json!({ "servers": servers });
            Config::parse(&Document::deserialize(&config)?)?;
        } else {
            ensure!(servers.is_empty(), "{servers:?} without TLS");
        }
    }
    Ok(())
}

/// All that the expectations of a case list, but the requests, sorted.
fn describe(model: &Model) -> Vec<String> {
    let mut lines = Vec::new();
    for workload in &model.workloads {
        for listener in &workload.listeners {
            // A listener for plain text is of no interest, but on the port where TLS is expected.
            if !listener.is_tls() && listener.port != 8443 {
                continue;
            }
            lines.push(describe_listener(&workload.full_name(), listener));
            lines.extend(listener.chains.iter().map(describe_chain));
            if listener.is_rejected() {
                let hosts: Vec<String> = listener
                    .duplicates
                    .iter()
                    .map(|duplicate| duplicate.host.to_string())
                    .collect();
                lines.push(format!("rejected {}", hosts.join(" ")));
            }
        }
        lines.extend(workload.dropped.iter().map(describe_dropped));
    }
    lines.extend(
        model
            .unprogrammed
            .iter()
            .map(|server| format!("unprogrammed {server}")),
    );
    lines.extend(
        model
            .ignored
            .iter()
            .map(|resource| format!("ignored {resource}")),
    );
    lines.extend(
        model
            .unselected
            .iter()
            .map(|unselected| format!("unselected {}", unselected.resource)),
    );
    lines.sort_unstable();
    lines
}

fn describe_listener(workload: &str, listener: &Listener) -> String {
    let doubt = if listener.port_is_certain { "" } else { "?" };
    format!("listener {workload} {}{doubt}", listener.name())
}

fn describe_chain(chain: &FilterChain) -> String {
    let hosts: Vec<String> = chain.server_names.iter().map(ToString::to_string).collect();
    let mode = match chain.tls {
        None => " PLAIN",
        Some(TlsMode::Mutual) => " MUTUAL",
        Some(
            TlsMode::Passthrough
            | TlsMode::Simple
            | TlsMode::OptionalMutual
            | TlsMode::IstioMutual
            | TlsMode::AutoPassthrough,
        ) => "",
    };
    format!("chain {} = {}{mode}", chain.name, hosts.join(" "))
}

fn describe_dropped(dropped: &Dropped) -> String {
    let reason = match &dropped.reason {
        DropReason::SameHost { host, winner } => format!("{host} is in {winner}"),
        DropReason::PlainText { winner } => format!("plain text in {winner}"),
        DropReason::SamePortName { winner } => format!("the port name is in {winner}"),
    };
    format!("dropped {}: {reason}", dropped.server.id)
}
