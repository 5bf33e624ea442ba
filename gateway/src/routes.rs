//! Which routes are bound to which Gateway, and who sees them.

mod delegates;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::resources::istio::{HttpMatch, HttpRoute, TcpRoute, TlsRoute, VirtualService};
use super::resources::{Kind, Labels, ResourceName};
pub(crate) use delegates::Delegates;

/// Routes as istiod sees them: a VirtualService, or what stands for one.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    /// What they were written as; several routes of the Gateway API may become one.
    pub(crate) sources: Vec<Arc<ResourceName>>,
    pub(crate) created: Option<DateTime<Utc>>,
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// The Gateways they are bound to, `namespace/name`.
    pub(crate) gateways: Vec<String>,
    pub(crate) visibility: Visibility,
    /// Whether they come from the Gateway API, and among them from a TLSRoute.
    pub(crate) origin: BindingOrigin,
    pub(crate) hosts: Vec<String>,
    pub(crate) http: Vec<HttpRoute>,
    pub(crate) tls: Vec<TlsRoute>,
    pub(crate) tcp: Vec<TcpRoute>,
}

/// What a [`Binding`] was written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BindingOrigin {
    Istio,
    GatewayApi,
    GatewayApiTls,
}

/// The namespaces of the workloads that see a [`Binding`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Visibility {
    Everywhere,
    Namespaces(Vec<String>),
}

impl Visibility {
    /// Reads `exportTo` (Istio `pilot/pkg/model/push_context.go`, `initVirtualServices`).
    pub(crate) fn of(export_to: &[String], namespace: &str) -> Self {
        let has = |text: &str| export_to.iter().any(|entry| entry == text);
        if export_to.is_empty() || has("*") {
            return Self::Everywhere;
        }
        if has("~") {
            return Self::Namespaces(Vec::new());
        }
        let named = |entry: &String| {
            if entry == "." {
                namespace.into()
            } else {
                entry.clone()
            }
        };
        Self::Namespaces(export_to.iter().map(named).collect())
    }

    pub(crate) fn includes(&self, namespace: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Namespaces(names) => names.iter().any(|name| name == namespace),
        }
    }
}

/// A VirtualService with the routes of its delegates; `None` for a delegate (Istio
/// `pilot/pkg/model/virtualservice_controller.go`, `mergeVirtualServices`).
pub(crate) fn binding(service: &VirtualService, delegates: &Delegates<'_>) -> Option<Binding> {
    let VirtualService { metadata, spec } = service;
    if spec.hosts.is_empty() {
        return None;
    }
    let namespace = &metadata.namespace;
    let resolve = |gateways: &[String]| -> Vec<String> {
        gateways
            .iter()
            .map(|gateway| resolve_gateway(gateway, namespace))
            .collect()
    };
    let mut tls = spec.tls.clone();
    for found in tls.iter_mut().flat_map(|route| &mut route.matches) {
        found.gateways = resolve(&found.gateways);
    }
    let mut tcp = spec.tcp.clone();
    for found in tcp.iter_mut().flat_map(|route| &mut route.matches) {
        found.gateways = resolve(&found.gateways);
    }
    Some(Binding {
        sources: vec![Arc::new(metadata.resource(Kind::VirtualService))],
        created: metadata.creation_timestamp,
        name: metadata.name.clone(),
        namespace: namespace.clone(),
        gateways: resolve(&spec.gateways),
        visibility: Visibility::of(&spec.export_to, namespace),
        origin: BindingOrigin::Istio,
        hosts: spec
            .hosts
            .iter()
            .map(|host| full_name(host.as_str(), namespace))
            .collect(),
        http: delegates.merge(service),
        tls,
        tcp,
    })
}

/// `name`, `namespace/name`, `./name` or the legacy `name.namespace.svc…` (Istio
/// `pilot/pkg/model/config.go`, `resolveGatewayName`).
pub(crate) fn resolve_gateway(text: &str, namespace: &str) -> String {
    if text == "mesh" {
        return text.into();
    }
    match (text.split_once('/'), text.split_once('.')) {
        (Some((".", name)), _) => format!("{namespace}/{name}"),
        (Some(_), _) => text.into(),
        (None, None) => format!("{namespace}/{text}"),
        (None, Some((name, rest))) => {
            let namespace = rest
                .split_once('.')
                .map_or(rest, |(namespace, _)| namespace);
            format!("{namespace}/{name}")
        }
    }
}

/// A short name is a Service of the namespace (Istio `pilot/pkg/model/config.go`,
/// `ResolveShortnameToFQDN`).
fn full_name(host: &str, namespace: &str) -> String {
    if host == "*" || host.contains(['.', ':']) {
        return host.into();
    }
    format!("{host}.{namespace}.svc.cluster.local")
}

/// The routes by the Gateways they are bound to.
pub(crate) struct RouteIndex {
    bindings: Vec<Binding>,
    by_gateway: HashMap<String, Vec<usize>>,
}

impl RouteIndex {
    pub(crate) fn new(mut bindings: Vec<Binding>) -> Self {
        bindings.sort_by(|a, b| {
            let age = |binding: &'_ Binding| binding.created;
            let order = age(a).cmp(&age(b)).then_with(|| a.name.cmp(&b.name));
            order.then_with(|| a.namespace.cmp(&b.namespace))
        });
        let mut by_gateway: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, binding) in bindings.iter().enumerate() {
            for gateway in &binding.gateways {
                by_gateway.entry(gateway.clone()).or_default().push(at);
            }
        }
        Self {
            bindings,
            by_gateway,
        }
    }

    /// The routes bound to a Gateway that a workload sees, in the order in which they count (Istio
    /// `pilot/pkg/model/push_context.go`, `VirtualServicesForGateway`).
    pub(crate) fn bound_to(&self, gateway: &str, workload_namespace: &str) -> Vec<&Binding> {
        let found = self.by_gateway.get(gateway).into_iter().flatten();
        let bindings = found.filter_map(|at| self.bindings.get(*at));
        let visible = |binding: &&Binding| binding.visibility.includes(workload_namespace);
        let mut visible: Vec<&Binding> = bindings.filter(visible).collect();
        visible.sort_by_key(|binding| {
            let is_own = binding.namespace == workload_namespace;
            match (&binding.visibility, binding.origin, is_own) {
                (Visibility::Namespaces(_), _, true) => 0,
                (Visibility::Namespaces(_), _, false) => 1,
                (_, BindingOrigin::GatewayApi | BindingOrigin::GatewayApiTls, true) => 2,
                _ => 3,
            }
        });
        visible
    }
}

/// One condition of one rule of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    /// The place of the rule in its list, that of its delegates included.
    pub route: usize,
    /// The place of the condition in the rule; `None` for a rule without one.
    pub condition: Option<usize>,
}

/// A workload, as routes may ask for one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking<'w> {
    pub(crate) namespace: &'w str,
    pub(crate) labels: &'w Labels,
    pub(crate) gateway: &'w str,
    pub(crate) port: u16,
}

impl Binding {
    /// The rules that apply at a port of a Gateway (Istio `pilot/pkg/networking/core/route/route.go`,
    /// `BuildHTTPRoutesForVirtualService`).
    pub(crate) fn rules(&self, asking: Asking<'_>) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (route, http) in self.http.iter().enumerate() {
            if http.matches.is_empty() {
                // Nothing gets past a rule for everything.
                rules.push(Rule {
                    route,
                    condition: None,
                });
                return rules;
            }
            let applying = http
                .matches
                .iter()
                .enumerate()
                .filter(|(_, found)| applies(found, asking));
            rules.extend(applying.map(|(at, _)| Rule {
                route,
                condition: Some(at),
            }));
        }
        rules
    }
}

/// Whether a condition holds of the workload (Istio `sourceMatchHTTP`).
fn applies(found: &HttpMatch, asking: Asking<'_>) -> bool {
    if found.port != 0 && found.port != asking.port {
        return false;
    }
    if !found.gateways.is_empty() {
        return found
            .gateways
            .iter()
            .any(|gateway| gateway == asking.gateway);
    }
    let labels = found.source_labels.iter();
    let mut labels = labels.map(|(key, value)| asking.labels.get(key) == Some(value));
    let namespace = &found.source_namespace;
    labels.all(|holds| holds) && (namespace.is_empty() || namespace == asking.namespace)
}

/// Whether a condition on connections holds at a port of a Gateway (Istio
/// `pilot/pkg/networking/core/gateway.go`, `l4SingleMatch`).
pub(crate) fn l4_applies(gateways: &[String], port: u16, asking: Asking<'_>) -> bool {
    let right_gateway = || gateways.iter().any(|gateway| gateway == asking.gateway);
    (port == 0 || port == asking.port) && (gateways.is_empty() || right_gateway())
}

#[cfg(test)]
mod tests {
    use super::{full_name, resolve_gateway};

    #[test]
    fn gateways_of_routes() {
        for (text, expected) in [
            ("mesh", "mesh"),
            ("public", "shop/public"),
            ("./public", "shop/public"),
            ("other/public", "other/public"),
            ("public.other", "other/public"),
            ("public.other.svc.cluster.local", "other/public"),
        ] {
            assert_eq!(resolve_gateway(text, "shop"), expected, "{text}");
        }
    }

    #[test]
    fn short_names_are_services() {
        for (host, expected) in [
            ("cart", "cart.shop.svc.cluster.local"),
            ("a.example.com", "a.example.com"),
            ("*", "*"),
            ("fd00::1", "fd00::1"),
        ] {
            assert_eq!(full_name(host, "shop"), expected, "{host}");
        }
    }
}
