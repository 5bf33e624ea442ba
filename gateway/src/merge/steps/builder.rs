//! The writes of each step.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Departure, Step, StepKind};
use crate::merge::bindings;
use crate::merge::group::{Group, Member};
use crate::merge::state::State;
use crate::merge::wildcards::{in_namespaces_of, includes};
use crate::merge::write::{Edit, Inapplicable, Write};
use crate::resources::ResourceName;

/// Steps that are applied to a state while they are made. Each write contains the value that it
/// replaces, so it depends on the writes before it.
pub(super) struct StepsBuilder<'g> {
    group: &'g Group<'g>,
    state: State,
    steps: Vec<Step>,
    /// The VirtualServices that were bound to the target's Gateway.
    bound: Vec<ResourceName>,
    /// The servers that were deleted, with their indices at the start.
    removed: Vec<Member>,
    /// The Gateways that were deleted with their last server.
    deleted: Vec<ResourceName>,
}

impl<'g> StepsBuilder<'g> {
    pub(super) fn new(group: &'g Group<'g>, start: &State) -> Self {
        Self {
            group,
            state: start.clone(),
            steps: Vec::new(),
            bound: Vec::new(),
            removed: Vec::new(),
            deleted: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> Vec<Step> {
        self.steps
    }

    /// The target gets the TLS settings of the member whose certificate covers all hosts. Apart from
    /// the certificate, the settings of all members are the same.
    pub(super) fn set_certificate(&mut self, presenter: &Member) -> Result<(), Inapplicable> {
        let target = &self.group.target;
        if presenter.id == target.id {
            return Ok(());
        }
        // No server was removed so far, so both have their first indices.
        let tls = presenter.field(&self.state, "tls").ok_or(Inapplicable)?;
        let write = self.replace_field(target, "tls", tls.clone())?;
        let purpose = format!("use the certificate of {} for {}", presenter.id, target.id);
        self.apply(StepKind::SetCertificate, purpose, vec![write])
    }

    pub(super) fn bind_routes(&mut self) -> Result<(), Inapplicable> {
        let writes = bindings::bind(self.group, &self.state);
        // Only these are unbound at the end. Other references to the Gateways stay as they are.
        self.bound = writes
            .iter()
            .map(|write| write.resource().clone())
            .collect();
        let purpose = format!("also bind the routes to {}", self.group.target.gateway);
        self.apply(StepKind::BindRoutes, purpose, writes)
    }

    /// Adds covering wildcards to the target, and returns those that it did not have.
    pub(super) fn add_wildcards<'w>(
        &mut self,
        covering: impl Iterator<Item = &'w String>,
    ) -> Result<Vec<String>, Inapplicable> {
        // A wildcard that the target has already, or one below it, adds no routes.
        let target = &self.group.target;
        let hosts = target.hosts(&self.state);
        let wildcards: BTreeSet<&String> = covering
            .filter(|wildcard| !includes(&hosts, wildcard))
            .collect();
        let wildcards: Vec<String> = wildcards.into_iter().cloned().collect();
        if !wildcards.is_empty() {
            let purpose = format!(
                "add an unused wildcard host to {} so that it already has the other servers' routes",
                target.id
            );
            self.change_target_hosts(StepKind::AddWildcard, purpose, &[], &wildcards)?;
        }
        Ok(wildcards)
    }

    /// Replaces the hosts of absorbed servers with wildcards that are shorter than the target's. First it
    /// deletes the servers of the batch before, whose connections were drained, so that their wildcards
    /// are unused. istiod sees both in this order, since it watches all Gateways in one stream.
    pub(super) fn shift_connections(
        &mut self,
        batch: &[Departure<'_>],
        drained: &[Member],
    ) -> Result<(), Inapplicable> {
        let mut writes = self.deletions(drained)?;
        // Envoy rejects a listener on which two servers have one name, and keeps the one that it has. The
        // writes after this one end that, and move the connections from one server to the other at once.
        let handover: Vec<String> = batch
            .iter()
            .flat_map(|departure| departure.handover.iter().cloned())
            .collect();
        if !handover.is_empty() {
            let write = self.target_hosts(&[], &handover)?;
            self.state.apply(&write)?;
            writes.push(write);
        }
        for Departure {
            member,
            hosts,
            parking,
            ..
        } in batch
        {
            // Servers that left the same Gateway before have shifted the index.
            let current = member.after_removal_of(&self.removed);
            // The wildcard must admit the routes of the same namespaces, or the old route table loses them.
            let parking_hosts = json!(in_namespaces_of(hosts, parking));
            let write = self.replace_field(&current, "hosts", parking_hosts)?;
            self.state.apply(&write)?;
            writes.push(write);
        }
        let mut purpose = format!(
            "move new connections for the hosts of {} to {}",
            names(batch.iter().map(|departure| departure.member)),
            self.group.target.id
        );
        if !drained.is_empty() {
            purpose = format!(
                "delete servers whose connections are drained: {}; {purpose}",
                names(drained)
            );
        }
        if !handover.is_empty() {
            purpose.push_str(", in two writes between which Envoy keeps the listener that it has");
        }
        self.push(StepKind::ShiftConnections, purpose, writes);
        Ok(())
    }

    /// Gives the target all hosts at once.
    pub(super) fn move_hosts(&mut self, hosts: &[String]) -> Result<(), Inapplicable> {
        let purpose = format!(
            "move all hosts to {}; istiod then drops the other servers",
            self.group.target.id
        );
        self.change_target_hosts(StepKind::MoveHosts, purpose, &[], hosts)
    }

    /// Replaces the temporary hosts of the target with the hosts that it took over.
    pub(super) fn replace_temporary_hosts(
        &mut self,
        temporary: &[String],
        hosts: &[String],
    ) -> Result<(), Inapplicable> {
        let purpose = format!(
            "replace the wildcard host of {} with the hosts that it took over",
            self.group.target.id
        );
        self.change_target_hosts(StepKind::ReplaceWildcard, purpose, temporary, hosts)
    }

    /// Deletes servers, and Gateways together with their last server.
    pub(super) fn delete_servers(&mut self, members: &[Member]) -> Result<(), Inapplicable> {
        let writes = self.deletions(members)?;
        let purpose = format!(
            "delete servers that no longer receive connections: {}",
            names(members)
        );
        self.push(StepKind::DeleteServers, purpose, writes);
        Ok(())
    }

    /// Applies the writes that delete servers, and returns them.
    fn deletions(&mut self, members: &[Member]) -> Result<Vec<Write>, Inapplicable> {
        let mut current: Vec<Member> = members
            .iter()
            .map(|member| member.after_removal_of(&self.removed))
            .collect();
        // Last index first: a removal shifts only the servers that follow it.
        current.sort_by_cached_key(|member| (member.gateway.clone(), Reverse(member.index())));
        let mut writes = Vec::new();
        for servers in current.chunk_by(|a, b| a.gateway == b.gateway) {
            let write = self.deletion(servers)?;
            self.state.apply(&write)?;
            if let Write::Delete { resource, .. } = &write {
                self.deleted.push(resource.clone());
            }
            writes.push(write);
        }
        // The remaining servers of these Gateways have other indices from here on.
        self.removed.extend_from_slice(members);
        Ok(writes)
    }

    /// The write that deletes servers of one Gateway, the last index first.
    fn deletion(&self, servers: &[Member]) -> Result<Write, Inapplicable> {
        let resource = &servers.first().ok_or(Inapplicable)?.gateway;
        let manifest = self.state.manifest(resource).ok_or(Inapplicable)?;
        let all = manifest.pointer("/spec/servers").and_then(Value::as_array);
        // A Gateway without servers is invalid.
        if all.is_some_and(|all| all.len() == servers.len()) {
            return Ok(Write::Delete {
                resource: resource.clone(),
                manifest: manifest.clone(),
            });
        }
        let mut edits = Vec::new();
        for server in servers {
            let path = server.server_path();
            let old = manifest.pointer(&path).cloned().ok_or(Inapplicable)?;
            edits.push(Edit::Remove { path, old });
        }
        Ok(Write::Patch {
            resource: resource.clone(),
            edits,
        })
    }

    pub(super) fn unbind_routes(&mut self) -> Result<(), Inapplicable> {
        let writes = bindings::unbind(&self.state, &self.bound, &self.deleted);
        let purpose = "remove references to deleted Gateways from the routes".to_owned();
        self.apply(StepKind::UnbindRoutes, purpose, writes)
    }

    fn change_target_hosts(
        &mut self,
        kind: StepKind,
        purpose: String,
        removed: &[String],
        added: &[String],
    ) -> Result<(), Inapplicable> {
        let write = self.target_hosts(removed, added)?;
        self.apply(kind, purpose, vec![write])
    }

    /// The write that removes hosts from the target and adds others.
    fn target_hosts(&self, removed: &[String], added: &[String]) -> Result<Write, Inapplicable> {
        let target = self.group.target.after_removal_of(&self.removed);
        // Hosts that stay keep their spelling and their order, so that the patch is small.
        let mut hosts: Vec<String> = target
            .written_hosts(&self.state)
            .into_iter()
            .filter(|host| !removed.contains(host))
            .collect();
        // The target may have a host in another spelling, such as `*/a.example.com`. Envoy rejects a
        // listener that has a server name twice.
        let known = target.hosts(&self.state);
        for host in added {
            let stays = known.contains(host) && !removed.contains(host);
            if !stays && !hosts.contains(host) {
                hosts.push(host.clone());
            }
        }
        self.replace_field(&target, "hosts", json!(hosts))
    }

    /// The write that replaces a field of a server, whose index is the present one.
    fn replace_field(
        &self,
        server: &Member,
        field: &str,
        new: Value,
    ) -> Result<Write, Inapplicable> {
        let old = server.field(&self.state, field).ok_or(Inapplicable)?;
        Ok(Write::Patch {
            resource: server.gateway.clone(),
            edits: vec![Edit::Replace {
                path: server.path(field),
                old: old.clone(),
                new,
            }],
        })
    }

    /// Applies writes and adds them as a step.
    fn apply(
        &mut self,
        kind: StepKind,
        purpose: String,
        writes: Vec<Write>,
    ) -> Result<(), Inapplicable> {
        for write in &writes {
            self.state.apply(write)?;
        }
        self.push(kind, purpose, writes);
        Ok(())
    }

    /// Adds writes that were applied as a step. A step without writes is left out.
    fn push(&mut self, kind: StepKind, purpose: String, writes: Vec<Write>) {
        if !writes.is_empty() {
            self.steps.push(Step {
                kind,
                purpose,
                writes,
            });
        }
    }
}

/// The names of servers before the plan, for the purpose of a step.
fn names<'m>(members: impl IntoIterator<Item = &'m Member>) -> String {
    members
        .into_iter()
        .map(|member| member.id.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}
