//! Findings about causes.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::cause::Cause;
use super::explanation::Explanation;
use super::merge_advice::{CauseAdvice, MergeAdvice};
use super::remedies::{Situation, remedies};
use super::treatment::Denial;
use crate::coalescing::{BrokenPair, Defect, ListenerHosts, ReportedDefect, ServerIndex};
use crate::findings::{
    Code, Finding, Input, ListenerAddress, LocatedResource, Pair, PresentedCredential, Remedy,
    WorkloadName,
};
use crate::protected::DenyingPolicies;
use crate::resources::ResourceName;
use crate::{Credential, ServerId};

/// Makes findings of the causes of a listener.
pub(super) struct FindingWriter<'w> {
    pub(super) hosts: &'w ListenerHosts<'w>,
    pub(super) input: &'w Input<'w>,
    /// The policies that deny requests which bypass a client certificate.
    pub(super) policies: &'w DenyingPolicies,
    /// Whether a policy for the workload needs ports that the input does not determine.
    pub(super) needs_unknown_ports: Rc<OnceCell<bool>>,
    /// For each server in a pair, whether a merge removes the cause.
    pub(super) advice: BTreeMap<ServerIndex, Rc<MergeAdvice>>,
}

impl FindingWriter<'_> {
    pub(super) fn finding(&self, cause: &Cause<'_>) -> Finding {
        let connections = self.servers(&cause.connections);
        let owners = self.servers(&cause.owners);
        let credentials = self.credentials(cause);
        let remedies = remedies(&Situation {
            cause,
            advice: self.best_advice(cause),
            workload: self.hosts.workload,
            input: self.input,
            policies: self.policies,
            needs_unknown_ports: &self.needs_unknown_ports,
        });
        let hint = Remedy::sentence(&remedies, |remedy| remedy.text.clone());
        let first = cause.pairs.first();
        Finding {
            severity: cause.severity(),
            workload: Some(WorkloadName::from(self.hosts.workload)),
            listener: Some(ListenerAddress::from(self.hosts.listener)),
            sni: first.map(|pair| pair.connection.sni.to_owned()),
            authority: first.map(|pair| pair.host.name.clone()),
            pairs: cause
                .pairs
                .iter()
                .map(|pair| self.pair(pair, cause))
                .collect(),
            pair_count: cause.pair_count,
            certificate: cause.known,
            guard: cause.treatment.filter,
            resources: self.resources(cause, &connections, &owners, &credentials),
            connections,
            owners,
            credentials,
            remedies,
            ..Finding::new(cause.code(), self.message(cause), hint)
        }
    }

    /// The servers, sorted by name.
    fn servers(&self, indices: &BTreeSet<ServerIndex>) -> Vec<ServerId> {
        let mut servers: Vec<ServerId> = indices
            .iter()
            .filter_map(|index| self.hosts.server(*index))
            .cloned()
            .collect();
        servers.sort_unstable();
        servers
    }

    /// The credentials of the cause that its connections use, with the names in their certificates.
    fn credentials(&self, cause: &Cause<'_>) -> Vec<PresentedCredential> {
        let used: BTreeSet<&Credential> = self
            .hosts
            .chains()
            .iter()
            .filter(|chain| cause.connections.contains(&chain.server))
            .flat_map(|chain| &chain.chain.credentials)
            .collect();
        cause
            .credentials
            .iter()
            .copied()
            .filter(|credential| used.contains(credential))
            .map(|credential| PresentedCredential {
                credential: credential.clone(),
                names: self.names(credential),
            })
            .collect()
    }

    fn names(&self, credential: &Credential) -> Vec<String> {
        let Some(certificate) = self.input.certificates.known(credential) else {
            return Vec::new();
        };
        certificate.names.iter().map(ToString::to_string).collect()
    }

    /// The resources of the servers, of the Secrets and of the policies, each once.
    fn resources(
        &self,
        cause: &Cause<'_>,
        connections: &[ServerId],
        owners: &[ServerId],
        credentials: &[PresentedCredential],
    ) -> Vec<LocatedResource> {
        let servers: BTreeSet<&ResourceName> = connections
            .iter()
            .chain(owners)
            .map(|server| &server.resource)
            .collect();
        let policies: BTreeSet<&ResourceName> = cause
            .pairs
            .iter()
            .filter(|_| cause.code() == Code::CoalesceTlsPolicy)
            .filter_map(|pair| self.policies.of(&pair.host.name))
            .flat_map(|denied| &denied.policies)
            .collect();
        servers
            .into_iter()
            .cloned()
            .chain(credentials.iter().filter_map(PresentedCredential::secret))
            .chain(policies.into_iter().cloned())
            .map(|name| LocatedResource { name, origin: None })
            .collect()
    }

    fn pair(&self, pair: &BrokenPair<'_>, cause: &Cause<'_>) -> Pair {
        let is_denied = cause.treatment.denial != Denial::None;
        Pair {
            connection: pair.connection.chain.chain.server.id.clone(),
            owner: pair.host.chain.chain.server.id.clone(),
            sni: pair.connection.sni.to_owned(),
            authority: pair.host.name.clone(),
            evidence: Explanation::new(pair, self.input.certificates, is_denied).message(),
        }
    }

    /// The cause in one sentence, without the evidence.
    fn message(&self, cause: &Cause<'_>) -> String {
        let connection = self.only_connection(cause);
        let result = match cause.defect {
            ReportedDefect::Certain(Defect::NotFound) => "get 404".to_owned(),
            ReportedDefect::Certain(Defect::WrongRoute) => match connection {
                Some(server) => format!("get the routes of {server}"),
                None => "get the routes of the connected server".to_owned(),
            },
            ReportedDefect::Certain(Defect::TlsPolicy)
                if cause.treatment.denial != Denial::None =>
            {
                "are denied by an AuthorizationPolicy".to_owned()
            }
            ReportedDefect::Certain(Defect::TlsPolicy) => {
                "are served without a client certificate".to_owned()
            }
            ReportedDefect::Presumed => "presumably fail or get other routes".to_owned(),
        };
        if let ([pair], 1) = (cause.pairs.as_slice(), cause.pair_count) {
            let (sni, authority) = (pair.connection.sni, &pair.host.name);
            return format!("requests for {authority} {result} on connections for {sni}");
        }
        let owners = number_of_servers(cause.owners.len());
        let pairs = cause.pair_count;
        if cause.connections == cause.owners {
            return format!(
                "requests for hosts of {owners} {result} on connections to each other ({pairs} pairs)"
            );
        }
        let connections = match (connection, cause.defect) {
            (Some(_), ReportedDefect::Certain(Defect::WrongRoute)) => "it".to_owned(),
            (Some(server), _) => server.to_string(),
            (None, _) => number_of_servers(cause.connections.len()),
        };
        format!(
            "requests for hosts of {owners} {result} on connections to {connections} ({pairs} pairs)"
        )
    }

    /// The server of the connections, if all are to one.
    fn only_connection(&self, cause: &Cause<'_>) -> Option<&ServerId> {
        match (cause.connections.len(), cause.connections.first()) {
            (1, Some(first)) => self.hosts.server(*first),
            _ => None,
        }
    }

    /// The advice that helps most, as the servers of a cause may be in several components.
    fn best_advice(&self, cause: &Cause<'_>) -> Option<CauseAdvice<'_>> {
        // All owners of a component share its advice.
        let mut components: Vec<&Rc<MergeAdvice>> = Vec::new();
        for advice in cause
            .owners
            .iter()
            .filter_map(|owner| self.advice.get(owner))
        {
            if !components.iter().any(|known| Rc::ptr_eq(known, advice)) {
                components.push(advice);
            }
        }
        components
            .into_iter()
            .map(|advice| advice.for_pairs(&cause.pairs))
            .min_by_key(|advice| advice.rank())
    }
}

fn number_of_servers(count: usize) -> String {
    match count {
        1 => "one server".into(),
        count => format!("{count} servers"),
    }
}
