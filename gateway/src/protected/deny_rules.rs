//! The rules of each AuthorizationPolicy that deny the requests of a gateway.
//!
//! A rule counts only if it denies every request of a class for certain: every spelling of an authority, on every
//! connection that leads to a filter chain. What the model cannot decide, such as a condition on the client's address,
//! means that a rule does not count.

#[cfg(test)]
mod tests;
mod text_pattern;

use rule::HostPattern;

use super::DeniedRequests;
use super::connections::{ChainIndices, chains_at};
use crate::istio::Reach;
use crate::resources::authorization_policy::{PolicyCondition, PolicyOperation, PolicyRule};
use crate::resources::{Kind, ResourceName, Resources};
use crate::{FilterChain, Listener, Workload};
use text_pattern::TextPattern;

/// The attribute of a condition with the SNI of the connection.
const SNI: &str = "connection.sni";

/// The attribute of a condition with the port that Envoy listens on.
const PORT: &str = "destination.port";

/// The rules that deny requests of a workload.
pub(crate) struct DenyRules {
    rules: Vec<DenyRule>,
}

/// A rule: it denies a request if one of its operations and all of its conditions match (Istio
/// `pilot/pkg/security/authz/model/model.go`, `New` and `Generate`).
struct DenyRule {
    policy: ResourceName,
    operations: Vec<Operation>,
    conditions: Vec<Condition>,
}

struct Operation {
    hosts: Values,
    ports: Values,
}

enum Condition {
    Sni(Values),
    Port(Values),
}

/// A request has to match one of the values, if there are any, and none of the others.
struct Values {
    values: Vec<TextPattern>,
    not_values: Vec<TextPattern>,
}

/// Requests on the connections that lead to a filter chain.
struct RequestClass<'l> {
    listener: &'l Listener,
    /// The chains that denied requests must not reach.
    bypasses: &'l ChainIndices,
    /// The SNIs of the connections; `None` if the client sends no SNI.
    server_name: Option<TextPattern>,
    authority: TextPattern,
}

impl DenyRules {
    /// The rules of the policies that istiod applies to a workload for certain.
    pub(crate) fn new(resources: &Resources, workload: &Workload) -> Self {
        let mut rules = Vec::new();
        for policy in &resources.authorization_policies {
            if policy.attachment().reach(workload) != Reach::Yes {
                continue;
            }
            let name = policy.metadata.resource(Kind::AuthorizationPolicy);
            rules.extend(
                policy
                    .denials()
                    .filter_map(|rule| DenyRule::new(&name, rule)),
            );
        }
        Self { rules }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Adds what the rules do with the requests for a host on all connections that lead to some filter chains.
    pub(super) fn add_to(
        &self,
        denied: &mut DeniedRequests,
        (listener, bypasses): (&Listener, &ChainIndices),
        host: &HostPattern,
    ) {
        for server_name in chains_at(listener, bypasses).flat_map(server_names) {
            for authority in authorities(host) {
                let class = RequestClass {
                    listener,
                    bypasses,
                    server_name: server_name.clone(),
                    authority,
                };
                match self.rules.iter().find(|rule| rule.denies(&class)) {
                    Some(rule) => {
                        denied.policies.insert(rule.policy.clone());
                    }
                    // One request that is not denied is enough for a client.
                    None => denied.are_all = false,
                }
            }
        }
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

/// The authorities that Envoy routes to a host: with and without port, with and without trailing dot. Envoy cuts the
/// authority at its last colon, whatever follows.
fn authorities(host: &HostPattern) -> Vec<TextPattern> {
    match host {
        HostPattern::Exact(_) => vec![
            TextPattern::Exact(host.to_string()),
            TextPattern::Prefix(format!("{host}:")),
            TextPattern::Exact(format!("{host}.")),
            TextPattern::Prefix(format!("{host}.:")),
        ],
        // With a port both ends are variable, so only a rule for any authority denies all of them.
        HostPattern::Suffix(_) | HostPattern::Any => {
            vec![TextPattern::from(host), TextPattern::Any]
        }
    }
}

impl DenyRule {
    /// `None` if the model cannot decide which requests the rule matches.
    fn new(policy: &ResourceName, rule: &PolicyRule) -> Option<Self> {
        // A rule without operations matches all requests.
        let everything = [PolicyOperation::default()];
        let operations: Vec<Operation> = if rule.to.is_empty() {
            everything.iter().filter_map(Operation::new).collect()
        } else {
            rule.to
                .iter()
                .filter_map(|to| Operation::new(&to.operation))
                .collect()
        };
        let conditions: Option<Vec<Condition>> = rule.when.iter().map(Condition::new).collect();
        rule.others.is_empty().then_some(Self {
            policy: policy.clone(),
            operations,
            conditions: conditions?,
        })
    }

    /// Whether the rule denies every request of a class.
    fn denies(&self, class: &RequestClass<'_>) -> bool {
        let is_operation = self
            .operations
            .iter()
            .any(|operation| operation.matches(class));
        is_operation
            && self.conditions.iter().all(|condition| match condition {
                Condition::Sni(values) => class.has_server_name(values),
                Condition::Port(values) => class.has_port(values),
            })
    }
}

impl Operation {
    /// `None` if the model cannot decide which requests match.
    fn new(operation: &PolicyOperation) -> Option<Self> {
        let PolicyOperation {
            hosts,
            not_hosts,
            ports,
            not_ports,
            others,
        } = operation;
        // Envoy compares hosts without regard to case.
        let lowercase = |hosts: &[String]| -> Vec<String> {
            hosts.iter().map(|host| host.to_ascii_lowercase()).collect()
        };
        others.is_empty().then(|| Self {
            hosts: Values::new(&lowercase(hosts), &lowercase(not_hosts)),
            ports: Values::new(ports, not_ports),
        })
    }

    fn matches(&self, class: &RequestClass<'_>) -> bool {
        self.hosts.match_all(&class.authority) && class.has_port(&self.ports)
    }
}

impl Condition {
    /// `None` if the model cannot decide which requests match.
    fn new(condition: &PolicyCondition) -> Option<Self> {
        let values = Values::new(&condition.values, &condition.not_values);
        match condition.key.as_str() {
            SNI => Some(Self::Sni(values)),
            PORT => Some(Self::Port(values)),
            _ => None,
        }
    }
}

impl RequestClass<'_> {
    fn has_port(&self, ports: &Values) -> bool {
        ports.match_all(&TextPattern::Exact(self.listener.port.to_string()))
    }

    fn has_server_name(&self, sni: &Values) -> bool {
        let Some(names) = &self.server_name else {
            // No pattern matches a missing name, not even `*`.
            return sni.values.is_empty();
        };
        sni.include_all(names)
            && !sni
                .not_values
                .iter()
                .any(|excluded| self.leaves_bypass(excluded, names))
    }

    /// Whether some connections that a rule excludes by a pattern lead to a bypass, of those with some SNIs.
    fn leaves_bypass(&self, excluded: &TextPattern, names: &TextPattern) -> bool {
        if !excluded.overlaps(names) {
            return false;
        }
        if excluded.covers(names) {
            return true;
        }
        // The pattern is more specific than the server name, so Envoy may select another chain for it. Server names
        // that are still more specific are compared on their own.
        excluded.to_host().is_none_or(|host| {
            let table = &self.listener.by_server_name;
            table
                .get(&host)
                .or_else(|| table.covering(&host).next())
                .is_some_and(|index| self.bypasses.contains(index))
        })
    }
}

impl Values {
    fn new(values: &[String], not_values: &[String]) -> Self {
        let patterns = |texts: &[String]| texts.iter().map(|text| TextPattern::new(text)).collect();
        Self {
            values: patterns(values),
            not_values: patterns(not_values),
        }
    }

    /// Whether all texts match one of the values.
    fn include_all(&self, texts: &TextPattern) -> bool {
        self.values.is_empty() || self.values.iter().any(|value| value.covers(texts))
    }

    /// Whether all texts match.
    fn match_all(&self, texts: &TextPattern) -> bool {
        self.include_all(texts) && !self.not_values.iter().any(|value| value.overlaps(texts))
    }
}
