//! The order of the rules in a virtual host, and the rules that no request reaches.

use crate::listener::RouteSource;
use crate::resources::istio::{HttpMatch, StringMatch};
use crate::routes::{Binding, Rule, has_all_paths, is_for_all};

/// A rule that another one hides, with the VirtualServices of both.
pub(super) struct Hidden<'i> {
    pub(super) winner: &'i RouteSource,
    pub(super) winning: &'i Binding,
    pub(super) winning_rule: Rule,
    pub(super) loser: &'i RouteSource,
    pub(super) losing: &'i Binding,
    pub(super) losing_rule: Rule,
}

/// A rule with its VirtualService. Without a condition it matches every request.
#[derive(Clone, Copy)]
struct Candidate<'i> {
    source: &'i RouteSource,
    binding: &'i Binding,
    rule: Rule,
    condition: Option<&'i HttpMatch>,
}

/// The first hidden rule of each VirtualService, whose sources are in the order of istiod.
pub(super) fn hidden_rules<'i>(sources: &[(&'i RouteSource, &'i Binding)]) -> Vec<Hidden<'i>> {
    // A single VirtualService hides no other, and nearly all virtual hosts have a single one.
    if sources.len() < 2 {
        return Vec::new();
    }
    let rules = in_order_of_envoy(sources);
    let mut hidden: Vec<Hidden<'_>> = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        if hidden
            .iter()
            .any(|known| known.loser.resource == rule.source.resource)
        {
            continue;
        }
        // Envoy uses the first rule that matches (`RouteMatcher::VirtualHostImpl::getRouteFromEntries`).
        let winner = rules.iter().take(index).find(|earlier| {
            earlier.source.resource != rule.source.resource
                && takes_all(earlier.condition, rule.condition)
        });
        if let Some(winner) = winner {
            hidden.push(Hidden {
                winner: winner.source,
                winning: winner.binding,
                winning_rule: winner.rule,
                loser: rule.source,
                losing: rule.binding,
                losing_rule: rule.rule,
            });
        }
    }
    hidden
}

/// The rules of all VirtualServices in the order of Envoy's routes. istiod appends them (Istio
/// `pilot/pkg/networking/core/gateway.go`, `buildGatewayHTTPRouteConfig`) and then moves the rules for all
/// requests to the end (`pilot/pkg/networking/core/route/route.go`, `SortVHostRoutes`).
fn in_order_of_envoy<'i>(sources: &[(&'i RouteSource, &'i Binding)]) -> Vec<Candidate<'i>> {
    let mut rules: Vec<Candidate<'_>> = Vec::new();
    for (source, binding) in sources {
        for rule in &source.rules {
            let condition = rule.condition.and_then(|index| {
                let rule = binding.http.get(rule.route)?;
                rule.matches.get(index)
            });
            rules.push(Candidate {
                source,
                binding,
                rule: *rule,
                condition,
            });
            // istiod leaves out what follows a rule for all requests in its VirtualService
            // (`BuildHTTPRoutesForVirtualService`).
            if is_for_all(condition) {
                break;
            }
        }
    }
    // The sort is stable: among the others the order remains.
    rules.sort_by_key(|rule| is_for_all(rule.condition));
    rules
}

/// Whether a rule matches all requests that another one matches.
fn takes_all(rule: Option<&HttpMatch>, other: Option<&HttpMatch>) -> bool {
    if is_for_all(rule) {
        return true;
    }
    let (Some(rule), Some(other)) = (rule, other) else {
        return false;
    };
    // Each condition of the rule must be one of the other. More conditions only make the other narrower.
    takes_all_paths(rule, other)
        && is_implied(rule.method.as_ref(), other.method.as_ref())
        && is_implied(rule.authority.as_ref(), other.authority.as_ref())
        && is_implied(rule.scheme.as_ref(), other.scheme.as_ref())
        && rule
            .headers
            .iter()
            .all(|(name, text)| other.headers.get(name) == Some(text))
        && rule
            .without_headers
            .iter()
            .all(|(name, text)| other.without_headers.get(name) == Some(text))
        && rule
            .query_params
            .iter()
            .all(|(name, text)| other.query_params.get(name) == Some(text))
}

fn is_implied(text: Option<&StringMatch>, other: Option<&StringMatch>) -> bool {
    text.is_none() || text == other
}

/// Whether the paths of a rule include all paths of another. A prefix is compared letter by letter: `/a` matches
/// `/about` (Istio `TranslateRouteMatch`).
fn takes_all_paths(rule: &HttpMatch, other: &HttpMatch) -> bool {
    if has_all_paths(rule.uri.as_ref()) {
        return true;
    }
    let (Some(uri), Some(other_uri)) = (&rule.uri, &other.uri) else {
        return false;
    };
    if rule.ignore_uri_case != other.ignore_uri_case {
        return false;
    }
    if uri == other_uri {
        return true;
    }
    // A regular expression is only compared with itself.
    !uri.prefix.is_empty()
        && other_uri.regex.is_empty()
        && (other_uri.prefix.starts_with(&uri.prefix) || other_uri.exact.starts_with(&uri.prefix))
}

#[cfg(test)]
mod tests {
    use super::takes_all;
    use crate::resources::istio::{HttpMatch, StringMatch};

    fn uri(kind: &str, value: &str) -> HttpMatch {
        let mut uri = StringMatch::default();
        match kind {
            "exact" => uri.exact = value.into(),
            "prefix" => uri.prefix = value.into(),
            _ => uri.regex = value.into(),
        }
        HttpMatch {
            uri: Some(uri),
            ..HttpMatch::default()
        }
    }

    fn with_header(mut condition: HttpMatch, value: &str) -> HttpMatch {
        let text = StringMatch {
            exact: value.into(),
            ..StringMatch::default()
        };
        condition.headers.insert("x-team".into(), text);
        condition
    }

    #[test]
    fn paths() {
        for (rule, other, expected) in [
            (uri("prefix", "/"), uri("exact", "/a"), true),
            (uri("regex", ".*"), uri("prefix", "/a"), true),
            (uri("prefix", "/a"), uri("prefix", "/a"), true),
            (uri("prefix", "/a"), uri("prefix", "/a/b"), true),
            (uri("prefix", "/a"), uri("exact", "/about"), true),
            (uri("exact", "/a"), uri("exact", "/a"), true),
            (uri("prefix", "/a/b"), uri("prefix", "/a"), false),
            (uri("prefix", "/a"), uri("prefix", "/b"), false),
            (uri("exact", "/a"), uri("prefix", "/a"), false),
            (uri("prefix", "/a"), uri("regex", "/a.*"), false),
            (uri("regex", "/a.*"), uri("prefix", "/a"), false),
            (uri("prefix", "/a"), HttpMatch::default(), false),
        ] {
            let found = takes_all(Some(&rule), Some(&other));
            assert_eq!(found, expected, "{rule:?} {other:?}");
        }
        assert!(takes_all(None, Some(&uri("exact", "/a"))));
        assert!(takes_all(None, None));
        assert!(!takes_all(Some(&uri("exact", "/a")), None));
    }

    #[test]
    fn further_conditions_make_a_rule_narrower() {
        let a = || uri("prefix", "/a");
        for (rule, other, expected) in [
            (a(), with_header(a(), "x"), true),
            (with_header(a(), "x"), with_header(a(), "x"), true),
            (with_header(a(), "x"), with_header(a(), "y"), false),
            (with_header(a(), "x"), a(), false),
            (
                HttpMatch {
                    ignore_uri_case: true,
                    ..a()
                },
                a(),
                false,
            ),
        ] {
            let found = takes_all(Some(&rule), Some(&other));
            assert_eq!(found, expected, "{rule:?} {other:?}");
        }
    }
}
