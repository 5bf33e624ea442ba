//! The steps of a merge, one by one.

use std::collections::BTreeSet;

use serde_json::Value;

use super::bindings;
use super::group::{Group, Member, split};
use super::state::State;
use super::wildcards::{Held, NoWildcard, in_namespaces_of, includes};
use super::write::{Edit, Inapplicable, Write, texts};
use crate::ServerId;
use crate::resources::ResourceName;

/// Writes that belong together. Each may be live before the next is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name, for a folder.
    pub name: &'static str,
    /// What it does, as a sentence without a full stop.
    pub purpose: String,
    /// The writes, in this order.
    pub writes: Vec<Write>,
}

/// Why there are no such steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoSteps {
    /// There is no wildcard for a host.
    NoWildcard(String),
    /// The input contradicts itself.
    Inapplicable,
}

impl From<Inapplicable> for NoSteps {
    fn from(Inapplicable: Inapplicable) -> Self {
        Self::Inapplicable
    }
}

impl From<NoWildcard> for NoSteps {
    fn from(found: NoWildcard) -> Self {
        Self::NoWildcard(found.host)
    }
}

/// Steps as they are made, with the state that they lead to.
pub(super) struct Steps<'g> {
    group: Group<'g>,
    state: State,
    made: Vec<Step>,
    /// The VirtualServices that were bound to the growing Gateway.
    bound: Vec<ResourceName>,
    /// The Gateways of which nothing is left.
    deleted: Vec<ResourceName>,
}

impl<'g> Steps<'g> {
    pub(super) fn new(group: &Group<'g>, state: &State) -> Self {
        Self {
            group: group.clone(),
            state: state.clone(),
            made: Vec::new(),
            bound: Vec::new(),
            deleted: Vec::new(),
        }
    }

    /// A plan on which no route table is empty while a filter chain uses it, not even while Envoy has
    /// the chains of one state and the tables of another.
    pub(super) fn seamless(mut self, presenter: &Member) -> Result<Vec<Step>, NoSteps> {
        let mut held = Held::of(&self.group, &self.state);
        let target_hosts = self.group.target.hosts(&self.state);
        let absorbed = self.group.absorbed.clone();
        let mut covers: Vec<Vec<String>> = Vec::new();
        for member in &absorbed {
            let hosts = member.hosts(&self.state);
            let hosts = hosts.iter().map(|host| split(host).1);
            covers.push(
                hosts
                    .map(|host| held.cover(host))
                    .collect::<Result<_, _>>()?,
            );
        }
        held.take(covers.iter().flatten());
        self.present(presenter)?;
        self.bind()?;
        let wildcards = self.cover(&absorbed, &covers)?;
        let mut own: Vec<Vec<String>> = Vec::new();
        for (member, covers) in absorbed.iter().zip(&covers) {
            own.push(member.hosts(&self.state));
            self.hand_over(&member.id, &held, covers)?;
            self.remove(std::slice::from_ref(&member.id))?;
        }
        let own: Vec<String> = own.into_iter().flatten().collect();
        let left: Vec<String> = own
            .into_iter()
            .filter(|host| !includes(&target_hosts, host))
            .collect();
        if !wildcards.is_empty() {
            let purpose = "replace the wildcards by the hosts";
            self.grow("name-hosts", purpose.into(), &wildcards, &left)?;
        }
        self.unbind()?;
        Ok(self.made)
    }

    /// A plan of few steps. New connections for hosts of the absorbed servers may get 404 for some
    /// milliseconds when the growing server takes them: their old route tables are emptied as their
    /// filter chains go, and Envoy does one after the other.
    pub(super) fn short(mut self, presenter: &Member) -> Result<Vec<Step>, NoSteps> {
        let absorbed = self.group.absorbed.clone();
        self.present(presenter)?;
        self.bind()?;
        let hosts: Vec<String> = absorbed
            .iter()
            .flat_map(|member| member.hosts(&self.state))
            .collect();
        let purpose = format!(
            "have {} serve all hosts, which drops the other servers",
            self.group.target.id
        );
        self.grow("take-over", purpose, &[], &hosts)?;
        let ids: Vec<_> = absorbed.iter().map(|member| member.id.clone()).collect();
        self.remove(&ids)?;
        self.unbind()?;
        Ok(self.made)
    }

    fn step(
        &mut self,
        name: &'static str,
        purpose: String,
        writes: Vec<Write>,
    ) -> Result<(), Inapplicable> {
        for write in &writes {
            self.state.apply(write)?;
        }
        if !writes.is_empty() {
            self.made.push(Step {
                name,
                purpose,
                writes,
            });
        }
        Ok(())
    }

    /// Has the growing server show the certificate that is good for all hosts.
    fn present(&mut self, presenter: &Member) -> Result<(), Inapplicable> {
        let target = &self.group.target;
        if presenter.id == target.id {
            return Ok(());
        }
        let value = |member: &Member| {
            member
                .field(&self.state, "tls")
                .cloned()
                .ok_or(Inapplicable)
        };
        let (old, new) = (value(target)?, value(presenter)?);
        let purpose = format!(
            "have {} show the certificate of {}",
            target.id, presenter.id
        );
        let edit = Edit::Replace {
            path: target.path("tls"),
            old,
            new,
        };
        let resource = target.gateway.clone();
        self.step(
            "certificate",
            purpose,
            vec![Write::Patch {
                resource,
                edits: vec![edit],
            }],
        )
    }

    fn bind(&mut self) -> Result<(), Inapplicable> {
        let writes = bindings::bind(&self.group, &self.state);
        self.bound = writes
            .iter()
            .map(|write| write.resource().clone())
            .collect();
        let purpose = format!("bind the routes to {} too", self.group.target.gateway);
        self.step("bind-routes", purpose, writes)
    }

    /// Gives the growing server the wildcards; those that it had not.
    fn cover(
        &mut self,
        absorbed: &[Member],
        covers: &[Vec<String>],
    ) -> Result<Vec<String>, Inapplicable> {
        let known = self.group.target.hosts(&self.state);
        let mut wildcards: BTreeSet<String> = BTreeSet::new();
        for (member, covers) in absorbed.iter().zip(covers) {
            for (host, cover) in member.hosts(&self.state).iter().zip(covers) {
                wildcards.extend(in_namespaces_of(std::slice::from_ref(host), cover));
            }
        }
        let new: Vec<String> = wildcards
            .into_iter()
            .filter(|wildcard| !includes(&known, wildcard))
            .collect();
        if !new.is_empty() {
            let target = &self.group.target.id;
            let purpose =
                format!("add an unused wildcard host to {target}, for the other servers' routes");
            self.grow("know-routes", purpose, &[], &new)?;
        }
        Ok(new)
    }

    /// Gives a server another wildcard in the place of its hosts, so that their names find the
    /// growing one while the old route table has their routes still.
    fn hand_over(&mut self, id: &ServerId, held: &Held, covers: &[String]) -> Result<(), NoSteps> {
        let member = self.member(id).ok_or(Inapplicable)?.clone();
        let hosts = member.hosts(&self.state);
        let wildcard = held.park(&hosts, covers)?;
        let edit = Edit::Replace {
            path: member.path("hosts"),
            old: member
                .field(&self.state, "hosts")
                .cloned()
                .ok_or(Inapplicable)?,
            new: texts(&in_namespaces_of(&hosts, &wildcard)),
        };
        let purpose = format!(
            "move the hosts of {} to {}",
            member.id, self.group.target.id
        );
        let resource = member.gateway;
        self.step(
            "hand-over",
            purpose,
            vec![Write::Patch {
                resource,
                edits: vec![edit],
            }],
        )?;
        Ok(())
    }

    /// Changes the hosts of the growing server.
    fn grow(
        &mut self,
        name: &'static str,
        purpose: String,
        without: &[String],
        with: &[String],
    ) -> Result<(), Inapplicable> {
        let target = &self.group.target;
        let written = target.written_hosts(&self.state);
        let mut hosts: Vec<String> = written
            .iter()
            .filter(|host| !without.contains(host))
            .cloned()
            .collect();
        for host in with {
            let known = target.hosts(&self.state);
            let is_known = known.contains(host) && !without.contains(host);
            if !is_known && !hosts.contains(host) {
                hosts.push(host.clone());
            }
        }
        let edit = Edit::Replace {
            path: target.path("hosts"),
            old: target
                .field(&self.state, "hosts")
                .cloned()
                .ok_or(Inapplicable)?,
            new: texts(&hosts),
        };
        let resource = target.gateway.clone();
        self.step(
            name,
            purpose,
            vec![Write::Patch {
                resource,
                edits: vec![edit],
            }],
        )
    }

    /// Takes servers out of their Gateways; a Gateway of which nothing is left is deleted.
    fn remove(&mut self, ids: &[ServerId]) -> Result<(), Inapplicable> {
        let mut members: Vec<Member> = ids
            .iter()
            .filter_map(|id| self.member(id))
            .cloned()
            .collect();
        members.sort_by(|a, b| (&a.gateway, b.index).cmp(&(&b.gateway, a.index)));
        let gateways: BTreeSet<ResourceName> = members
            .iter()
            .map(|member| member.gateway.clone())
            .collect();
        let mut writes = Vec::new();
        for gateway in gateways {
            let going: Vec<&Member> = members
                .iter()
                .filter(|member| member.gateway == gateway)
                .collect();
            writes.push(self.removal(&gateway, &going)?);
        }
        let names: Vec<String> = members.iter().map(|member| member.id.to_string()).collect();
        let purpose = format!(
            "delete servers that no longer receive connections: {}",
            names.join(", ")
        );
        self.step("remove", purpose, writes)?;
        for gone in &members {
            let others = std::iter::once(&mut self.group.target).chain(&mut self.group.absorbed);
            for other in others.filter(|other| other.gateway == gone.gateway) {
                if other.index > gone.index {
                    other.index -= 1;
                }
            }
        }
        Ok(())
    }

    fn removal(
        &mut self,
        gateway: &ResourceName,
        going: &[&Member],
    ) -> Result<Write, Inapplicable> {
        let manifest = self.state.manifest(gateway).ok_or(Inapplicable)?;
        let servers = manifest.pointer("/spec/servers").and_then(Value::as_array);
        if servers.is_some_and(|servers| servers.len() == going.len()) {
            self.deleted.push(gateway.clone());
            let manifest = manifest.clone();
            return Ok(Write::Delete {
                resource: gateway.clone(),
                manifest,
            });
        }
        let edit = |member: &&Member| {
            let path = member.server_path();
            let old = manifest.pointer(&path).cloned().ok_or(Inapplicable)?;
            Ok(Edit::Remove { path, old })
        };
        let edits = going.iter().map(edit).collect::<Result<_, _>>()?;
        Ok(Write::Patch {
            resource: gateway.clone(),
            edits,
        })
    }

    fn unbind(&mut self) -> Result<(), Inapplicable> {
        let writes = bindings::unbind(&self.state, &self.bound, &self.deleted);
        self.step(
            "unbind-routes",
            "remove the references to deleted Gateways".into(),
            writes,
        )
    }

    fn member(&self, id: &ServerId) -> Option<&Member> {
        self.group.members().find(|member| member.id == *id)
    }
}
