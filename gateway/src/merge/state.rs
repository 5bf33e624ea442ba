//! The resources between two writes of a plan.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::write::{Inapplicable, Write};
use crate::resources::istio::{Gateway, VirtualService};
use crate::resources::{Kind, Metadata, ResourceName};
use crate::{Model, Resources};

/// Resources that the writes of a plan change. Each write changes a manifest, and the resource is
/// read from that manifest again, so a proof covers exactly what an operator applies.
#[derive(Clone, Debug)]
pub struct State(Resources);

impl State {
    /// The first state. It needs resources that were read with their manifests.
    #[must_use]
    pub fn new(resources: Resources) -> Self {
        Self(resources)
    }

    /// All resources with the writes so far.
    #[must_use]
    pub fn resources(&self) -> &Resources {
        &self.0
    }

    /// What istiod makes of the resources.
    #[must_use]
    pub fn model(&self) -> Model {
        Model::new(&self.0)
    }

    pub(super) fn gateway(&self, name: &ResourceName) -> Option<&Gateway> {
        self.0
            .gateways
            .iter()
            .find(|gateway| has_name(&gateway.metadata, name))
    }

    pub(super) fn virtual_service(&self, name: &ResourceName) -> Option<&VirtualService> {
        self.0
            .virtual_services
            .iter()
            .find(|service| has_name(&service.metadata, name))
    }

    /// The manifest of a resource, if it was kept.
    #[must_use]
    pub fn manifest(&self, resource: &ResourceName) -> Option<&Value> {
        self.0.manifests.get(resource)
    }

    /// Applies a write to the manifest and to the resource that is read from it.
    ///
    /// # Errors
    /// The resource differs from what the write expects. The state is unchanged then.
    pub fn apply(&mut self, write: &Write) -> Result<(), Inapplicable> {
        let resource = write.resource();
        let manifest = match write {
            Write::Patch { edits, .. } => {
                let mut manifest = self.manifest(resource).cloned().ok_or(Inapplicable)?;
                for edit in edits {
                    edit.apply(&mut manifest)?;
                }
                Some(manifest)
            }
            Write::Delete { .. } => None,
            Write::Create { manifest, .. } => Some(manifest.clone()),
        };
        // The age decides which server istiod drops. The API server sets it at creation, so a Gateway
        // that is created again is the youngest.
        let age = match write {
            Write::Patch { .. } | Write::Delete { .. } => Age::Kept,
            Write::Create { .. } => Age::Youngest,
        };
        // A plan writes only these two kinds.
        if resource.kind == Kind::Gateway {
            replace(
                &mut self.0.gateways,
                resource,
                manifest.as_ref(),
                age,
                |gateway| &mut gateway.metadata,
            )?;
        } else {
            replace(
                &mut self.0.virtual_services,
                resource,
                manifest.as_ref(),
                age,
                |service| &mut service.metadata,
            )?;
        }
        self.0.manifests.set(resource, manifest);
        Ok(())
    }
}

/// The creation timestamp of a resource after a write.
#[derive(Clone, Copy)]
enum Age {
    Kept,
    Youngest,
}

/// Replaces a resource by the one that its manifest describes, or removes it without a manifest.
fn replace<T: DeserializeOwned>(
    list: &mut Vec<T>,
    name: &ResourceName,
    manifest: Option<&Value>,
    age: Age,
    metadata: fn(&mut T) -> &mut Metadata,
) -> Result<(), Inapplicable> {
    // An invalid manifest must not change the list, so it is read first.
    let mut replacement: Option<T> = manifest
        .map(T::deserialize)
        .transpose()
        .map_err(|_| Inapplicable)?;
    if let Some(replacement) = &mut replacement {
        metadata(replacement).creation_timestamp = match age {
            Age::Kept => list
                .iter_mut()
                .map(metadata)
                .find(|metadata| has_name(metadata, name))
                .and_then(|metadata| metadata.creation_timestamp),
            Age::Youngest => Some(DateTime::<Utc>::MAX_UTC),
        };
    }
    list.retain_mut(|entry| !has_name(metadata(entry), name));
    list.extend(replacement);
    Ok(())
}

fn has_name(metadata: &Metadata, name: &ResourceName) -> bool {
    metadata.namespace == name.namespace && metadata.name == name.name
}
