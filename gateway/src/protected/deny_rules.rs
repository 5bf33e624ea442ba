//! The rules of each AuthorizationPolicy that deny the requests of a gateway.
//!
//! A rule counts only if it denies every request of a class for certain: every spelling of an authority, on every
//! connection that leads to a filter chain. What the model cannot decide, such as a condition on the client's address,
//! means that a rule does not count.

mod pattern_index;
#[cfg(test)]
mod tests;
mod text_pattern;

use std::collections::{HashMap, HashSet};

use rule::HostPattern;

use super::DeniedRequests;
use super::connections::{ChainIndices, chains_at};
use crate::istio::Reach;
use crate::resources::authorization_policy::{PolicyCondition, PolicyOperation, PolicyRule};
use crate::resources::{Kind, ResourceName, Resources};
use crate::{FilterChain, Listener, Workload};
use pattern_index::PatternIndex;
use text_pattern::TextPattern;

/// The attribute of a condition with the SNI of the connection.
const SNI: &str = "connection.sni";

/// The attribute of a condition with the port that Envoy listens on.
const PORT: &str = "destination.port";

/// The rules that deny requests of a workload.
pub(crate) struct DenyRules {
    rules: Vec<DenyRule>,
    /// The indices of the rules, by the hosts that they deny.
    by_host: PatternIndex,
}

/// A rule for one kind of operation: it denies a request if all of its conditions match (Istio
/// `pilot/pkg/security/authz/model/model.go`, `New` and `Generate`).
struct DenyRule {
    policy: ResourceName,
    /// The hosts that it does not deny.
    not_hosts: Vec<TextPattern>,
    ports: Vec<Ports>,
    server_names: Vec<ServerNames>,
}

/// A request has to match one of the ports, if there are any, and none of the others.
struct Ports {
    values: Vec<u16>,
    not_values: Vec<u16>,
}

/// A connection has to match one of the names, if there are any, and none of the others.
struct ServerNames {
    values: Option<Names>,
    not_values: Names,
}

/// Patterns, with those for one name apart: they may be many.
struct Names {
    exact: HashSet<String>,
    wildcards: Vec<TextPattern>,
}

/// Filter chains that denied requests must not reach, with what each rule does on their connections.
pub(super) struct Place<'p> {
    rules: &'p DenyRules,
    listener: &'p Listener,
    bypasses: &'p ChainIndices,
    /// The SNIs of the connections that lead to the chains; `None` if the client sends no SNI.
    server_names: Vec<Option<TextPattern>>,
    /// For each rule that was looked at, whether it denies on the connections of each name.
    denied: HashMap<usize, Vec<bool>>,
}

impl DenyRules {
    /// The rules of the policies that istiod applies to a workload for certain.
    pub(crate) fn new(resources: &Resources, workload: &Workload) -> Self {
        let mut rules = Self {
            rules: Vec::new(),
            by_host: PatternIndex::default(),
        };
        for policy in &resources.authorization_policies {
            if policy.attachment().reach(workload) != Reach::Yes {
                continue;
            }
            let name = policy.metadata.resource(Kind::AuthorizationPolicy);
            for rule in policy.denials() {
                rules.add(&name, rule);
            }
        }
        rules
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Adds a rule, unless the model cannot decide which requests it matches.
    fn add(&mut self, policy: &ResourceName, rule: &PolicyRule) {
        if rule.has_others() {
            return;
        }
        // A rule without operations matches all requests.
        let everything = PolicyOperation::default();
        let operations: Vec<&PolicyOperation> = if rule.to.is_empty() {
            vec![&everything]
        } else {
            rule.to
                .iter()
                .filter_map(|to| to.known_operation())
                .collect()
        };
        for operation in operations {
            let Some(denying) = DenyRule::new(policy, operation, &rule.when) else {
                continue;
            };
            let index = self.rules.len();
            self.rules.push(denying);
            let hosts = lowercase(&operation.hosts);
            if hosts.is_empty() {
                self.by_host.insert(TextPattern::Any, index);
            }
            for host in hosts {
                self.by_host.insert(host, index);
            }
        }
    }

    /// The connections that lead to some filter chains of a listener.
    pub(super) fn place<'p>(
        &'p self,
        listener: &'p Listener,
        bypasses: &'p ChainIndices,
    ) -> Place<'p> {
        Place {
            rules: self,
            listener,
            bypasses,
            server_names: chains_at(listener, bypasses)
                .flat_map(server_names)
                .collect(),
            denied: HashMap::new(),
        }
    }
}

impl DenyRule {
    /// `None` if the model cannot decide which requests the rule matches.
    fn new(
        policy: &ResourceName,
        operation: &PolicyOperation,
        conditions: &[PolicyCondition],
    ) -> Option<Self> {
        let mut rule = Self {
            policy: policy.clone(),
            not_hosts: lowercase(&operation.not_hosts),
            ports: vec![Ports::new(&operation.ports, &operation.not_ports)?],
            server_names: Vec::new(),
        };
        for condition in conditions {
            let PolicyCondition {
                key,
                values,
                not_values,
                others,
            } = condition;
            match key.as_str() {
                SNI if others.is_empty() => {
                    rule.server_names.push(ServerNames::new(values, not_values));
                }
                PORT if others.is_empty() => rule.ports.push(Ports::new(values, not_values)?),
                _ => return None,
            }
        }
        Some(rule)
    }

    /// Whether the rule applies to a listener and to all texts of an authority.
    fn matches(&self, listener: &Listener, authority: &TextPattern) -> bool {
        self.ports
            .iter()
            .all(|ports| ports.match_listener(listener))
            && !self.not_hosts.iter().any(|host| host.overlaps(authority))
    }
}

/// Hosts as Envoy compares them, without regard to case.
fn lowercase(hosts: &[String]) -> Vec<TextPattern> {
    hosts
        .iter()
        .map(|host| TextPattern::new(&host.to_ascii_lowercase()))
        .collect()
}

impl Place<'_> {
    /// Adds what the rules do with the requests for a host on the connections of this place. `has_dotted` says
    /// whether its name with a trailing dot leads to the routes too.
    pub(super) fn add_to(
        &mut self,
        denied: &mut DeniedRequests,
        host: &HostPattern,
        has_dotted: bool,
    ) {
        for authority in &authorities(host, has_dotted) {
            let mut covered = vec![false; self.server_names.len()];
            for index in self.rules.by_host.covering(authority) {
                let Some(rule) = self.rules.rules.get(index) else {
                    continue;
                };
                if !rule.matches(self.listener, authority) {
                    continue;
                }
                let names = self.denied_names(index, rule);
                if names.contains(&true) {
                    denied.policies.insert(rule.policy.clone());
                }
                for (covered, is_denied) in covered.iter_mut().zip(names) {
                    *covered |= is_denied;
                }
                if !covered.contains(&false) {
                    break;
                }
            }
            // One request that is not denied is enough for a client.
            denied.are_all &= !covered.contains(&false);
        }
    }

    /// Whether a rule denies on the connections of each name.
    fn denied_names(&mut self, index: usize, rule: &DenyRule) -> &[bool] {
        let (listener, bypasses, names) = (self.listener, self.bypasses, &self.server_names);
        self.denied.entry(index).or_insert_with(|| {
            let mut denied = vec![true; names.len()];
            for condition in &rule.server_names {
                let found = condition.denied(names, listener, bypasses);
                for (denied, found) in denied.iter_mut().zip(found) {
                    *denied &= found;
                }
            }
            denied
        })
    }
}

/// The SNIs of the connections that lead to a filter chain.
fn server_names(chain: &FilterChain) -> Vec<Option<TextPattern>> {
    let names = chain
        .server_names
        .iter()
        .map(|name| Some(TextPattern::from(name)));
    // Envoy uses the chain with `*` for connections without SNI.
    let absent = chain
        .server_names
        .contains(&HostPattern::Any)
        .then_some(None);
    names.chain(absent).collect()
}

/// The authorities that Envoy routes to a host: with and without port, and with a trailing dot, if that finds the
/// routes too. Envoy cuts the authority at its last colon, whatever follows.
fn authorities(host: &HostPattern, has_dotted: bool) -> Vec<TextPattern> {
    let names = match host {
        HostPattern::Exact(_) if has_dotted => vec![host.to_string(), format!("{host}.")],
        HostPattern::Exact(_) => vec![host.to_string()],
        // With a port both ends are variable, so only a rule for any authority denies all of them.
        HostPattern::Suffix(_) | HostPattern::Any => {
            return vec![TextPattern::from(host), TextPattern::Any];
        }
    };
    names
        .into_iter()
        .flat_map(|name| {
            [
                TextPattern::Prefix(format!("{name}:")),
                TextPattern::Exact(name),
            ]
        })
        .collect()
}

impl Ports {
    /// `None` if a text is not a port: the API server refuses it.
    fn new(values: &[String], not_values: &[String]) -> Option<Self> {
        let numbers = |texts: &[String]| -> Option<Vec<u16>> {
            texts.iter().map(|text| text.parse().ok()).collect()
        };
        Some(Self {
            values: numbers(values)?,
            not_values: numbers(not_values)?,
        })
    }

    fn match_listener(&self, listener: &Listener) -> bool {
        let Self { values, not_values } = self;
        let is_for_all = values.is_empty() && not_values.is_empty();
        // A Service that is not in the input may map the port to another.
        is_for_all
            || (listener.port_is_certain
                && (values.is_empty() || values.contains(&listener.port))
                && !not_values.contains(&listener.port))
    }
}

impl ServerNames {
    fn new(values: &[String], not_values: &[String]) -> Self {
        Self {
            values: (!values.is_empty()).then(|| Names::new(values)),
            not_values: Names::new(not_values),
        }
    }

    /// For each name, whether the condition matches all of its connections.
    fn denied(
        &self,
        names: &[Option<TextPattern>],
        listener: &Listener,
        bypasses: &ChainIndices,
    ) -> Vec<bool> {
        let bypassing = self.not_values.bypassing(listener, bypasses);
        names
            .iter()
            .map(|names| match names {
                // No pattern matches a missing name, not even `*`.
                None => self.values.is_none(),
                Some(names) => {
                    self.values
                        .as_ref()
                        .is_none_or(|values| values.cover(names))
                        && !self.not_values.leave(names, &bypassing)
                }
            })
            .collect()
    }
}

impl Names {
    fn new(texts: &[String]) -> Self {
        let mut names = Self {
            exact: HashSet::new(),
            wildcards: Vec::new(),
        };
        for text in texts {
            match TextPattern::new(text) {
                TextPattern::Exact(name) => {
                    names.exact.insert(name);
                }
                wildcard => names.wildcards.push(wildcard),
            }
        }
        names
    }

    /// Whether a pattern covers some names.
    fn cover(&self, names: &TextPattern) -> bool {
        let is_exact = matches!(names, TextPattern::Exact(name) if self.exact.contains(name));
        is_exact || self.wildcards.iter().any(|wildcard| wildcard.covers(names))
    }

    /// The patterns whose connections may lead to a bypass.
    fn bypassing(&self, listener: &Listener, bypasses: &ChainIndices) -> Vec<TextPattern> {
        let table = &listener.by_server_name;
        let leads_to_bypass = |pattern: &TextPattern| {
            // Server names that are more specific than the pattern are compared on their own.
            pattern.to_host().is_none_or(|host| {
                table
                    .get(&host)
                    .or_else(|| table.covering(&host).next())
                    .is_some_and(|index| bypasses.contains(index))
            })
        };
        self.exact
            .iter()
            .map(|name| TextPattern::Exact(name.clone()))
            .chain(self.wildcards.iter().cloned())
            .filter(leads_to_bypass)
            .collect()
    }

    /// Whether these patterns exclude some connections to a bypass, of those with some names.
    fn leave(&self, names: &TextPattern, bypassing: &[TextPattern]) -> bool {
        self.cover(names) || bypassing.iter().any(|pattern| pattern.overlaps(names))
    }
}
