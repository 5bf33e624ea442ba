//! The servers that are to be one.

use std::collections::BTreeSet;

use serde_json::Value;

use super::state::State;
use crate::resources::ResourceName;
use crate::resources::istio;
use crate::server::{Entry, sanitize};
use crate::{Listener, ServerId};

/// A server of Istio's own Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// What it is called before anything changes.
    pub(super) id: ServerId,
    /// Its Gateway.
    pub(super) gateway: ResourceName,
    /// Its place in the Gateway now.
    pub(super) index: usize,
}

/// The servers of a listener that are to be one.
#[derive(Clone, Debug)]
pub(super) struct Group<'m> {
    pub(super) listener: &'m Listener,
    /// The one that grows: that of the oldest Gateway, since every other would be dropped as soon as
    /// it had a host of an older one.
    pub(super) target: Member,
    /// The others, those with the widest wildcards first.
    pub(super) absorbed: Vec<Member>,
}

impl Member {
    /// `None` for what does not come from Istio's own Gateway.
    pub(super) fn of(id: &ServerId) -> Option<Self> {
        let Entry::Server { index, .. } = id.entry else {
            return None;
        };
        Some(Self {
            id: id.clone(),
            gateway: id.resource.clone(),
            index,
        })
    }

    pub(super) fn server<'s>(&self, state: &'s State) -> Option<&'s istio::Server> {
        state.gateway(&self.gateway)?.spec.servers.get(self.index)
    }

    /// A field of the server in the manifest.
    pub(super) fn field<'s>(&self, state: &'s State, name: &str) -> Option<&'s Value> {
        state.manifest(&self.gateway)?.pointer(&self.path(name))
    }

    /// The pointer to such a field.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.server_path())
    }

    pub(super) fn server_path(&self) -> String {
        format!("/spec/servers/{}", self.index)
    }

    /// Its hosts as istiod compares them.
    pub(super) fn hosts(&self, state: &State) -> Vec<String> {
        let hosts = self.server(state).map(|server| server.hosts.as_slice());
        sanitize(hosts.unwrap_or_default(), &self.gateway.namespace)
    }

    /// Its hosts as they are written.
    pub(super) fn written_hosts(&self, state: &State) -> Vec<String> {
        let hosts = self.server(state).map(|server| server.hosts.as_slice());
        hosts
            .unwrap_or_default()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// How a VirtualService of a namespace names its Gateway.
    pub(super) fn reference(&self, namespace: &str) -> String {
        let ResourceName {
            namespace: own,
            name,
            ..
        } = &self.gateway;
        if own == namespace {
            name.clone()
        } else {
            format!("{own}/{name}")
        }
    }

    /// The name that bindings are compared by.
    pub(super) fn full_gateway(&self) -> String {
        format!("{}/{}", self.gateway.namespace, self.gateway.name)
    }
}

impl<'m> Group<'m> {
    /// `None` where some are not of Istio's own Gateways.
    pub(super) fn new(state: &State, listener: &'m Listener, servers: &[ServerId]) -> Option<Self> {
        let mut members: Vec<Member> = servers.iter().map(Member::of).collect::<Option<_>>()?;
        members.sort_by_cached_key(|member| {
            let metadata = state
                .gateway(&member.gateway)
                .map(|gateway| &gateway.metadata);
            let created = metadata.map(|metadata| metadata.creation_timestamp);
            let ResourceName {
                namespace, name, ..
            } = &member.gateway;
            (created, name.clone(), namespace.clone(), member.index)
        });
        let target = members.remove(0);
        members.sort_by_cached_key(|member| width(&member.hosts(state)));
        Some(Self {
            listener,
            target,
            absorbed: members,
        })
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.target).chain(&self.absorbed)
    }

    /// The Gateways of all members, each once.
    pub(super) fn gateways(&self) -> BTreeSet<&ResourceName> {
        self.members().map(|member| &member.gateway).collect()
    }
}

/// The length of the shortest wildcard; single hosts come last.
fn width(hosts: &[String]) -> usize {
    let wildcards = hosts
        .iter()
        .map(|host| split(host).1)
        .filter(|host| host.starts_with('*'));
    wildcards.map(str::len).min().unwrap_or(usize::MAX)
}

/// The namespace of a host as istiod compares it, and the host.
pub(super) fn split(host: &str) -> (Option<&str>, &str) {
    match host.split_once('/') {
        None => (None, host),
        Some((namespace, host)) => (Some(namespace), host),
    }
}

/// A host with a namespace, where it has one.
pub(super) fn join(namespace: Option<&str>, host: &str) -> String {
    match namespace {
        None => host.into(),
        Some(namespace) => format!("{namespace}/{host}"),
    }
}
