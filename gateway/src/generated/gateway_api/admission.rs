//! The namespaces whose routes and ListenerSets a Gateway admits.

use std::collections::BTreeMap;

use crate::resources::gateway_api::{
    AllowedRoutes, ApiGateway, FromNamespaces, LabelSelector, Namespaces,
};
use crate::resources::{Labels, NamespacedHost, Resources};

/// The label that Kubernetes gives every namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The namespaces of the input with their labels.
pub(super) struct Admission<'r> {
    namespaces: BTreeMap<&'r str, Labels>,
}

impl<'r> Admission<'r> {
    pub(super) fn new(resources: &'r Resources) -> Self {
        let mut namespaces: BTreeMap<&str, Labels> = BTreeMap::new();
        // The input may not contain the Namespace of a route. The label with the name is known anyway.
        for metadata in resources
            .routes
            .iter()
            .map(|route| &route.metadata)
            .chain(resources.listener_sets.iter().map(|set| &set.metadata))
        {
            let name = metadata.namespace.as_str();
            namespaces.insert(name, with_name_label(name, Labels::new()));
        }
        for namespace in &resources.namespaces {
            let metadata = &namespace.metadata;
            namespaces.insert(
                &metadata.name,
                with_name_label(&metadata.name, metadata.labels.clone()),
            );
        }
        Self { namespaces }
    }

    fn selected(&self, selector: &LabelSelector) -> Vec<&'r str> {
        self.namespaces
            .iter()
            .filter(|(_, labels)| selector.matches(labels))
            .map(|(name, _)| *name)
            .collect()
    }

    /// The hosts of the server that istiod generates for a listener, one for each namespace whose routes
    /// can attach (Istio `buildHostnameMatch`).
    pub(super) fn hosts(
        &self,
        own: &str,
        allowed: Option<&AllowedRoutes>,
        host: &str,
    ) -> Vec<NamespacedHost> {
        let namespaces = allowed.and_then(|allowed| allowed.namespaces.as_ref());
        let from = namespaces
            .and_then(|namespaces| namespaces.from)
            .unwrap_or(FromNamespaces::Same);
        let selector = namespaces.and_then(|namespaces| namespaces.selector.as_ref());
        let names = match (from, selector) {
            (FromNamespaces::Same, _) => vec![own],
            (FromNamespaces::All, _) | (FromNamespaces::Selector, None) => {
                return vec![NamespacedHost::of_any_namespace(host)];
            }
            (FromNamespaces::Selector, Some(selector)) => self.selected(selector),
            (FromNamespaces::None, _) => Vec::new(),
        };
        // The listener exists even if no route can attach to it.
        if names.is_empty() {
            return vec![NamespacedHost::without_routes(host)];
        }
        names
            .into_iter()
            .map(|name| NamespacedHost::of_namespace(name, host))
            .collect()
    }
}

fn with_name_label(name: &str, mut labels: Labels) -> Labels {
    labels.insert(NAME_LABEL.into(), name.into());
    labels
}

/// Whether a Gateway allows ListenerSets of a namespace (Istio `NamespaceAcceptedByAllowListeners`).
pub(super) fn allows_listeners(
    gateway: &ApiGateway,
    namespace: &str,
    admission: &Admission<'_>,
) -> bool {
    // By default a Gateway allows none.
    let Some(Namespaces { from, selector }) = gateway
        .spec
        .allowed_listeners
        .as_ref()
        .and_then(|allowed| allowed.namespaces.as_ref())
    else {
        return false;
    };
    match from {
        Some(FromNamespaces::All) => true,
        Some(FromNamespaces::Same) => namespace == gateway.metadata.namespace,
        Some(FromNamespaces::None) => false,
        Some(FromNamespaces::Selector) | None => selector
            .as_ref()
            .is_some_and(|selector| admission.selected(selector).contains(&namespace)),
    }
}
