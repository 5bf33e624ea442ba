//! The servers of a listener that become one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::state::State;
use crate::resources::istio;
use crate::resources::{HostText, ResourceName};
use crate::server::{Entry, sanitize};
use crate::{Listener, ServerId};

/// The servers of a listener that become one.
#[derive(Clone, Debug)]
pub(super) struct Group<'m> {
    pub(super) listener: &'m Listener,
    /// The server that takes the hosts of the others. It belongs to the oldest Gateway, because istiod
    /// drops a server that has a host of an older one.
    pub(super) target: Member,
    /// The other servers, sorted by their shortest wildcard. A server with a wildcard leaves before
    /// the servers whose hosts that wildcard covers.
    pub(super) absorbed: Vec<Member>,
    /// All members, the oldest Gateway first.
    by_age: Vec<Member>,
}

/// Members that differ in something in which all servers of a merge must be equal.
pub(super) struct Split<'g> {
    /// The oldest member of the largest class.
    pub(super) kept: &'g Member,
    /// The members of all other classes, the oldest first.
    pub(super) others: Vec<&'g Member>,
}

/// A server of an Istio Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// The identity of the server before the plan starts.
    pub(super) id: ServerId,
    pub(super) gateway: ResourceName,
    index: SpecIndex,
}

/// The index of a server in `spec.servers` of its Gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SpecIndex(usize);

impl<'m> Group<'m> {
    /// `None` if a server does not come from an Istio Gateway.
    pub(super) fn new(state: &State, listener: &'m Listener, servers: &[ServerId]) -> Option<Self> {
        let mut members: Vec<Member> = servers
            .iter()
            .map(Member::from_server)
            .collect::<Option<_>>()?;
        // The order in which istiod merges Gateways (Istio `pilot/pkg/model/config.go`,
        // `configCompareByCreationTime`): the first server keeps its hosts, so it is the target.
        members.sort_by_cached_key(|member| {
            let gateway = state.gateway(&member.gateway);
            (
                gateway.and_then(|gateway| gateway.metadata.creation_timestamp),
                member.gateway.name.clone(),
                member.gateway.namespace.clone(),
                member.index,
            )
        });
        if members.is_empty() {
            return None;
        }
        let by_age = members.clone();
        let target = members.remove(0);
        // A wildcard of a server that stays would get the connections of the hosts below it that left.
        members.sort_by_cached_key(|member| shortest_wildcard(&member.hosts(state)));
        Some(Self {
            listener,
            target,
            absorbed: members,
            by_age,
        })
    }

    /// The members that are not in the largest class of members with an equal key; `None` if all keys
    /// are equal. Of classes with the same size, the one with the oldest Gateway is the largest.
    pub(super) fn split_by<K: Ord>(&self, key: impl Fn(&Member) -> K) -> Option<Split<'_>> {
        let mut classes: BTreeMap<K, Vec<usize>> = BTreeMap::new();
        for (age, member) in self.by_age.iter().enumerate() {
            classes.entry(key(member)).or_default().push(age);
        }
        if classes.len() < 2 {
            return None;
        }
        let largest = classes
            .into_values()
            .max_by_key(|ages| (ages.len(), Reverse(ages.first().copied())))?;
        let kept = self.by_age.get(*largest.first()?)?;
        let others = self
            .by_age
            .iter()
            .enumerate()
            .filter(|(age, _)| !largest.contains(age))
            .map(|(_, member)| member)
            .collect();
        Some(Split { kept, others })
    }

    /// The members for which a condition holds, the oldest first.
    pub(super) fn members_with(&self, condition: impl Fn(&Member) -> bool) -> Vec<&Member> {
        self.by_age
            .iter()
            .filter(|member| condition(member))
            .collect()
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.target).chain(&self.absorbed)
    }

    pub(super) fn has(&self, server: &ServerId) -> bool {
        self.members().any(|member| member.id == *server)
    }

    /// The Gateways of all members, each once.
    pub(super) fn gateways(&self) -> BTreeSet<&ResourceName> {
        self.members().map(|member| &member.gateway).collect()
    }
}

impl Member {
    fn from_server(id: &ServerId) -> Option<Self> {
        match id.entry {
            Entry::Server { index, .. } => Some(Self {
                id: id.clone(),
                gateway: id.resource.clone(),
                index: SpecIndex(index),
            }),
            Entry::Listener(_) | Entry::IngressTls(_) | Entry::IngressPlain => None,
        }
    }

    /// The same server after other servers were removed from its Gateway. All members, these ones
    /// included, have the indices of the start.
    pub(super) fn after_removal_of(&self, removed: &[Self]) -> Self {
        let removed_before = removed
            .iter()
            .filter(|other| other.gateway == self.gateway && other.index < self.index)
            .count();
        Self {
            index: SpecIndex(self.index.0 - removed_before),
            ..self.clone()
        }
    }

    pub(super) fn index(&self) -> SpecIndex {
        self.index
    }

    pub(super) fn server<'s>(&self, state: &'s State) -> Option<&'s istio::Server> {
        state.gateway(&self.gateway)?.spec.servers.get(self.index.0)
    }

    /// A field of the server in the manifest.
    pub(super) fn field<'s>(&self, state: &'s State, name: &str) -> Option<&'s Value> {
        state.manifest(&self.gateway)?.pointer(&self.path(name))
    }

    /// The JSON pointer (RFC 6901) of such a field.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.server_path())
    }

    pub(super) fn server_path(&self) -> String {
        format!("/spec/servers/{}", self.index.0)
    }

    /// The hosts in the form in which istiod compares them.
    pub(super) fn hosts(&self, state: &State) -> Vec<String> {
        match self.server(state) {
            Some(server) => sanitize(&server.hosts, &self.gateway.namespace),
            None => Vec::new(),
        }
    }

    /// The hosts as the manifest has them.
    pub(super) fn written_hosts(&self, state: &State) -> Vec<String> {
        self.server(state)
            .into_iter()
            .flat_map(|server| &server.hosts)
            .map(HostText::to_string)
            .collect()
    }

    /// The Gateway as a VirtualService of a namespace refers to it.
    pub(super) fn reference(&self, namespace: &str) -> String {
        // istiod resolves a name without a namespace in the namespace of the VirtualService.
        if self.gateway.namespace == namespace {
            self.gateway.name.clone()
        } else {
            self.full_gateway()
        }
    }

    /// The Gateway in the form that resolved references have: `namespace/name`.
    pub(super) fn full_gateway(&self) -> String {
        full_name(&self.gateway)
    }
}

/// A Gateway in the form that resolved references have: `namespace/name`.
pub(super) fn full_name(gateway: &ResourceName) -> String {
    format!("{}/{}", gateway.namespace, gateway.name)
}

/// The length of the shortest wildcard; `usize::MAX` without a wildcard.
pub(super) fn shortest_wildcard(hosts: &[String]) -> usize {
    hosts
        .iter()
        .map(|host| split_namespace(host).1)
        .filter(|host| host.starts_with('*'))
        .map(str::len)
        .min()
        .unwrap_or(usize::MAX)
}

/// The namespace of a server's host, and the host without it. Without a namespace, routes of every
/// namespace may use the host.
pub(super) fn split_namespace(host: &str) -> (Option<&str>, &str) {
    match host.split_once('/') {
        None => (None, host),
        Some((namespace, host)) => (Some(namespace), host),
    }
}

/// The reverse of [`split_namespace`].
pub(super) fn join_namespace(namespace: Option<&str>, host: &str) -> String {
    match namespace {
        None => host.to_owned(),
        Some(namespace) => format!("{namespace}/{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Member, SpecIndex, shortest_wildcard};
    use crate::ServerId;
    use crate::resources::{Kind, ResourceName};
    use crate::server::Entry;

    fn member(gateway: &str, index: usize) -> Member {
        let resource = ResourceName {
            kind: Kind::Gateway,
            namespace: "shop".to_owned(),
            name: gateway.to_owned(),
        };
        let entry = Entry::Server {
            index,
            port_name: "https".to_owned(),
        };
        Member::from_server(&ServerId { resource, entry }).unwrap()
    }

    #[test]
    fn a_removal_shifts_later_servers_of_the_same_gateway_only() {
        let removed = [member("a", 0), member("a", 2), member("b", 0)];
        let index_of = |member: Member| member.after_removal_of(&removed).index;
        assert_eq!(index_of(member("a", 1)), SpecIndex(0));
        assert_eq!(index_of(member("a", 3)), SpecIndex(1));
        assert_eq!(index_of(member("c", 3)), SpecIndex(3));
    }

    #[test]
    fn servers_with_wide_wildcards_come_first() {
        let hosts = |hosts: &[&str]| hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let wide = shortest_wildcard(&hosts(&["a.b.example.com", "shop/*.com"]));
        let narrow = shortest_wildcard(&hosts(&["*.b.example.com"]));
        assert!(wide < narrow && narrow < shortest_wildcard(&hosts(&["a.com"])));
    }
}
