//! What a plan changes for users although every host keeps its answer.

use std::collections::{BTreeMap, BTreeSet};

use rule::host::istio::IstioHost;

use super::Strategy;
use super::group::{Group, Member, split_namespace};
use super::state::State;
use super::steps::{Step, StepKind};
use super::write::Write;
use crate::resources::ResourceName;
use crate::{Certificates, Credential, FilterChain, ServerId};

/// What a plan changes for users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Hosts with another certificate at the end.
    pub certificates: Vec<CertificateChange>,
    /// Hosts for which other namespaces can have routes at the end.
    pub restrictions: Vec<LostRestriction>,
    /// Annotations of Gateways that the plan deletes.
    pub annotations: Vec<LostAnnotations>,
    /// The steps at which requests can fail.
    pub risky_steps: RiskySteps,
}

/// Annotations that the target's Gateway does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostAnnotations {
    /// The Gateway that is deleted.
    pub gateway: ResourceName,
    /// The keys, sorted.
    pub keys: Vec<String>,
}

/// Hosts that show another certificate at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateChange {
    pub hosts: Vec<String>,
    /// The sources of the certificates before the plan.
    pub from: Vec<Credential>,
    /// The sources of the certificates after the plan.
    pub to: Vec<Credential>,
}

/// A host that only routes of one namespace could use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostRestriction {
    /// The host as `namespace/host`.
    pub host: String,
    /// The host of the merged server that admits routes of other namespaces.
    pub wider: String,
    /// The server that has the wider host before the plan.
    pub server: ServerId,
}

/// The steps at which requests can fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RiskySteps {
    /// The kind of plan, which decides what can fail.
    pub kind: Risk,
    pub count: usize,
}

/// Which requests can fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Risk {
    /// Requests on connections that stay idle until the next step. The drain wait prevents it.
    #[default]
    Drain,
    /// Requests on new connections, for some milliseconds.
    Gap,
}

/// What a plan changes. `hosts` has a host for each server name and route.
pub(super) fn effects(
    group: &Group<'_>,
    state: &State,
    hosts: &[String],
    presenter: &Member,
    certificates: &Certificates,
    (strategy, steps): (Strategy, &[Step]),
) -> Effects {
    Effects {
        certificates: certificate_changes(group, hosts, presenter, certificates),
        restrictions: lost_restrictions(group, state),
        annotations: lost_annotations(group, state, steps),
        risky_steps: risky_steps(strategy, steps),
    }
}

fn certificate_changes(
    group: &Group<'_>,
    hosts: &[String],
    presenter: &Member,
    certificates: &Certificates,
) -> Vec<CertificateChange> {
    let Some(after) = group
        .listener
        .chains
        .iter()
        .find(|chain| chain.server.id == presenter.id)
    else {
        return Vec::new();
    };
    let mut by_source: BTreeMap<&[Credential], Vec<String>> = BTreeMap::new();
    for host in hosts {
        if let Some(before) = group.listener.chain(host.as_bytes())
            && !shows_same_certificates(before, after, certificates)
        {
            by_source
                .entry(&before.credentials)
                .or_default()
                .push(host.clone());
        }
    }
    by_source
        .into_iter()
        .map(|(from, hosts)| CertificateChange {
            hosts,
            from: from.to_vec(),
            to: after.credentials.clone(),
        })
        .collect()
}

/// Whether two servers use the same sources, or copies of the same certificates.
fn shows_same_certificates(
    one: &FilterChain,
    other: &FilterChain,
    certificates: &Certificates,
) -> bool {
    one.credentials == other.credentials
        || fingerprints(one, certificates)
            .is_some_and(|known| Some(known) == fingerprints(other, certificates))
}

/// The digests of the certificates of a server; `None` if the contents of one are unknown.
fn fingerprints<'c>(
    chain: &FilterChain,
    certificates: &'c Certificates,
) -> Option<BTreeSet<&'c str>> {
    chain
        .credentials
        .iter()
        .map(|credential| Some(&*certificates.known(credential)?.fingerprint))
        .collect()
}

fn lost_restrictions(group: &Group<'_>, state: &State) -> Vec<LostRestriction> {
    let hosts: Vec<(&Member, Vec<String>)> = group
        .members()
        .map(|member| (member, member.hosts(state)))
        .collect();
    let mut lost = Vec::new();
    for (member, own) in &hosts {
        for host in own.iter().filter(|host| split_namespace(host).0.is_some()) {
            // A wider host in the same server admits these routes already.
            if own.iter().any(|other| admits_more(other, host)) {
                continue;
            }
            let wider = hosts
                .iter()
                .filter(|(other, _)| other.id != member.id)
                .find_map(|(other, theirs)| {
                    let wider = theirs.iter().find(|wider| admits_more(wider, host))?;
                    Some((&other.id, wider))
                });
            if let Some((server, wider)) = wider {
                lost.push(LostRestriction {
                    host: host.clone(),
                    wider: wider.clone(),
                    server: server.clone(),
                });
            }
        }
    }
    lost
}

/// Whether a host covers another one, for routes of other namespaces.
fn admits_more(wider: &str, host: &str) -> bool {
    let (wider_namespace, wider_name) = split_namespace(wider);
    let (namespace, name) = split_namespace(host);
    // The namespace `~` admits no routes.
    wider_namespace != namespace
        && wider_namespace != Some("~")
        && IstioHost(name).is_subset_of(IstioHost(wider_name))
}

/// Annotations that only describe how the resource was written. `owners` reports the programs.
const WRITERS: [&str; 5] = [
    "kubectl.kubernetes.io/",
    "meta.helm.sh/",
    "argocd.argoproj.io/",
    "config.kubernetes.io/",
    "config.k8s.io/",
];

/// Programs such as external-dns read annotations of Gateways, so the target may need them too.
fn lost_annotations(group: &Group<'_>, state: &State, steps: &[Step]) -> Vec<LostAnnotations> {
    let kept = state
        .gateway(&group.target.gateway)
        .map(|gateway| &gateway.metadata.annotations);
    let is_lost = |key: &str, value: &str| {
        !WRITERS.iter().any(|writer| key.starts_with(writer))
            && kept.and_then(|kept| kept.get(key)).map(String::as_str) != Some(value)
    };
    let mut lost = Vec::new();
    for write in steps.iter().flat_map(|step| &step.writes) {
        let Write::Delete { resource, .. } = write else {
            continue;
        };
        let Some(gateway) = state.gateway(resource) else {
            continue;
        };
        let keys: Vec<String> = gateway
            .metadata
            .annotations
            .iter()
            .filter(|(key, value)| is_lost(key, value))
            .map(|(key, _)| key.clone())
            .collect();
        if !keys.is_empty() {
            lost.push(LostAnnotations {
                gateway: resource.clone(),
                keys,
            });
        }
    }
    lost
}

fn risky_steps(strategy: Strategy, steps: &[Step]) -> RiskySteps {
    let (kind, step_kind) = match strategy {
        // Envoy drains the connections of a server whose hosts moved away.
        Strategy::Seamless => (Risk::Drain, StepKind::ShiftConnections),
        Strategy::Short => (Risk::Gap, StepKind::MoveHosts),
    };
    RiskySteps {
        kind,
        count: steps.iter().filter(|step| step.kind == step_kind).count(),
    }
}
