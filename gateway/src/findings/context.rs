//! What the search for a finding can look at.

use std::collections::BTreeMap;

use super::Input;
use super::credential_use::{CredentialUse, credential_uses};
use crate::resources::{Kind, Metadata, Resources};
use crate::{Credential, Listener, Workload};

/// The input of [`check`](super::check), with what several searches compute from it.
pub(super) struct Context<'i> {
    pub(super) input: &'i Input<'i>,
    /// The credentials of all filter chains, each with the filter chains that use it.
    pub(super) credential_uses: BTreeMap<&'i Credential, Vec<CredentialUse<'i>>>,
}

impl<'i> Context<'i> {
    pub(super) fn new(input: &'i Input<'i>) -> Self {
        Self {
            input,
            credential_uses: credential_uses(input.model),
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

/// The resources that findings can be about, by kind and metadata.
pub(super) fn resources_of_findings(
    resources: &Resources,
) -> impl Iterator<Item = (Kind, &Metadata)> {
    resources
        .with_servers()
        .chain(
            resources
                .extensions
                .iter()
                .map(|extension| (extension.kind, &extension.metadata)),
        )
        .chain(
            resources
                .secrets
                .iter()
                .map(|secret| (Kind::Secret, &secret.metadata)),
        )
        .chain(
            resources
                .virtual_services
                .iter()
                .map(|service| (Kind::VirtualService, &service.metadata)),
        )
}
