//! What the search for a finding can look at.

use std::collections::BTreeMap;

use super::Input;
use super::credential_use::{CredentialUse, credential_uses};
use super::installed_filter::{InstalledFilter, installed_filters};
use crate::mesh::MeshSettings;
use crate::resources::{Kind, Metadata, Resources};
use crate::routes::{self, Binding, Delegates};
use crate::{Credential, Listener, Workload};

/// The input of [`check`](super::check), with what several searches compute from it.
pub(super) struct Context<'i> {
    pub(super) input: &'i Input<'i>,
    /// The credentials of all filter chains, each with the filter chains that use it.
    pub(super) credential_uses: BTreeMap<&'i Credential, Vec<CredentialUse<'i>>>,
    /// The VirtualServices as istiod binds them to Gateways. Delegates are part of their roots.
    pub(super) bindings: Vec<Binding>,
    /// The resources that install our filter.
    pub(super) installed_filters: Vec<InstalledFilter<'i>>,
}

impl<'i> Context<'i> {
    pub(super) fn new(input: &'i Input<'i>) -> Self {
        Self {
            input,
            credential_uses: credential_uses(input.model),
            bindings: bindings(input),
            installed_filters: installed_filters(input.resources),
        }
    }

    /// The listeners that terminate or pass through TLS, each with its workload.
    pub(super) fn tls_listeners(&self) -> impl Iterator<Item = (&'i Workload, &'i Listener)> {
        self.input
            .model
            .workloads
            .iter()
            .flat_map(|workload| {
                workload
                    .listeners
                    .iter()
                    .map(move |listener| (workload, listener))
            })
            .filter(|(_, listener)| listener.is_tls())
    }

    /// The TLS listeners that Envoy accepts: a rejected one has no finding but its rejection.
    pub(super) fn accepted_tls_listeners(
        &self,
    ) -> impl Iterator<Item = (&'i Workload, &'i Listener)> {
        self.tls_listeners()
            .filter(|(_, listener)| !listener.is_rejected())
    }
}

fn bindings(input: &Input<'_>) -> Vec<Binding> {
    // Revisions with different defaults are rare, so the first istiod decides for all.
    let defaults = MeshSettings::default();
    let settings = input.model.settings.first().unwrap_or(&defaults);
    let delegates = Delegates::new(
        &input.resources.virtual_services,
        &settings.virtual_service_export_to,
    );
    input
        .resources
        .virtual_services
        .iter()
        .filter_map(|service| routes::binding(service, &delegates))
        .collect()
}

/// The resources that findings can be about, by kind and metadata.
pub(super) fn resources_of_findings(
    resources: &Resources,
) -> impl Iterator<Item = (Kind, &Metadata)> {
    let mut found: Vec<(Kind, &Metadata)> = resources.with_servers().collect();
    for extension in &resources.extensions {
        found.push((extension.kind, &extension.metadata));
    }
    // Findings about routes name the resource in which they are written.
    for service in &resources.virtual_services {
        found.push((Kind::VirtualService, &service.metadata));
    }
    for route in &resources.routes {
        found.push((route.kind.resource_kind(), &route.metadata));
    }
    for secret in &resources.secrets {
        found.push((Kind::Secret, &secret.metadata));
    }
    for filter in &resources.envoy_filters {
        found.push((Kind::EnvoyFilter, &filter.metadata));
    }
    for policy in &resources.authorization_policies {
        found.push((Kind::AuthorizationPolicy, &policy.metadata));
    }
    found.into_iter()
}
