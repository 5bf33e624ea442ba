//! Resources of one name. `kubectl apply` lets the last one win, and so does the model.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use super::authorization_policy::AuthorizationPolicy;
use super::envoy_filter::EnvoyFilter;
use super::extensions::Extension;
use super::gateway_api::{ApiGateway, GatewayClass, ListenerSet, ReferenceGrant, Route};
use super::istio::{Gateway, VirtualService};
use super::kubernetes::{Ingress, IngressClass, Namespace, Pods, PodsKind, Service, TagWebhook};
use super::mesh::MeshConfigMap;
use super::secret::{IssuedCertificate, Secret};
use super::{Kind, Metadata, Origin, ResourceName, Resources};

/// A resource that a later one of the same name replaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replaced {
    pub resource: ResourceName,
    /// Where the replaced resource was read.
    pub lost: Origin,
    /// Where the resource that counts was read.
    pub kept: Origin,
}

/// A resource with a name.
trait Named: Clone + PartialEq {
    /// What distinguishes resources of one list that have the same namespace and name.
    type Variant: std::hash::Hash + Eq;

    fn variant(&self) -> Self::Variant;
    fn metadata(&self) -> &Metadata;
    fn metadata_mut(&mut self) -> &mut Metadata;
}

/// Implements [`Named`] for types whose field `metadata` has the name.
macro_rules! named {
    ($($type:ty, $variant:ty, $of:expr;)+) => {$(
        impl Named for $type {
            type Variant = $variant;

            fn variant(&self) -> $variant {
                let variant: fn(&$type) -> $variant = $of;
                variant(self)
            }

            fn metadata(&self) -> &Metadata {
                &self.metadata
            }

            fn metadata_mut(&mut self) -> &mut Metadata {
                &mut self.metadata
            }
        }
    )+};
}

named! {
    AuthorizationPolicy, (), |_| ();
    EnvoyFilter, (), |_| ();
    Gateway, (), |_| ();
    VirtualService, (), |_| ();
    ApiGateway, (), |_| ();
    ListenerSet, (), |_| ();
    Route, Kind, |route| route.kind.resource_kind();
    ReferenceGrant, (), |_| ();
    GatewayClass, (), |_| ();
    Ingress, (), |_| ();
    IngressClass, (), |_| ();
    Service, (), |_| ();
    Pods, PodsKind, |pods| pods.kind;
    Secret, (), |_| ();
    IssuedCertificate, (), |_| ();
    Namespace, (), |_| ();
    TagWebhook, (), |_| ();
    MeshConfigMap, (), |_| ();
    Extension, Kind, |extension| extension.kind;
}

impl Resources {
    /// Removes each resource that a later one of the same name replaces, and returns those whose content
    /// differs, sorted.
    pub fn remove_replaced(&mut self) -> Vec<Replaced> {
        let mut replaced = Vec::new();
        // Kinds that no finding names are replaced without a word: they have no effect of their own.
        retain_last(&mut self.gateways, |_| Some(Kind::Gateway), &mut replaced);
        retain_last(
            &mut self.virtual_services,
            |_| Some(Kind::VirtualService),
            &mut replaced,
        );
        retain_last(
            &mut self.api_gateways,
            |_| Some(Kind::ApiGateway),
            &mut replaced,
        );
        retain_last(
            &mut self.listener_sets,
            |_| Some(Kind::ListenerSet),
            &mut replaced,
        );
        retain_last(&mut self.routes, |own| Some(own.variant()), &mut replaced);
        retain_last(&mut self.ingresses, |_| Some(Kind::Ingress), &mut replaced);
        retain_last(&mut self.secrets, |_| Some(Kind::Secret), &mut replaced);
        retain_last(
            &mut self.extensions,
            |own| Some(own.variant()),
            &mut replaced,
        );
        retain_last(
            &mut self.envoy_filters,
            |_| Some(Kind::EnvoyFilter),
            &mut replaced,
        );
        retain_last(
            &mut self.authorization_policies,
            |_| Some(Kind::AuthorizationPolicy),
            &mut replaced,
        );
        retain_last(&mut self.reference_grants, |_| None, &mut replaced);
        retain_last(&mut self.gateway_classes, |_| None, &mut replaced);
        retain_last(&mut self.ingress_classes, |_| None, &mut replaced);
        retain_last(&mut self.services, |_| None, &mut replaced);
        retain_last(&mut self.pods, |_| None, &mut replaced);
        retain_last(&mut self.issued_certificates, |_| None, &mut replaced);
        retain_last(&mut self.namespaces, |_| None, &mut replaced);
        retain_last(&mut self.tag_webhooks, |_| None, &mut replaced);
        retain_last(&mut self.mesh_config_maps, |_| None, &mut replaced);
        replaced.sort();
        replaced
    }

    /// The resources without those that a later one replaces. Almost always these are the resources as they are.
    pub(crate) fn without_replaced(&self) -> Cow<'_, Self> {
        let has_replaced = has_repeated(&self.gateways)
            || has_repeated(&self.virtual_services)
            || has_repeated(&self.api_gateways)
            || has_repeated(&self.listener_sets)
            || has_repeated(&self.routes)
            || has_repeated(&self.reference_grants)
            || has_repeated(&self.gateway_classes)
            || has_repeated(&self.ingresses)
            || has_repeated(&self.ingress_classes)
            || has_repeated(&self.services)
            || has_repeated(&self.pods)
            || has_repeated(&self.secrets)
            || has_repeated(&self.issued_certificates)
            || has_repeated(&self.namespaces)
            || has_repeated(&self.tag_webhooks)
            || has_repeated(&self.mesh_config_maps)
            || has_repeated(&self.extensions)
            || has_repeated(&self.envoy_filters)
            || has_repeated(&self.authorization_policies);
        if !has_replaced {
            return Cow::Borrowed(self);
        }
        let mut resources = self.clone();
        resources.remove_replaced();
        Cow::Owned(resources)
    }
}

type Key<'r, T> = (<T as Named>::Variant, &'r str, &'r str);

fn key<T: Named>(resource: &T) -> Key<'_, T> {
    let metadata = resource.metadata();
    (resource.variant(), &metadata.namespace, &metadata.name)
}

/// The index of the last resource of each name.
fn last_indices<T: Named>(list: &[T]) -> HashMap<Key<'_, T>, usize> {
    list.iter()
        .enumerate()
        .map(|(index, resource)| (key(resource), index))
        .collect()
}

fn has_repeated<T: Named>(list: &[T]) -> bool {
    last_indices(list).len() < list.len()
}

/// Keeps the last resource of each name. Those that it replaces are added to `replaced`, if they differ from it and
/// have a kind for output.
fn retain_last<T: Named>(
    list: &mut Vec<T>,
    kind: impl Fn(&T) -> Option<Kind>,
    replaced: &mut Vec<Replaced>,
) {
    let indices = last_indices(list);
    if indices.len() == list.len() {
        return;
    }
    let mut are_kept = Vec::with_capacity(list.len());
    for (index, resource) in list.iter().enumerate() {
        let last_index = indices.get(&key(resource)).copied().unwrap_or(index);
        are_kept.push(last_index == index);
        if last_index != index
            && let Some(kind) = kind(resource)
            && let Some(kept) = list.get(last_index)
            && differ(resource, kept)
        {
            replaced.push(Replaced {
                resource: resource.metadata().resource(kind),
                lost: resource.metadata().origin.clone(),
                kept: kept.metadata().origin.clone(),
            });
        }
    }
    let mut are_kept = are_kept.into_iter();
    list.retain(|_| are_kept.next().unwrap_or(true));
}

/// Whether two resources have different content.
fn differ<T: Named>(resource: &T, other: &T) -> bool {
    // They differ in where they were read, which is not content.
    let mut moved = other.clone();
    moved.metadata_mut().origin = resource.metadata().origin.clone();
    moved != *resource
}

/// Replaced resources, for output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// One of few resources of a folder that a resource of the same folder replaces.
    Resource(Replaced),
    /// All resources that those of a folder replace in it or in another one, as overlays of kustomize do.
    Folder {
        lost: String,
        kept: String,
        count: usize,
        example: Replaced,
    },
}

/// The most resources of one folder that are named one by one.
const MAX_SINGLE: usize = 3;

/// The replaced resources of files, those of two folders together. A file that replaces a resource of a
/// cluster does so on purpose.
#[must_use]
pub fn replacements(replaced: &[Replaced]) -> Vec<Replacement> {
    let mut by_folders: BTreeMap<(&str, &str), Vec<&Replaced>> = BTreeMap::new();
    for each in replaced {
        if !each.lost.file.is_empty() {
            by_folders
                .entry((folder(&each.lost), folder(&each.kept)))
                .or_default()
                .push(each);
        }
    }
    let mut found = Vec::new();
    for ((lost, kept), resources) in by_folders {
        if lost == kept && resources.len() <= MAX_SINGLE {
            found.extend(resources.into_iter().cloned().map(Replacement::Resource));
        } else if let Some(example) = resources.first() {
            found.push(Replacement::Folder {
                lost: lost.to_owned(),
                kept: kept.to_owned(),
                count: resources.len(),
                example: (*example).clone(),
            });
        }
    }
    found
}

/// The folder of a file, as it is written; `.` for a file without one.
fn folder(origin: &Origin) -> &str {
    origin
        .file
        .rsplit_once('/')
        .map_or(".", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::{Replacement, replacements};
    use crate::documents::read;
    use crate::{Model, Resources};

    fn gateway(name: &str, host: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}}}\n\
             spec: {{selector: {{istio: x}}, servers: [{{port: {{number: 443, protocol: HTTPS, \
             name: https}}, hosts: [{host}], tls: {{mode: SIMPLE}}}}]}}\n---\n"
        )
    }

    fn resources(files: &[(&str, String)]) -> Resources {
        let mut resources = Resources::default();
        for (file, text) in files {
            assert_eq!(read(file, text, &mut resources), []);
        }
        resources
    }

    #[test]
    fn the_last_resource_of_a_name_wins() {
        let mut found = resources(&[
            ("a.yaml", gateway("public", "a.example.com")),
            ("b.yaml", gateway("public", "b.example.com")),
        ]);
        let hosts: Vec<String> = Model::new(&found)
            .workloads
            .iter()
            .flat_map(|workload| &workload.listeners)
            .flat_map(|listener| &listener.chains)
            .flat_map(|chain| &chain.server_names)
            .map(ToString::to_string)
            .collect();
        assert_eq!(hosts, ["b.example.com"]);
        let replaced = found.remove_replaced();
        assert_eq!(found.gateways.len(), 1);
        let origins: Vec<(String, String)> = replaced
            .iter()
            .map(|each| (each.lost.to_string(), each.kept.to_string()))
            .collect();
        assert_eq!(origins, [("a.yaml:1".to_owned(), "b.yaml:1".to_owned())]);
    }

    #[test]
    fn equal_and_unrelated_resources_are_no_news() {
        let mut found = resources(&[
            ("a.yaml", gateway("public", "a.example.com")),
            ("b.yaml", gateway("public", "a.example.com")),
            ("c.yaml", gateway("other", "b.example.com")),
        ]);
        assert_eq!(found.remove_replaced(), []);
        assert_eq!(found.gateways.len(), 2);
    }

    /// The folders and the number of resources of each replacement; no folders for a single resource.
    fn summary(resources: &mut Resources) -> Vec<(String, String, usize)> {
        replacements(&resources.remove_replaced())
            .into_iter()
            .map(|replacement| match replacement {
                Replacement::Resource(_) => (String::new(), String::new(), 1),
                Replacement::Folder {
                    lost, kept, count, ..
                } => (lost, kept, count),
            })
            .collect()
    }

    #[test]
    fn overlays_are_one_replacement() {
        let both = |host: &str| gateway("a", host) + &gateway("b", host);
        let mut found = resources(&[
            ("base/all.yaml", both("a.example.com")),
            ("overlays/test/all.yaml", both("b.example.com")),
            ("overlays/test/more.yaml", gateway("c", "c.example.com")),
            ("overlays/test/more.yaml", gateway("c", "d.example.com")),
        ]);
        assert_eq!(
            summary(&mut found),
            [
                ("base".to_owned(), "overlays/test".to_owned(), 2),
                (String::new(), String::new(), 1),
            ]
        );
    }

    #[test]
    fn many_resources_of_a_folder_are_one_replacement() {
        let hosts = ["a", "b", "c", "d", "e"];
        let files: Vec<(&str, String)> = hosts
            .iter()
            .map(|host| {
                (
                    "all.yaml",
                    gateway("public", &format!("{host}.example.com")),
                )
            })
            .collect();
        assert_eq!(
            summary(&mut resources(&files)),
            [(".".to_owned(), ".".to_owned(), 4)]
        );
    }
}
