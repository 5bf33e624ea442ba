//! What is not to be told, by annotations of Gateways.

use std::collections::HashMap;

use super::Code;
use crate::gateway::resources::{Metadata, ResourceName, Resources};

/// The annotation, with codes and commas between them.
pub(super) const ANNOTATION: &str = "sni-guard/ignore";

/// The codes by Gateway.
#[derive(Debug, Default)]
pub(super) struct Ignores<'r>(HashMap<ResourceName, Vec<&'r str>>);

impl<'r> Ignores<'r> {
    pub(super) fn of(resources: &'r Resources) -> Self {
        let Resources { gateways, api_gateways, listener_sets, ingresses, .. } = resources;
        let named = |kind, metadata: &'r Metadata| {
            let codes = metadata.annotations.get(ANNOTATION)?;
            let codes = codes.split(',').map(str::trim).collect();
            Some((metadata.resource(kind), codes))
        };
        let classic = gateways.iter().map(|gateway| ("Gateway", &gateway.metadata));
        let api = api_gateways.iter().map(|gateway| ("Gateway", &gateway.metadata));
        let sets = listener_sets.iter().map(|set| ("ListenerSet", &set.metadata));
        let ingresses = ingresses.iter().map(|ingress| ("Ingress", &ingress.metadata));
        let all = classic.chain(api).chain(sets).chain(ingresses);
        Self(all.filter_map(|(kind, metadata)| named(kind, metadata)).collect())
    }

    pub(super) fn has(&self, resource: &ResourceName, code: Code) -> bool {
        self.0.get(resource).is_some_and(|codes| codes.contains(&code.id()))
    }
}
