//! Which namespaces may attach routes and listeners.

use std::collections::BTreeMap;

use crate::resources::gateway_api::{AllowedRoutes, ApiGateway, From, LabelSelector, Namespaces};
use crate::resources::{Labels, Resources};

/// The label that Kubernetes gives every namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The namespaces of the input with their labels.
pub(super) struct Admission<'r> {
    namespaces: BTreeMap<&'r str, Labels>,
}

impl<'r> Admission<'r> {
    /// Namespaces that only resources name are there too, with no label but their name.
    pub(super) fn new(resources: &'r Resources) -> Self {
        let routes = resources
            .routes
            .iter()
            .map(|route| route.metadata.namespace.as_str());
        let sets = resources
            .listener_sets
            .iter()
            .map(|set| set.metadata.namespace.as_str());
        let mut namespaces: BTreeMap<&str, Labels> = routes
            .chain(sets)
            .map(|name| (name, labels(name, &Labels::new())))
            .collect();
        for namespace in &resources.namespaces {
            let metadata = &namespace.metadata;
            namespaces.insert(&metadata.name, labels(&metadata.name, &metadata.labels));
        }
        Self { namespaces }
    }

    fn selected(&self, selector: &LabelSelector) -> Vec<&'r str> {
        let matching = self
            .namespaces
            .iter()
            .filter(|(_, labels)| selector.matches(labels));
        matching.map(|(name, _)| *name).collect()
    }

    /// The hosts of a server for a listener: `namespace/host` for each namespace of its routes
    /// (Istio `buildHostnameMatch`). `~` is no namespace: the listener is there, without routes.
    pub(super) fn hosts(
        &self,
        own: &str,
        allowed: Option<&AllowedRoutes>,
        host: &str,
    ) -> Vec<String> {
        let namespaces = allowed.and_then(|allowed| allowed.namespaces.as_ref());
        let from = namespaces
            .and_then(|namespaces| namespaces.from)
            .unwrap_or(From::Same);
        let selector = namespaces.and_then(|namespaces| namespaces.selector.as_ref());
        let names = match (from, selector) {
            (From::Same, _) => vec![own],
            (From::All, _) | (From::Selector, None) => return vec![host.to_owned()],
            (From::Selector, Some(selector)) => self.selected(selector),
            (From::None, _) => Vec::new(),
        };
        if names.is_empty() {
            return vec![format!("~/{host}")];
        }
        names
            .into_iter()
            .map(|name| format!("{name}/{host}"))
            .collect()
    }
}

fn labels(name: &str, labels: &Labels) -> Labels {
    let mut labels = labels.clone();
    labels.insert(NAME_LABEL.into(), name.into());
    labels
}

/// Whether a Gateway allows listeners of a namespace (Istio `NamespaceAcceptedByAllowListeners`).
pub(super) fn allows_listeners(
    gateway: &ApiGateway,
    namespace: &str,
    admission: &Admission<'_>,
) -> bool {
    let allowed = gateway.spec.allowed_listeners.as_ref();
    let Some(Namespaces { from, selector }) =
        allowed.and_then(|allowed| allowed.namespaces.as_ref())
    else {
        return false;
    };
    match from {
        Some(From::All) => true,
        Some(From::Same) => namespace == gateway.metadata.namespace,
        Some(From::None) => false,
        Some(From::Selector) | None => selector
            .as_ref()
            .is_some_and(|selector| admission.selected(selector).contains(&namespace)),
    }
}
