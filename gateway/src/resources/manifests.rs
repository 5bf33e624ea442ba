//! Resources as they were written, for those who change them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::ResourceName;

/// Istio's Gateways, VirtualServices and EnvoyFilters as they were written, by name; none unless they
/// are asked for, since most commands only read.
#[derive(Clone, Debug, Default)]
pub struct Manifests(Option<BTreeMap<ResourceName, Value>>);

impl Manifests {
    /// Manifests that are kept.
    pub(super) fn kept() -> Self {
        Self(Some(BTreeMap::new()))
    }

    #[must_use]
    pub fn are_kept(&self) -> bool {
        self.0.is_some()
    }

    /// The manifest of a resource.
    #[must_use]
    pub fn get(&self, resource: &ResourceName) -> Option<&Value> {
        self.0.as_ref()?.get(resource)
    }

    /// Sets it, or removes it.
    pub fn set(&mut self, resource: &ResourceName, manifest: Option<Value>) {
        let Some(kept) = &mut self.0 else { return };
        match manifest {
            Some(manifest) => kept.insert(resource.clone(), manifest),
            None => kept.remove(resource),
        };
    }

    /// Adds others, where manifests are kept.
    pub fn append(&mut self, other: Self) {
        if let (Some(kept), Some(mut other)) = (&mut self.0, other.0) {
            kept.append(&mut other);
        }
    }

    /// All that are kept.
    pub fn iter(&self) -> impl Iterator<Item = (&ResourceName, &Value)> {
        self.0.iter().flatten()
    }
}
