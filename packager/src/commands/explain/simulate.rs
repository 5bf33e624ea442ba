//! What the gateways of an input do with a request, and what the filter decides there.

use anyhow::{Result, bail};
use gateway::{Listener, Model, Outcome, Workload};
use rule::{Config, Decision, Document, Gateway};
use serde::{Deserialize as _, Serialize};

use super::{Args, Case};
use crate::commands::assumptions;
use crate::commands::source::Source;
use crate::console::{Console, ExitStatus};

/// The answer of a listener to a case.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Simulation<'m> {
    sni: Option<&'m str>,
    authority: &'m str,
    workload: String,
    listener: String,
    /// The filter chain; `None` if no filter chain matches the SNI.
    chain: Option<&'m str>,
    virtual_host: Option<&'m str>,
    outcome: &'static str,
    /// The status of the filter's answer; `None` if the request passes, or if Envoy reads no request.
    status: Option<u16>,
    /// The reason of the filter; `None` if Envoy reads no request.
    reason: Option<&'static str>,
}

/// A TLS listener with the configuration that the filter would have there.
struct FilteredListener<'m> {
    workload: &'m Workload,
    listener: &'m Listener,
    config: Config,
}

pub(super) fn run(
    args: &Args,
    source: Source<'_>,
    cases: &[Case],
    console: &mut Console<'_>,
) -> Result<ExitStatus> {
    let mut inputs = source.read(console)?;
    args.mesh.apply(&mut inputs)?;
    let model = Model::new(&inputs.resources);
    let mut listeners = tls_listeners(&model)?;
    if let Some(labels) = &args.selector {
        let selected = labels.select_servers(&inputs.resources);
        listeners.retain(|found| {
            let chains = &found.listener.chains;
            chains
                .iter()
                .any(|chain| selected.contains(&chain.server.id.resource))
        });
    }

    // If a document cannot be read, its error explains why there is no gateway.
    let status = inputs.finish(console);
    if let Some(labels) = &args.selector
        && listeners.is_empty()
        && status == ExitStatus::Success
    {
        console.note(format_args!(
            "no TLS server of a Gateway has the labels {labels}"
        ));
        return Ok(status);
    }
    if listeners.is_empty() && status == ExitStatus::Success {
        bail!(source.has_no(
            "TLS server of a gateway",
            "give Gateways with the VirtualServices or HTTPRoutes that are bound to them, for example \
             from kubectl get gateways.networking.istio.io,virtualservices -A -o yaml"
        ));
    }

    let workloads_with_tls = model
        .workloads
        .iter()
        .filter(|workload| workload.listeners.iter().any(Listener::is_tls));
    assumptions::note_all(workloads_with_tls, console);
    for case in cases {
        for listener in &listeners {
            let answer = serde_json::to_string(&simulate(listener, case))?;
            writeln!(console.out, "{answer}")?;
        }
    }
    Ok(status)
}

fn tls_listeners(model: &Model) -> Result<Vec<FilteredListener<'_>>> {
    let mut found = Vec::new();
    for workload in &model.workloads {
        for listener in workload
            .listeners
            .iter()
            .filter(|listener| listener.is_tls())
        {
            // This is the list of servers that `packager manifest --from` writes by default.
            let settings = serde_json::json!({ "servers": listener.overlapping_servers() });
            found.push(FilteredListener {
                workload,
                listener,
                config: Config::parse(&Document::deserialize(settings)?)?,
            });
        }
    }
    Ok(found)
}

fn simulate<'m>(filtered: &FilteredListener<'m>, case: &'m Case) -> Simulation<'m> {
    let FilteredListener {
        workload,
        listener,
        config,
    } = filtered;
    let sni = case.sni.as_deref().unwrap_or_default();
    let answer = listener.answer(sni.as_bytes(), case.authority.as_bytes());
    // Envoy runs HTTP filters only if it terminates TLS and reads the request.
    let decision = match answer.outcome {
        Outcome::Served | Outcome::NotFound => {
            let Ok(decision) = config.decide(Gateway::Istio, &case.facts(answer.route()));
            Some(decision)
        }
        Outcome::Reset | Outcome::Passthrough | Outcome::Tcp => None,
    };
    Simulation {
        sni: case.sni.as_deref(),
        authority: &case.authority,
        workload: workload.full_name(),
        listener: listener.name(),
        chain: answer.chain.map(|chain| chain.name.as_str()),
        virtual_host: answer.virtual_host.map(|host| host.name.as_str()),
        outcome: answer.outcome.name(),
        status: decision.and_then(Decision::status),
        reason: decision.map(Decision::reason),
    }
}
