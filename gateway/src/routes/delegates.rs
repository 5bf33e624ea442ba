//! Rules that a VirtualService leaves to another one (Istio `pilot/pkg/model/virtualservice.go`,
//! `MergeHTTPRoutes`).

use std::collections::{BTreeMap, HashMap};

use super::{Visibility, resolve_gateway};
use crate::resources::istio::{HttpMatch, HttpRoute, StringMatch, VirtualService};

/// The VirtualServices without hosts.
pub(crate) struct Delegates<'r> {
    by_name: HashMap<(&'r str, &'r str), &'r VirtualService>,
}

impl<'r> Delegates<'r> {
    pub(crate) fn new(services: &'r [VirtualService]) -> Self {
        let delegates = services
            .iter()
            .filter(|service| service.spec.hosts.is_empty());
        let named = delegates.map(|delegate| {
            let metadata = &delegate.metadata;
            (
                (metadata.namespace.as_str(), metadata.name.as_str()),
                delegate,
            )
        });
        Self {
            by_name: named.collect(),
        }
    }

    /// The rules of a VirtualService, with those of delegates in their places. A delegate that is not
    /// there, or is not exported to the root, has none.
    pub(super) fn merge(&self, root: &VirtualService) -> Vec<HttpRoute> {
        let namespace = &root.metadata.namespace;
        let mut merged = Vec::with_capacity(root.spec.http.len());
        for route in &root.spec.http {
            let route = resolved(route, namespace);
            let Some(named) = &route.delegate else {
                merged.push(route);
                continue;
            };
            let of = if named.namespace.is_empty() {
                namespace
            } else {
                &named.namespace
            };
            let Some(delegate) = self.by_name.get(&(of.as_str(), named.name.as_str())) else {
                continue;
            };
            if Visibility::of(&delegate.spec.export_to, of).includes(namespace) {
                let rules = delegate.spec.http.iter().map(|rule| resolved(rule, of));
                merged.extend(rules.filter_map(|rule| merge_rule(&route, rule)));
            }
        }
        merged
    }
}

fn resolved(route: &HttpRoute, namespace: &str) -> HttpRoute {
    let mut route = route.clone();
    for gateway in route
        .matches
        .iter_mut()
        .flat_map(|found| &mut found.gateways)
    {
        *gateway = resolve_gateway(gateway, namespace);
    }
    route
}

/// A rule of a delegate with the conditions of the root; `None` where one contradicts the other.
fn merge_rule(root: &HttpRoute, mut rule: HttpRoute) -> Option<HttpRoute> {
    rule.delegate = None;
    if root.matches.is_empty() {
        return Some(rule);
    }
    if rule.matches.is_empty() {
        rule.matches.clone_from(&root.matches);
        return Some(rule);
    }
    let mut matches = Vec::new();
    for own in &rule.matches {
        let fitting = root.matches.iter().filter(|outer| !conflicts(outer, own));
        let before = matches.len();
        matches.extend(fitting.map(|outer| merge_match(outer, own)));
        if matches.len() == before {
            return None;
        }
    }
    Some(HttpRoute { matches, ..rule })
}

/// What decides whether the rule applies; what only decides about paths may stay as it is.
fn merge_match(outer: &HttpMatch, own: &HttpMatch) -> HttpMatch {
    let mut merged = own.clone();
    if merged.port == 0 {
        merged.port = outer.port;
    }
    if merged.gateways.is_empty() {
        merged.gateways.clone_from(&outer.gateways);
    }
    if merged.source_namespace.is_empty() {
        merged.source_namespace.clone_from(&outer.source_namespace);
    }
    for (key, value) in &outer.source_labels {
        merged
            .source_labels
            .entry(key.clone())
            .or_insert_with(|| value.clone());
    }
    merged
}

/// Istio `hasConflict`.
fn conflicts(outer: &HttpMatch, own: &HttpMatch) -> bool {
    let texts = [
        (&outer.uri, &own.uri),
        (&outer.scheme, &own.scheme),
        (&outer.method, &own.method),
        (&outer.authority, &own.authority),
    ];
    let mut texts = texts
        .into_iter()
        .map(|(outer, own)| text_conflicts(outer.as_ref(), own.as_ref()));
    let labels = |key: &String, value: &String| {
        outer
            .source_labels
            .get(key)
            .is_some_and(|outer| outer != value)
    };
    texts.any(|conflict| conflict)
        || map_conflicts(&outer.headers, &own.headers)
        || map_conflicts(&outer.without_headers, &own.without_headers)
        || map_conflicts(&outer.query_params, &own.query_params)
        || outer.ignore_uri_case != own.ignore_uri_case
        || (outer.port != 0 && own.port != 0 && outer.port != own.port)
        || (!outer.source_namespace.is_empty() && outer.source_namespace != own.source_namespace)
        || own
            .source_labels
            .iter()
            .any(|(key, value)| labels(key, value))
        || gateways_conflict(&outer.gateways, &own.gateways)
}

fn gateways_conflict(outer: &[String], own: &[String]) -> bool {
    let both = !outer.is_empty() && !own.is_empty();
    both && (outer.len() < own.len() || own.iter().any(|gateway| !outer.contains(gateway)))
}

fn map_conflicts(
    outer: &BTreeMap<String, StringMatch>,
    own: &BTreeMap<String, StringMatch>,
) -> bool {
    own.iter()
        .any(|(key, text)| text_conflicts(outer.get(key), Some(text)))
}

/// Istio `stringMatchConflict`: the delegate's text is to be a part of the root's.
fn text_conflicts(outer: Option<&StringMatch>, own: Option<&StringMatch>) -> bool {
    let (Some(outer), Some(own)) = (outer, own) else {
        return false;
    };
    let has_any = |text: &StringMatch| {
        !(text.regex.is_empty() && text.prefix.is_empty() && text.exact.is_empty())
    };
    let regexes =
        (!outer.regex.is_empty() && has_any(own)) || (!own.regex.is_empty() && has_any(outer));
    if regexes {
        return true;
    }
    if !outer.exact.is_empty() {
        return !own.prefix.is_empty() || own.exact != outer.exact;
    }
    if outer.prefix.is_empty() {
        return true;
    }
    match (own.prefix.as_str(), own.exact.as_str()) {
        ("", "") => true,
        ("", exact) => !exact.starts_with(&outer.prefix),
        (prefix, _) => !prefix.starts_with(&outer.prefix),
    }
}
