//! Rules that a VirtualService delegates to another one (Istio `pilot/pkg/model/virtualservice.go`,
//! `MergeHTTPRoutes`).

use std::collections::{BTreeMap, HashMap};

use super::{Visibility, resolved};
use crate::resources::istio::{HttpMatch, HttpRoute, StringMatch, VirtualService};
use crate::resources::{GatewayReference, Labels};

/// The VirtualServices without hosts, by namespace and name.
pub(crate) struct Delegates<'r> {
    by_name: HashMap<(&'r str, &'r str), &'r VirtualService>,
    /// The namespaces that see a VirtualService without `exportTo`.
    pub(super) default_export_to: &'r [String],
}

impl<'r> Delegates<'r> {
    pub(crate) fn new(services: &'r [VirtualService], default_export_to: &'r [String]) -> Self {
        let mut by_name = HashMap::new();
        for service in services {
            if service.spec.hosts.is_empty() {
                let metadata = &service.metadata;
                by_name.insert(
                    (metadata.namespace.as_str(), metadata.name.as_str()),
                    service,
                );
            }
        }
        Self {
            by_name,
            default_export_to,
        }
    }

    /// The rules of a VirtualService. Each rule with a delegate is replaced by the rules of the delegate,
    /// and is left out if the delegate does not exist or is not exported to the root.
    pub(super) fn merge(&self, root: &VirtualService) -> Vec<HttpRoute> {
        let root_namespace = root.metadata.namespace.as_str();
        let mut merged = Vec::with_capacity(root.spec.http.len());
        for rule in &root.spec.http {
            let rule = with_resolved_gateways(rule, root_namespace);
            let Some(reference) = &rule.delegate else {
                merged.push(rule);
                continue;
            };
            // A delegate without a namespace is in the namespace of the root.
            let namespace = match reference.namespace.as_str() {
                "" => root_namespace,
                namespace => namespace,
            };
            let Some(delegate) = self.by_name.get(&(namespace, reference.name.as_str())) else {
                continue;
            };
            let visibility = Visibility::from_export_to(
                &delegate.spec.export_to,
                namespace,
                self.default_export_to,
            );
            if !visibility.includes(root_namespace) {
                continue;
            }
            merged.extend(
                delegate
                    .spec
                    .http
                    .iter()
                    .map(|own| with_resolved_gateways(own, namespace))
                    .filter_map(|own| merge_rule(&rule, own)),
            );
        }
        merged
    }
}

/// A rule whose conditions name Gateways with their namespaces.
fn with_resolved_gateways(rule: &HttpRoute, namespace: &str) -> HttpRoute {
    let mut rule = rule.clone();
    for condition in &mut rule.matches {
        condition.gateways = resolved(&condition.gateways, namespace);
    }
    rule
}

/// A rule of a delegate with the conditions of the root; `None` if a condition of the delegate
/// contradicts all conditions of the root (Istio `mergeHTTPRoute`).
fn merge_rule(root: &HttpRoute, mut rule: HttpRoute) -> Option<HttpRoute> {
    // istiod follows one level of delegates, so the rule only keeps where it comes from.
    rule.delegate.clone_from(&root.delegate);
    if root.matches.is_empty() {
        return Some(rule);
    }
    if rule.matches.is_empty() {
        rule.matches.clone_from(&root.matches);
        return Some(rule);
    }
    // Each condition of the delegate is combined with each one of the root. One that fits none makes
    // istiod drop the whole rule.
    let mut matches = Vec::new();
    for own in &rule.matches {
        let count_before = matches.len();
        matches.extend(
            root.matches
                .iter()
                .filter(|outer| !conflicts(outer, own))
                .map(|outer| merge_match(outer, own)),
        );
        if matches.len() == count_before {
            return None;
        }
    }
    Some(HttpRoute { matches, ..rule })
}

/// A condition of a delegate with what the root adds to it (Istio `mergeHTTPMatchRequest`). Only the
/// fields that select the proxy are merged: the others do not decide whether a rule applies there.
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

/// Whether a condition of the root and one of the delegate contradict each other (Istio `hasConflict`).
fn conflicts(outer: &HttpMatch, own: &HttpMatch) -> bool {
    text_conflicts(outer.uri.as_ref(), own.uri.as_ref())
        || text_conflicts(outer.scheme.as_ref(), own.scheme.as_ref())
        || text_conflicts(outer.method.as_ref(), own.method.as_ref())
        || text_conflicts(outer.authority.as_ref(), own.authority.as_ref())
        || map_conflicts(&outer.headers, &own.headers)
        || map_conflicts(&outer.without_headers, &own.without_headers)
        || map_conflicts(&outer.query_params, &own.query_params)
        || outer.ignore_uri_case != own.ignore_uri_case
        || (outer.port != 0 && own.port != 0 && outer.port != own.port)
        || (!outer.source_namespace.is_empty() && outer.source_namespace != own.source_namespace)
        || labels_conflict(&outer.source_labels, &own.source_labels)
        || gateways_conflict(&outer.gateways, &own.gateways)
}

/// Whether two conditions require different values of one label.
fn labels_conflict(outer: &Labels, own: &Labels) -> bool {
    own.iter()
        .any(|(key, value)| outer.get(key).is_some_and(|required| required != value))
}

/// Whether the delegate names a Gateway that the root does not name.
fn gateways_conflict(outer: &[GatewayReference], own: &[GatewayReference]) -> bool {
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

/// Whether the text of the delegate matches anything that the text of the root does not (Istio
/// `stringMatchConflict`).
fn text_conflicts(outer: Option<&StringMatch>, own: Option<&StringMatch>) -> bool {
    let (Some(outer), Some(own)) = (outer, own) else {
        return false;
    };
    // istiod does not compare regular expressions: one beside any other condition is a conflict.
    if (!outer.regex.is_empty() && !is_unset(own)) || (!own.regex.is_empty() && !is_unset(outer)) {
        return true;
    }
    // An exact text of the root permits only the same text.
    if !outer.exact.is_empty() {
        return !own.prefix.is_empty() || own.exact != outer.exact;
    }
    if outer.prefix.is_empty() {
        return true;
    }
    // A prefix of the root must be the beginning of what the delegate matches.
    match (own.prefix.as_str(), own.exact.as_str()) {
        ("", "") => true,
        ("", exact) => !exact.starts_with(&outer.prefix),
        (prefix, _) => !prefix.starts_with(&outer.prefix),
    }
}

fn is_unset(text: &StringMatch) -> bool {
    text.regex.is_empty() && text.prefix.is_empty() && text.exact.is_empty()
}

#[cfg(test)]
mod tests {
    use super::{Delegates, text_conflicts};
    use crate::resources::Metadata;
    use crate::resources::istio::{
        Delegate, HttpMatch, HttpRoute, StringMatch, VirtualService, VirtualServiceSpec,
    };

    fn text(kind: &str, value: &str) -> StringMatch {
        let mut text = StringMatch::default();
        match kind {
            "exact" => text.exact = value.into(),
            "prefix" => text.prefix = value.into(),
            _ => text.regex = value.into(),
        }
        text
    }

    #[test]
    fn texts_of_root_and_delegate() {
        for (outer, own, expected) in [
            (("exact", "/a"), ("exact", "/a"), false),
            (("exact", "/a"), ("exact", "/b"), true),
            (("exact", "/a"), ("prefix", "/a"), true),
            (("prefix", "/a"), ("prefix", "/a/b"), false),
            (("prefix", "/a"), ("exact", "/a/b"), false),
            (("prefix", "/a/b"), ("prefix", "/a"), true),
            (("prefix", "/a"), ("regex", "/a.*"), true),
            (("regex", "/a.*"), ("exact", "/a"), true),
        ] {
            let (outer, own) = (text(outer.0, outer.1), text(own.0, own.1));
            let found = text_conflicts(Some(&outer), Some(&own));
            assert_eq!(found, expected, "{outer:?} {own:?}");
        }
        assert!(!text_conflicts(None, Some(&text("exact", "/a"))));
    }

    fn on_port(port: u16) -> HttpRoute {
        HttpRoute {
            matches: vec![HttpMatch {
                port,
                ..HttpMatch::default()
            }],
            delegate: None,
        }
    }

    fn service(namespace: &str, export_to: &[&str], http: Vec<HttpRoute>) -> VirtualService {
        VirtualService {
            metadata: Metadata {
                name: "service".into(),
                namespace: namespace.into(),
                ..Metadata::default()
            },
            spec: VirtualServiceSpec {
                http,
                export_to: export_to.iter().map(ToString::to_string).collect(),
                ..VirtualServiceSpec::default()
            },
        }
    }

    /// The ports in the rules of a root in `shop` with one delegate in `other`.
    fn merged_ports(root_port: u16, delegate: VirtualService) -> Vec<u16> {
        let mut rule = on_port(root_port);
        rule.delegate = Some(Delegate {
            name: "service".into(),
            namespace: "other".into(),
        });
        let services = [delegate];
        Delegates::new(&services, &["*".to_owned()])
            .merge(&service("shop", &[], vec![rule]))
            .iter()
            .flat_map(|rule| &rule.matches)
            .map(|condition| condition.port)
            .collect()
    }

    #[test]
    fn rules_of_a_delegate_replace_the_rule_of_the_root() {
        let rules = || vec![on_port(443), on_port(8443), HttpRoute::default()];
        let exported = |to: &[&str]| service("other", to, rules());
        // The rule for 8443 contradicts the root; the rule without conditions takes the root's.
        assert_eq!(merged_ports(443, exported(&[])), [443, 443]);
        assert_eq!(merged_ports(443, exported(&["shop"])), [443, 443]);
        assert_eq!(merged_ports(0, exported(&[])), [443, 8443, 0]);
        // The root does not see the delegate, or there is none of this name.
        assert_eq!(merged_ports(443, exported(&["."])), [0_u16; 0]);
        assert_eq!(
            merged_ports(443, service("elsewhere", &[], rules())),
            [0_u16; 0]
        );
    }
}
