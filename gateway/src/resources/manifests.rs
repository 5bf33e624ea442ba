//! The manifests of resources, for plans that change them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::ResourceName;

/// The manifests of Istio's Gateways, VirtualServices and EnvoyFilters. They are kept only on request, since
/// most commands do not change resources.
#[derive(Clone, Debug, Default)]
pub struct Manifests(Option<BTreeMap<ResourceName, Value>>);

impl Manifests {
    /// An empty collection that keeps the manifests of resources that are read.
    pub(super) fn kept() -> Self {
        Self(Some(BTreeMap::new()))
    }

    /// Whether manifests are kept.
    #[must_use]
    pub fn are_kept(&self) -> bool {
        self.0.is_some()
    }

    /// The manifest of a resource.
    #[must_use]
    pub fn get(&self, resource: &ResourceName) -> Option<&Value> {
        self.0.as_ref()?.get(resource)
    }

    /// Replaces the manifest of a resource, or removes it for `None`.
    pub fn set(&mut self, resource: &ResourceName, manifest: Option<Value>) {
        // Commands that do not change resources do not keep manifests, which are large.
        let Some(kept) = &mut self.0 else { return };
        match manifest {
            Some(manifest) => kept.insert(resource.clone(), manifest),
            None => kept.remove(resource),
        };
    }

    /// Adds the manifests of `other`, if manifests are kept.
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
