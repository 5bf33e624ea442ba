//! The routes that are bound to each Gateway, and the workloads that see them.

mod delegates;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::listener::RouteOrder;
use super::resources::istio::{
    HttpMatch, HttpRoute, StringMatch, TcpRoute, TlsRoute, VirtualService,
};
use super::resources::{GatewayName, GatewayReference, Kind, Labels, ResourceName};
pub(crate) use delegates::Delegates;

/// Routes as istiod sees them: a VirtualService, or what istiod generates from a route of the Gateway
/// API or an Ingress.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    /// The resources that the routes are written in. istiod merges several routes of the Gateway API.
    pub(crate) sources: Vec<Arc<ResourceName>>,
    pub(crate) created: Option<DateTime<Utc>>,
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// The Gateways that the routes are bound to, with their namespaces.
    pub(crate) gateways: Vec<GatewayReference>,
    pub(crate) visibility: Visibility,
    pub(crate) origin: BindingOrigin,
    pub(crate) hosts: Vec<String>,
    pub(crate) http: Vec<HttpRoute>,
    pub(crate) tls: Vec<TlsRoute>,
    pub(crate) tcp: Vec<TcpRoute>,
}

/// The API that a [`Binding`] is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BindingOrigin {
    /// A VirtualService, or an Ingress.
    Istio,
    /// An HTTPRoute or GRPCRoute of the Gateway API.
    GatewayApi,
    /// A TLSRoute of the Gateway API.
    GatewayApiTls,
}

/// The namespaces of the workloads that see a [`Binding`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Visibility {
    Everywhere,
    Namespaces(Vec<String>),
}

impl Visibility {
    /// Reads `exportTo`, or the default of the mesh where it is empty (Istio
    /// `pilot/pkg/model/push_context.go`, `initVirtualServices`, and `virtualservice_controller.go`).
    pub(crate) fn from_export_to(
        export_to: &[String],
        namespace: &str,
        default: &[String],
    ) -> Self {
        let export_to = if export_to.is_empty() {
            default
        } else {
            export_to
        };
        // `*` takes precedence over every other entry, and `~` over names.
        if export_to.iter().any(|entry| entry == "*") {
            return Self::Everywhere;
        }
        if export_to.iter().any(|entry| entry == "~") {
            return Self::Namespaces(Vec::new());
        }
        Self::Namespaces(
            export_to
                .iter()
                .map(|entry| if entry == "." { namespace } else { entry })
                .map(str::to_owned)
                .collect(),
        )
    }

    pub(crate) fn includes(&self, namespace: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Namespaces(names) => names.iter().any(|name| name == namespace),
        }
    }
}

/// A VirtualService with the rules of its delegates; `None` for a delegate (Istio
/// `pilot/pkg/model/virtualservice_controller.go`, `mergeVirtualServices`).
pub(crate) fn binding(service: &VirtualService, delegates: &Delegates<'_>) -> Option<Binding> {
    let VirtualService { metadata, spec } = service;
    // A VirtualService without hosts only has rules for others.
    if spec.hosts.is_empty() {
        return None;
    }
    let namespace = &metadata.namespace;

    // Conditions name Gateways relative to the namespace of their VirtualService.
    let mut tls = spec.tls.clone();
    for condition in tls.iter_mut().flat_map(|rule| &mut rule.matches) {
        condition.gateways = resolved(&condition.gateways, namespace);
    }
    let mut tcp = spec.tcp.clone();
    for condition in tcp.iter_mut().flat_map(|rule| &mut rule.matches) {
        condition.gateways = resolved(&condition.gateways, namespace);
    }

    Some(Binding {
        sources: vec![Arc::new(metadata.resource(Kind::VirtualService))],
        created: metadata.creation_timestamp,
        name: metadata.name.clone(),
        namespace: namespace.clone(),
        gateways: resolved(&spec.gateways, namespace),
        visibility: Visibility::from_export_to(
            &spec.export_to,
            namespace,
            delegates.default_export_to,
        ),
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

/// The references of a VirtualService of a namespace, with namespaces.
fn resolved(references: &[GatewayReference], namespace: &str) -> Vec<GatewayReference> {
    references
        .iter()
        .map(|reference| reference.resolve(namespace))
        .collect()
}

/// The full name of a Gateway that the manifest of a VirtualService refers to, as a text.
pub(crate) fn resolve_gateway(text: &str, namespace: &str) -> String {
    GatewayReference::parse(text).resolve(namespace).to_string()
}

/// The full name of a host: a short name is a Service of the namespace (Istio
/// `pilot/pkg/model/config.go`, `ResolveShortnameToFQDN`).
fn full_name(host: &str, namespace: &str) -> String {
    // A name with a dot is complete, and one with a colon is an IPv6 address.
    if host == "*" || host.contains(['.', ':']) {
        return host.into();
    }
    format!("{host}.{namespace}.svc.cluster.local")
}

/// The position of a [`Binding`] in the [`RouteIndex`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BindingIndex(usize);

/// The routes by the Gateways that they are bound to.
pub(crate) struct RouteIndex {
    bindings: Vec<Binding>,
    by_gateway: HashMap<GatewayName, Vec<BindingIndex>>,
}

impl RouteIndex {
    pub(crate) fn new(mut bindings: Vec<Binding>) -> Self {
        // istiod sorts by creation time, then name, then namespace (`sortConfigByCreationTime`).
        bindings.sort_by(|a, b| {
            (a.created, &a.name, &a.namespace).cmp(&(b.created, &b.name, &b.namespace))
        });
        let mut by_gateway: HashMap<GatewayName, Vec<BindingIndex>> = HashMap::new();
        for (index, binding) in bindings.iter().enumerate() {
            for reference in &binding.gateways {
                // Routes of the mesh apply to sidecars only.
                if let GatewayReference::Qualified(gateway) = reference {
                    by_gateway
                        .entry(gateway.clone())
                        .or_default()
                        .push(BindingIndex(index));
                }
            }
        }
        Self {
            bindings,
            by_gateway,
        }
    }

    /// The routes that are bound to a Gateway and that a workload sees, by precedence (Istio
    /// `pilot/pkg/model/push_context.go`, `VirtualServicesForGateway`).
    pub(crate) fn bound_to(
        &self,
        gateway: &GatewayName,
        workload_namespace: &str,
    ) -> Vec<(BindingIndex, &Binding)> {
        let mut visible: Vec<(BindingIndex, &Binding)> = self
            .by_gateway
            .get(gateway)
            .into_iter()
            .flatten()
            .filter_map(|index| Some((*index, self.bindings.get(index.0)?)))
            .filter(|(_, binding)| binding.visibility.includes(workload_namespace))
            .collect();
        // The sort is stable: within a class the oldest stays first.
        visible.sort_by_key(|(_, binding)| binding.precedence(workload_namespace));
        visible
    }
}

/// A condition of a rule of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    /// The index of the rule in its list, into which the rules of delegates are inserted.
    pub route: usize,
    /// The index of the condition in the rule; `None` for a rule without conditions.
    pub condition: Option<usize>,
}

/// The proxy and server that istiod evaluates the conditions of routes for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProxyContext<'w> {
    pub(crate) namespace: &'w str,
    pub(crate) labels: &'w Labels,
    pub(crate) gateway: &'w GatewayName,
    /// The port of the Gateway.
    pub(crate) port: u16,
}

impl Binding {
    /// The class of the routes for a workload, the first class first: routes that are exported to named
    /// namespaces precede public ones, and among both the workload's own precede others. For public
    /// routes istiod makes that difference only for the Gateway API.
    fn precedence(&self, workload_namespace: &str) -> u8 {
        let is_own = self.namespace == workload_namespace;
        match (&self.visibility, self.origin) {
            (Visibility::Namespaces(_), _) if is_own => 0,
            (Visibility::Namespaces(_), _) => 1,
            (Visibility::Everywhere, BindingOrigin::GatewayApi | BindingOrigin::GatewayApiTls)
                if is_own =>
            {
                2
            }
            (
                Visibility::Everywhere,
                BindingOrigin::GatewayApi | BindingOrigin::GatewayApiTls | BindingOrigin::Istio,
            ) => 3,
        }
    }

    /// The rules that apply at a port of a Gateway (Istio `pilot/pkg/networking/core/route/route.go`,
    /// `BuildHTTPRoutesForVirtualService`).
    pub(crate) fn rules(&self, context: ProxyContext<'_>) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (route, http) in self.http.iter().enumerate() {
            // A rule without conditions matches every request, so Envoy never reaches those after it.
            if http.matches.is_empty() {
                rules.push(Rule {
                    route,
                    condition: None,
                });
                return rules;
            }
            for (index, condition) in http.matches.iter().enumerate() {
                if http_applies(condition, context) {
                    rules.push(Rule {
                        route,
                        condition: Some(index),
                    });
                }
            }
        }
        rules
    }
}

impl Binding {
    /// What decides the order of some of the rules among the rules of other VirtualServices; `None` if
    /// that is not known.
    pub(crate) fn order(&self, rules: &[Rule]) -> Option<RouteOrder> {
        let of_delegate = |rule: &Rule| {
            self.http
                .get(rule.route)
                .is_none_or(|http| http.delegate.is_some())
        };
        // The conditions of a delegate are not merged with all conditions of its root.
        if self.origin != BindingOrigin::Istio || rules.iter().any(of_delegate) {
            return None;
        }
        let catch_all = rules.iter().position(|rule| {
            is_for_all(rule.condition.and_then(|index| {
                let http = self.http.get(rule.route)?;
                http.matches.get(index)
            }))
        });
        Some(RouteOrder {
            created: self.created?,
            catch_all,
        })
    }
}

/// Whether a condition matches every request (Istio `IsCatchAllRoute`).
pub(crate) fn is_for_all(condition: Option<&HttpMatch>) -> bool {
    let Some(condition) = condition else {
        return true;
    };
    has_all_paths(condition.uri.as_ref())
        && condition.headers.is_empty()
        && condition.without_headers.is_empty()
        && condition.query_params.is_empty()
        && condition.method.is_none()
        && condition.authority.is_none()
        && condition.scheme.is_none()
}

pub(crate) fn has_all_paths(uri: Option<&StringMatch>) -> bool {
    uri.is_none_or(|uri| {
        uri.prefix == "/"
            || uri.regex == ".*"
            || (uri.prefix.is_empty() && uri.regex.is_empty() && uri.exact.is_empty())
    })
}

/// Whether a condition on requests can hold at the proxy (Istio `sourceMatchHTTP`).
fn http_applies(condition: &HttpMatch, context: ProxyContext<'_>) -> bool {
    if condition.port != 0 && condition.port != context.port {
        return false;
    }
    // Where a condition names Gateways, istiod ignores the labels and the namespace of the source.
    if !condition.gateways.is_empty() {
        return includes(&condition.gateways, context.gateway);
    }
    let has_labels = condition
        .source_labels
        .iter()
        .all(|(key, value)| context.labels.get(key) == Some(value));
    let namespace = &condition.source_namespace;
    has_labels && (namespace.is_empty() || namespace == context.namespace)
}

/// Whether a condition on connections can hold at the proxy (Istio
/// `pilot/pkg/networking/core/gateway.go`, `l4SingleMatch`).
pub(crate) fn l4_applies(
    gateways: &[GatewayReference],
    port: u16,
    context: ProxyContext<'_>,
) -> bool {
    // An empty list matches every Gateway that the VirtualService is bound to.
    (port == 0 || port == context.port)
        && (gateways.is_empty() || includes(gateways, context.gateway))
}

fn includes(references: &[GatewayReference], gateway: &GatewayName) -> bool {
    references.iter().any(|reference| reference.is(gateway))
}

#[cfg(test)]
mod tests {
    use super::{ProxyContext, Visibility, full_name, http_applies};
    use crate::resources::istio::HttpMatch;
    use crate::resources::{GatewayName, GatewayReference, Labels};

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

    #[test]
    fn namespaces_that_see_a_virtual_service() {
        for (export_to, shop, other) in [
            (&[][..], true, true),
            (&["*"], true, true),
            (&[".", "*"], true, true),
            (&["."], true, false),
            (&["other"], false, true),
            (&["~"], false, false),
            (&["other", "~"], false, false),
        ] {
            let export_to: Vec<String> = export_to.iter().map(ToString::to_string).collect();
            let visibility = Visibility::from_export_to(&export_to, "shop", &["*".into()]);
            assert_eq!(visibility.includes("shop"), shop, "{export_to:?}");
            assert_eq!(visibility.includes("other"), other, "{export_to:?}");
        }
    }

    #[test]
    fn the_mesh_has_a_default_for_export_to() {
        for (export_to, default, shop, other) in [
            (&[][..], ".", true, false),
            (&["*"], ".", true, true),
            (&[], "other", false, true),
            (&[], "~", false, false),
            (&["."], "*", true, false),
        ] {
            let export_to: Vec<String> = export_to.iter().map(ToString::to_string).collect();
            let visibility = Visibility::from_export_to(&export_to, "shop", &[default.into()]);
            assert_eq!(visibility.includes("shop"), shop, "{export_to:?} {default}");
            assert_eq!(
                visibility.includes("other"),
                other,
                "{export_to:?} {default}"
            );
        }
    }

    #[track_caller]
    fn check_condition(condition: &HttpMatch, expected: bool) {
        let context = ProxyContext {
            namespace: "istio-system",
            labels: &Labels::from([("istio".into(), "ingressgateway".into())]),
            gateway: &GatewayName::new("shop", "public"),
            port: 443,
        };
        assert_eq!(http_applies(condition, context), expected, "{condition:?}");
    }

    #[test]
    fn conditions_on_the_proxy() {
        check_condition(&HttpMatch::default(), true);
        for (port, expected) in [(443, true), (80, false)] {
            let condition = HttpMatch {
                port,
                ..HttpMatch::default()
            };
            check_condition(&condition, expected);
        }
        for (namespace, expected) in [("istio-system", true), ("shop", false)] {
            let condition = HttpMatch {
                source_namespace: namespace.into(),
                ..HttpMatch::default()
            };
            check_condition(&condition, expected);
        }
        for (gateway, expected) in [
            ("shop/public", true),
            ("shop/other", false),
            ("mesh", false),
        ] {
            let condition = HttpMatch {
                gateways: vec![GatewayReference::parse(gateway)],
                // Not looked at, since the condition names Gateways.
                source_namespace: "elsewhere".into(),
                ..HttpMatch::default()
            };
            check_condition(&condition, expected);
        }
    }
}
