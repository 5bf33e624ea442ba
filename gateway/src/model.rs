//! From resources to workloads, listeners, filter chains and virtual hosts.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::attached::{self, Attached, attach};
use super::chains::{self, Claimed};
use super::generated::{Generated, Ignored, Unprogrammed, generate};
use super::listener::Listener;
use super::resources::{Labels, Resources};
use super::routes::{self, Delegates, RouteIndex};
use super::server::{self, Candidate, Server};
use super::server_merge::{Dropped, Merged, Place, merge};
use super::workloads::{self, Target};

/// What istiod makes of resources.
#[derive(Clone, Debug)]
pub struct Model {
    /// The workloads that run gateways, by namespace and name.
    pub workloads: Vec<Workload>,
    /// The listeners of the Gateway API that are on none.
    pub unprogrammed: Vec<Unprogrammed>,
    /// The resources that istiod leaves to others.
    pub ignored: Vec<Ignored>,
}

/// Pods that are alike and run a gateway.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Their namespace.
    pub namespace: String,
    /// That of their Deployment, or what is known of them.
    pub name: String,
    /// Their labels.
    pub labels: Labels,
    /// Whether the input has no such pods, so that they are guessed from a selector.
    pub is_assumed: bool,
    /// What they listen on, by address and port.
    pub listeners: Vec<Listener>,
    /// The servers that are left out.
    pub dropped: Vec<Dropped>,
}

impl Workload {
    /// Its namespace and name.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

impl Model {
    /// Models resources. This is near-linear in their number.
    #[must_use]
    pub fn of(resources: &Resources) -> Self {
        let Generated {
            mut candidates,
            mut bindings,
            unprogrammed,
            ignored,
        } = generate(resources);
        candidates.extend(resources.gateways.iter().map(server::candidate));
        let delegates = Delegates::new(&resources.virtual_services);
        let services = resources.virtual_services.iter();
        bindings.extend(services.filter_map(|service| routes::binding(service, &delegates)));
        candidates.sort_by(|a, b| a.age().cmp(&b.age()));
        let routes = RouteIndex::new(bindings);
        let shared: Vec<Vec<Arc<Server>>> = candidates
            .iter_mut()
            .map(|candidate| candidate.servers.drain(..).map(Arc::new).collect())
            .collect();
        let targets = workloads::targets(resources, &candidates);
        let workload = |target| model_workload(target, &candidates, &shared, &routes);
        let mut workloads: Vec<Workload> = targets.iter().map(workload).collect();
        workloads.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        Self {
            workloads,
            unprogrammed,
            ignored,
        }
    }
}

fn model_workload(
    target: &Target<'_>,
    candidates: &[Candidate],
    shared: &[Vec<Arc<Server>>],
    routes: &RouteIndex,
) -> Workload {
    let mut resolved = Vec::new();
    let mut uncertain = HashSet::new();
    // A Gateway may name several Services of the same pods.
    let mut seen = HashSet::new();
    for at in &target.candidates {
        let (Some(candidate), Some(servers)) = (candidates.get(*at), shared.get(*at)) else {
            continue;
        };
        for server in servers {
            for found in workloads::resolve(server.port, &candidate.attachment, target) {
                if !seen.insert((&server.id, found.port)) {
                    continue;
                }
                resolved.push((Arc::clone(server), found.port));
                if !found.certain {
                    uncertain.insert(found.port);
                }
            }
        }
    }
    let Merged { places, dropped } = merge(resolved);
    Workload {
        namespace: target.namespace.clone(),
        name: target.name.clone(),
        labels: target.labels.clone(),
        is_assumed: target.assumed,
        listeners: listeners(&places, target, routes, &uncertain),
        dropped,
    }
}

fn listeners(
    places: &BTreeMap<Place, Vec<Arc<Server>>>,
    target: &Target<'_>,
    routes: &RouteIndex,
    uncertain: &HashSet<u16>,
) -> Vec<Listener> {
    let servers: Vec<Arc<Server>> = places.values().flatten().cloned().collect();
    let mut attached = attach(&servers, routes, &target.namespace).into_iter();
    let mut claimed = Claimed::new();
    let workload = attached::Workload {
        namespace: &target.namespace,
        labels: &target.labels,
    };
    let mut listeners = Vec::with_capacity(places.len());
    for (place, servers) in places {
        let of_server = |server: &Arc<Server>| {
            let attached: Vec<Attached<'_>> = attached.next().unwrap_or_default();
            chains::chains(server, place.port, &attached, workload, &mut claimed)
        };
        let chains = chains::one_plain_chain(servers.iter().flat_map(of_server).collect());
        // A listener without a chain is none (Istio `MutableGatewayListener.build`).
        if chains.is_empty() {
            continue;
        }
        let (by_server_name, duplicates) = chains::by_server_name(&chains);
        listeners.push(Listener {
            bind: place.bind.clone(),
            port: place.port,
            port_is_certain: !uncertain.contains(&place.port),
            chains,
            duplicates,
            by_server_name,
        });
    }
    listeners
}
