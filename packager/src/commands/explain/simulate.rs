//! What the gateways of an input do with a request, and what the filter does there.

use anyhow::{Result, bail};
use gateway::{Listener, Model, Outcome, Workload};
use rule::{Config, Decision, Document, Gateway};
use serde::{Deserialize as _, Serialize};

use super::Case;
use crate::commands::inputs::{self, Inputs};
use crate::commands::source::Source;
use crate::console::{Console, ExitStatus};

/// What becomes of a case at a listener.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation<'m> {
    sni: Option<&'m str>,
    authority: &'m str,
    workload: String,
    listener: String,
    /// Its route table, where it has one.
    chain: Option<&'m str>,
    virtual_host: Option<&'m str>,
    outcome: &'static str,
    /// That of the filter's answer; `None` when the request passes, or no request is read.
    status: Option<u16>,
    /// That of the filter; `None` when no request is read.
    reason: Option<&'static str>,
}

/// A TLS listener with the configuration that the filter would have there.
struct Place<'m> {
    workload: &'m Workload,
    listener: &'m Listener,
    config: Config,
}

pub(super) fn run(
    source: Source<'_>,
    cases: &[Case],
    console: &mut Console<'_>,
) -> Result<ExitStatus> {
    let inputs: Inputs = source.read(console)?;
    let model = Model::new(&inputs.resources);
    let places = places(&model)?;
    let status = inputs.finish(console);
    if places.is_empty() && status == ExitStatus::Yes {
        bail!(source.has_no(
            "TLS server of a gateway",
            "give Gateways with the VirtualServices or HTTPRoutes that are bound to them, such as \
             kubectl get gateways.networking.istio.io,virtualservices -A -o yaml prints"
        ));
    }
    let has_tls = |workload: &&Workload| workload.listeners.iter().any(Listener::is_tls);
    inputs::tell_assumptions(model.workloads.iter().filter(has_tls), console);
    for case in cases {
        for place in &places {
            writeln!(
                console.out,
                "{}",
                serde_json::to_string(&explain(place, case))?
            )?;
        }
    }
    Ok(status)
}

fn places(model: &Model) -> Result<Vec<Place<'_>>> {
    let listeners = model.workloads.iter().flat_map(|workload| {
        workload
            .listeners
            .iter()
            .map(move |listener| (workload, listener))
    });
    let tls = listeners.filter(|(_, listener)| listener.is_tls());
    tls.map(|(workload, listener)| {
        let settings = serde_json::json!({ "servers": listener.overlapping_servers() });
        let config = Config::parse(&Document::deserialize(settings)?)?;
        Ok(Place {
            workload,
            listener,
            config,
        })
    })
    .collect()
}

fn explain<'m>(place: &Place<'m>, case: &'m Case) -> Explanation<'m> {
    let sni = case.sni.as_deref().unwrap_or_default();
    let answer = place
        .listener
        .answer(sni.as_bytes(), case.authority.as_bytes());
    let reads_requests = matches!(answer.outcome, Outcome::Served | Outcome::NotFound);
    let decision = reads_requests.then(|| {
        let Ok(decision) = place
            .config
            .decide(Gateway::Istio, &case.facts(answer.route()));
        decision
    });
    Explanation {
        sni: case.sni.as_deref(),
        authority: &case.authority,
        workload: place.workload.full_name(),
        listener: place.listener.name(),
        chain: answer.chain.map(|chain| chain.name.as_str()),
        virtual_host: answer.virtual_host.map(|host| host.name.as_str()),
        outcome: answer.outcome.name(),
        status: decision.and_then(Decision::status),
        reason: decision.map(Decision::reason),
    }
}
