//! Which connections are good for which hosts.

mod sets;

use std::collections::{BTreeMap, BTreeSet};

use rule::HostPattern;

use super::Known;
use super::site::Site;
use crate::certificates::Contents;
use crate::listener::ChainKind;
use crate::resources::istio::TlsMode;
use crate::{Certificates, Credential, FilterChain};
use sets::Shown;

/// Connections that are all good for the same hosts.
pub(crate) struct Cover {
    /// What is known of the certificates.
    pub(crate) known: Known,
    /// The filter chains, by place.
    pub(crate) connections: Vec<usize>,
    /// The candidates that are served, by place.
    pub(crate) hosts: Vec<usize>,
}

/// One for each set of names that certificates have, then one for each credential with unknown
/// contents: those who use it are taken to share a certificate for all of their hosts.
pub(crate) fn covers(site: &Site<'_>, certificates: &Certificates) -> Vec<Cover> {
    let mut shown: Vec<Shown> = Vec::new();
    let mut unknown: BTreeMap<&Credential, Vec<usize>> = BTreeMap::new();
    for (place, chain) in site.listener.chains.iter().enumerate() {
        for credential in &chain.credentials {
            let is_told = matches!(
                certificates.get(credential),
                // No connection comes about with a broken one.
                Some(Contents::Known(..) | Contents::Broken)
            );
            if *credential != Credential::Workload && !is_told {
                unknown.entry(credential).or_default().push(place);
            }
        }
        if offers_requests(chain) && site.sni(place).is_some() {
            shown.push((place, names(chain, certificates)));
        }
    }
    let known = sets::sets(site, shown)
        .into_iter()
        .map(|(names, connections)| Cover {
            known: Known::Known,
            connections,
            hosts: hosts(site, &names),
        });
    let unknown = unknown
        .into_values()
        .filter_map(|places| presumed(site, &places));
    known.chain(unknown).collect()
}

/// Whether clients may reuse a connection: for HTTP/2, and with a certificate that shows hosts.
fn offers_requests(chain: &FilterChain) -> bool {
    matches!(chain.kind, ChainKind::Https(_)) && chain.tls != Some(TlsMode::IstioMutual)
}

/// The names of all certificates that a filter chain may show, each once and sorted.
fn names(chain: &FilterChain, certificates: &Certificates) -> Vec<HostPattern> {
    let found = chain
        .credentials
        .iter()
        .filter_map(|credential| certificates.known(credential));
    let mut names: Vec<HostPattern> = found
        .flat_map(|found| found.names.iter().cloned())
        .collect();
    names.sort_by_cached_key(ToString::to_string);
    names.dedup();
    names
}

fn hosts(site: &Site<'_>, names: &[HostPattern]) -> Vec<usize> {
    let found = names
        .iter()
        .flat_map(|name| site.certified_by(name))
        .copied();
    found.collect::<BTreeSet<usize>>().into_iter().collect()
}

fn presumed(site: &Site<'_>, places: &[usize]) -> Option<Cover> {
    let users: BTreeSet<usize> = places.iter().copied().collect();
    let chains = || {
        users
            .iter()
            .filter_map(|place| Some((*place, site.chain(*place)?)))
    };
    let names: Vec<HostPattern> = chains()
        .flat_map(|(_, chain)| chain.server_names.iter().cloned())
        .collect();
    let mut hosts = hosts(site, &names);
    hosts.retain(|at| {
        site.candidate(*at)
            .is_some_and(|host| users.contains(&host.chain))
    });
    let connections =
        chains().filter(|(place, chain)| offers_requests(chain) && site.sni(*place).is_some());
    let connections: Vec<usize> = connections.map(|(place, _)| place).collect();
    (connections.len().min(hosts.len()) > 0).then_some(Cover {
        known: Known::Presumed,
        connections,
        hosts,
    })
}
