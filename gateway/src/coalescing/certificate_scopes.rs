//! Which connections may carry requests for which hosts.

mod name_sets;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use rule::HostPattern;

use super::Known;
use super::index::ChainIndex;
use super::listener_hosts::{CoalescedConnection, IndexedChain, ListenerHost, ListenerHosts};
use crate::certificates::Contents;
use crate::{Certificate, Certificates, Credential};
use name_sets::{CertificateUser, NameSet, PresentedNames, name_sets};

/// Connections that may all carry requests for the same hosts, because of the names in their
/// certificates.
pub(crate) struct CertificateScope<'h> {
    /// Whether the input has the certificates.
    pub(crate) known: Known,
    /// The credentials with these certificates.
    pub(crate) credentials: BTreeSet<&'h Credential>,
    pub(crate) connections: Vec<CoalescedConnection<'h>>,
    /// The served hosts that the certificates cover.
    pub(crate) hosts: Vec<&'h ListenerHost<'h>>,
}

/// One scope for each set of names in certificates, then one for each credential with unknown
/// contents.
pub(crate) fn certificate_scopes<'h>(
    hosts: &'h ListenerHosts<'h>,
    certificates: &Certificates,
) -> Vec<CertificateScope<'h>> {
    let mut scopes = known_scopes(hosts, certificates);
    scopes.extend(presumed_scopes(hosts, certificates));
    scopes
}

fn known_scopes<'h>(
    hosts: &'h ListenerHosts<'h>,
    certificates: &Certificates,
) -> Vec<CertificateScope<'h>> {
    let mut presented = Vec::new();
    for chain in hosts.chains() {
        // Envoy presents the certificate that fits the SNI, so each one of a chain counts on its own.
        for credential in &chain.chain.credentials {
            let Some(certificate) = certificates.known(credential) else {
                continue;
            };
            if let Some(connection) = hosts.connection_with(*chain, &certificate.names) {
                presented.push(PresentedNames {
                    user: CertificateUser {
                        connection,
                        credential,
                    },
                    names: sorted_names(certificate),
                });
            }
        }
    }
    name_sets(hosts, presented)
        .into_iter()
        .map(|NameSet { names, users }| CertificateScope {
            known: Known::Known,
            credentials: users.iter().map(|user| user.credential).collect(),
            connections: users.into_iter().map(|user| user.connection).collect(),
            hosts: hosts.covered_by(&names),
        })
        .collect()
}

/// The names of a certificate, each once and in the order of patterns.
fn sorted_names(certificate: &Certificate) -> Vec<HostPattern> {
    let mut names = certificate.names.clone();
    names.sort_unstable();
    names.dedup();
    names
}

fn presumed_scopes<'h>(
    hosts: &'h ListenerHosts<'h>,
    certificates: &Certificates,
) -> Vec<CertificateScope<'h>> {
    // The chains that use the same unknown credential present the same certificate.
    let mut users: BTreeMap<&Credential, Users<'h>> = BTreeMap::new();
    for chain in hosts.chains() {
        for credential in &chain.chain.credentials {
            if is_unknown(credential, certificates) {
                users
                    .entry(credential)
                    .or_default()
                    .insert(chain.index, *chain);
            }
        }
    }
    users
        .into_iter()
        .map(|(credential, users)| {
            // The `Certificate` of cert-manager says more than the hosts of the servers.
            match certificates.presumed_names(credential) {
                Some(names) => CertificateScope {
                    known: Known::Presumed,
                    credentials: BTreeSet::from([credential]),
                    connections: users
                        .values()
                        .filter_map(|user| hosts.connection_with(*user, names))
                        .collect(),
                    hosts: hosts.covered_by(names),
                },
                None => presumed_scope(hosts, credential, &users),
            }
        })
        .collect()
}

/// The filter chains that use a credential.
type Users<'h> = BTreeMap<ChainIndex, IndexedChain<'h>>;

fn is_unknown(credential: &Credential, certificates: &Certificates) -> bool {
    match certificates.get(credential) {
        // Envoy rejects a broken certificate, so there are no connections to reuse.
        Some(Contents::Known(..) | Contents::Broken) => false,
        // The certificate of the mesh has no host names (`ISTIO_MUTUAL`).
        Some(Contents::Unreadable) | None => *credential != Credential::Workload,
    }
}

/// The scope of a certificate that is presumed to cover the hosts of all servers that use it.
fn presumed_scope<'h>(
    hosts: &'h ListenerHosts<'h>,
    credential: &'h Credential,
    users: &Users<'h>,
) -> CertificateScope<'h> {
    let names: Vec<HostPattern> = users
        .values()
        .flat_map(|user| user.chain.server_names.iter().cloned())
        .collect();
    // A wildcard server name also covers hosts of servers that use other credentials. Nothing
    // suggests that this certificate is for them.
    let hosts_of_users = hosts
        .covered_by(&names)
        .into_iter()
        .filter(|host| users.contains_key(&host.chain.index))
        .collect();
    CertificateScope {
        known: Known::Presumed,
        credentials: BTreeSet::from([credential]),
        connections: connections(hosts, users),
        hosts: hosts_of_users,
    }
}

/// The connections to the filter chains that use a credential.
fn connections<'h>(
    hosts: &'h ListenerHosts<'h>,
    users: &Users<'h>,
) -> Vec<CoalescedConnection<'h>> {
    users
        .values()
        .filter_map(|user| hosts.connection(*user))
        .collect()
}
