//! Hosts that demand a client certificate, and that clients would reach without one.
//!
//! The hosts of a server decide which routes of its Gateway are in its route table. So a server that gets a
//! wildcard also gets the routes of hosts whose own server, in the same Gateway, demands a certificate.

use std::collections::BTreeSet;

use rule::HostPattern;
use rule::host::istio::IstioHost;

use super::group::{Group, split_namespace};
use super::refusal::{Obstacle, Reason};
use super::state::State;
use super::steps::{Step, StepNumber};
use super::write::Inapplicable;
use crate::Model;
use crate::findings::Remedy;
use crate::protected::bypasses;
use crate::resources::istio::TlsMode;

/// A host that demands a client certificate, at a port where clients reach its routes without one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Exposure {
    workload: String,
    host: HostPattern,
    port: u16,
}

/// An exposure that a model has and that is not known; the first one if there are several.
pub(super) fn new_exposure(known: &BTreeSet<Exposure>, model: &Model) -> Option<Exposure> {
    exposures(model)
        .into_iter()
        .find(|exposure| !known.contains(exposure))
}

/// The first step that exposes a host, with the host, even if a later step ends that.
pub(super) fn first_exposing_step(
    start: &State,
    first_model: &Model,
    steps: &[Step],
) -> Result<Option<(StepNumber, Exposure)>, Inapplicable> {
    // The models take time, and most gateways demand no certificates.
    if !demands_certificates(first_model) {
        return Ok(None);
    }
    let known = exposures(first_model);
    let mut state = start.clone();
    for (step, number) in steps.iter().zip(StepNumber::all()) {
        for write in &step.writes {
            state.apply(write)?;
        }
        if let Some(exposure) = new_exposure(&known, &state.model()) {
            return Ok(Some((number, exposure)));
        }
    }
    Ok(None)
}

fn demands_certificates(model: &Model) -> bool {
    model
        .workloads
        .iter()
        .flat_map(|workload| &workload.listeners)
        .flat_map(|listener| &listener.chains)
        .filter_map(|chain| chain.tls)
        .any(TlsMode::demands_client_certificate)
}

/// The exposures in a model.
pub(super) fn exposures(model: &Model) -> BTreeSet<Exposure> {
    model
        .workloads
        .iter()
        .flat_map(|workload| {
            bypasses(workload).into_iter().map(|(host, port)| Exposure {
                workload: workload.full_name(),
                host,
                port,
            })
        })
        .collect()
}

impl Exposure {
    /// The exposure as a sentence without a full stop.
    pub(super) fn message(&self) -> String {
        format!(
            "clients would reach {} without the certificate that its server demands, on port {} of {}",
            self.host, self.port, self.workload
        )
    }

    /// The members whose hosts cover the exposed host are set aside.
    pub(super) fn obstacle(&self, group: &Group<'_>, state: &State) -> Obstacle {
        let host = self.host.to_string();
        let covering = group.members_with(|member| {
            member
                .hosts(state)
                .iter()
                .any(|own| IstioHost(&host).is_subset_of(IstioHost(split_namespace(own).1)))
        });
        Obstacle::new(Reason::ClientCertificate, self.message())
            .or(Remedy::new(
                "move the server that demands the certificate to a Gateway of its own first, with its routes",
            ))
            .blocking(covering.into_iter().map(|member| &member.id))
    }
}
