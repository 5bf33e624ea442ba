//! The resources between two changes.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::write::{Inapplicable, Write};
use crate::resources::istio::Gateway;
use crate::resources::{Kind, Metadata, ResourceName};
use crate::{Model, Resources};

/// Resources that change as a plan says. What a plan is proved on is what its patches make of the
/// manifests, read anew.
#[derive(Clone, Debug)]
pub struct State(Resources);

impl State {
    /// The state of resources whose manifests were kept.
    #[must_use]
    pub fn new(resources: Resources) -> Self {
        Self(resources)
    }

    /// The resources.
    #[must_use]
    pub fn resources(&self) -> &Resources {
        &self.0
    }

    /// What istiod makes of them.
    #[must_use]
    pub fn model(&self) -> Model {
        Model::new(&self.0)
    }

    /// A Gateway.
    #[must_use]
    pub fn gateway(&self, name: &ResourceName) -> Option<&Gateway> {
        self.0
            .gateways
            .iter()
            .find(|gateway| is(&gateway.metadata, name))
    }

    /// A manifest that was kept.
    #[must_use]
    pub fn manifest(&self, resource: &ResourceName) -> Option<&Value> {
        self.0.manifests.get(resource)
    }

    /// Makes a change.
    ///
    /// # Errors
    /// The resource is not what the change takes it to be; nothing is changed then.
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
        let is_new = matches!(write, Write::Create { .. });
        if resource.kind == Kind::Gateway {
            let gateways = &mut self.0.gateways;
            set(gateways, resource, manifest.as_ref(), is_new, |gateway| {
                &mut gateway.metadata
            })?;
        } else {
            let services = &mut self.0.virtual_services;
            set(services, resource, manifest.as_ref(), is_new, |service| {
                &mut service.metadata
            })?;
        }
        self.0.manifests.set(resource, manifest);
        Ok(())
    }
}

fn is(metadata: &Metadata, name: &ResourceName) -> bool {
    metadata.namespace == name.namespace && metadata.name == name.name
}

/// Replaces a resource by what is read from its manifest. It keeps its age; a new one is the youngest.
fn set<T: DeserializeOwned>(
    list: &mut Vec<T>,
    name: &ResourceName,
    manifest: Option<&Value>,
    is_new: bool,
    metadata: impl Fn(&mut T) -> &mut Metadata,
) -> Result<(), Inapplicable> {
    let mut found: Option<T> = match manifest {
        Some(manifest) => Some(T::deserialize(manifest).map_err(|_| Inapplicable)?),
        None => None,
    };
    let known = list
        .iter_mut()
        .map(&metadata)
        .find(|metadata| is(metadata, name));
    let known_age = known.and_then(|metadata| metadata.creation_timestamp);
    if let Some(found) = &mut found {
        let age = if is_new {
            Some(DateTime::<Utc>::MAX_UTC)
        } else {
            known_age
        };
        metadata(found).creation_timestamp = age;
    }
    list.retain_mut(|entry| !is(metadata(entry), name));
    list.extend(found);
    Ok(())
}
