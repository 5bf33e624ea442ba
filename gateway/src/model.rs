//! From resources to workloads, listeners, filter chains and virtual hosts.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::attached::{Proxy, attach};
use super::chains::{self, ClaimedNames};
use super::generated::{Generated, Ignored, Unprogrammed, generate};
use super::istio::GATEWAY_NAME_LABEL;
use super::listener::{ChainKind, FilterChain, Listener};
use super::mesh::MeshSettings;
use super::resources::{Kind, Labels, ResourceName, Resources};
use super::revisions::{PodRevisions, World, seen_by_none, worlds};
use super::routes::{self, Delegates, RouteIndex};
use super::server::{GatewayConfig, GatewayPods, Server};
use super::server_merge::{Dropped, ListenerAddress, merge};
use super::workloads::{self, ProxyPods, ServicePorts};

/// The configuration that istiod computes from resources.
#[derive(Clone, Debug)]
pub struct Model {
    /// The workloads that run gateways, sorted by namespace and name.
    pub workloads: Vec<Workload>,
    /// The listeners of the Gateway API that istiod does not program on any workload.
    pub unprogrammed: Vec<Unprogrammed>,
    /// The resources whose class belongs to another controller.
    pub ignored: Vec<Ignored>,
    /// The resources whose servers run on no pods, where the input has the pods.
    pub unselected: Vec<Unselected>,
    /// The settings of each istiod: one, or one for each revision of the input.
    pub settings: Vec<MeshSettings>,
}

/// A resource whose servers run on no pods. The input has all pods of the cluster, or pods of the namespace in
/// which the resource needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unselected {
    pub resource: ResourceName,
    pub selection: Selection,
}

/// How a resource selects its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Pods with these labels; without labels, every gateway.
    Labels(Labels),
    /// The pods of a Service.
    Service { namespace: String, name: String },
}

/// Pods with the same labels that run a gateway.
#[derive(Clone, Debug)]
pub struct Workload {
    pub namespace: String,
    /// The name of their Deployment, or the labels of assumed pods.
    pub name: String,
    pub labels: Labels,
    /// The revision of the istiod that configures the pods, if the input shows it.
    pub revision: Option<String>,
    /// The namespace whose plugins apply to all namespaces, for the istiod of these pods.
    pub root_namespace: String,
    /// Whether the input does not contain the pods: the model assumes them from a selector.
    pub is_assumed: bool,
    /// Their listeners, sorted by port and address.
    pub listeners: Vec<Listener>,
    /// The servers that istiod drops here.
    pub dropped: Vec<Dropped>,
    /// The servers that istiod keeps and builds no filter chain for, because no route gives them a
    /// destination.
    pub(crate) without_chains: Vec<WithoutChain>,
    /// The Services of the input that select the pods.
    pub(crate) services: Vec<ServicePorts>,
}

/// A server without a filter chain, for example for passthrough without a TLS route.
#[derive(Clone, Debug)]
pub(crate) struct WithoutChain {
    pub(crate) server: Arc<Server>,
    /// The port that Envoy would listen on.
    pub(crate) port: u16,
    pub(crate) bind: String,
}

impl Workload {
    /// The namespace and the name, for output.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

impl Model {
    /// Computes the model. The time is near-linear in the number of resources.
    #[must_use]
    pub fn new(resources: &Resources) -> Self {
        let mut model = Self {
            workloads: Vec::new(),
            unprogrammed: Vec::new(),
            ignored: Vec::new(),
            unselected: Vec::new(),
            settings: Vec::new(),
        };
        // Of two resources with one name, the cluster has the last one.
        let resources = resources.without_replaced();
        // Each istiod configures the pods of its revision from the resources of its revision.
        let (worlds, revisions) = worlds(&resources);
        let mut selected = HashSet::new();
        for world in &worlds {
            let part = Part::new(world, &revisions);
            model.workloads.extend(part.workloads);
            model.unprogrammed.extend(part.unprogrammed);
            model.ignored.extend(part.ignored);
            model.unselected.extend(part.unselected);
            model.settings.push(world.settings.clone());
            selected.extend(part.selected);
        }

        // The order of revisions must not show, and several of them see the resources without a label.
        model
            .workloads
            .sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        model.ignored.extend(seen_by_none(&resources, &worlds));
        model.unprogrammed.sort_by(|a, b| a.server.cmp(&b.server));
        model.unprogrammed.dedup();
        model.ignored.sort_by(|a, b| a.resource.cmp(&b.resource));
        model.ignored.dedup();
        // A Gateway that one revision runs has pods.
        model
            .unselected
            .retain(|unselected| !selected.contains(&unselected.resource));
        model.unselected.sort_by(|a, b| a.resource.cmp(&b.resource));
        model.unselected.dedup();
        model
    }
}

impl Model {
    /// Whether the gateways serve a VirtualService of another namespace only because the default of istiod for
    /// `exportTo` is assumed.
    #[must_use]
    pub fn assumes_export_to(&self, resources: &Resources) -> bool {
        if self
            .settings
            .iter()
            .all(|settings| settings.has_mesh_config)
        {
            return false;
        }
        let by_default: HashSet<(&str, &str)> = resources
            .virtual_services
            .iter()
            .filter(|service| service.spec.export_to.is_empty())
            .map(|service| {
                let metadata = &service.metadata;
                (metadata.namespace.as_str(), metadata.name.as_str())
            })
            .collect();
        self.workloads.iter().any(|workload| {
            workload
                .listeners
                .iter()
                .flat_map(|listener| &listener.chains)
                .filter_map(|chain| match &chain.kind {
                    ChainKind::Https(table) => Some(&table.virtual_hosts),
                    ChainKind::Tcp | ChainKind::Passthrough | ChainKind::Plain => None,
                })
                .flatten()
                .flat_map(|host| &host.routes)
                .map(|route| &route.resource)
                .filter(|resource| resource.kind == Kind::VirtualService)
                .filter(|resource| resource.namespace != workload.namespace)
                .any(|resource| by_default.contains(&(&*resource.namespace, &*resource.name)))
        })
    }
}

/// The part of the model that one istiod computes.
struct Part {
    workloads: Vec<Workload>,
    unprogrammed: Vec<Unprogrammed>,
    ignored: Vec<Ignored>,
    unselected: Vec<Unselected>,
    /// The resources whose servers run on pods.
    selected: HashSet<ResourceName>,
}

impl Part {
    fn new(world: &World<'_>, revisions: &PodRevisions<'_>) -> Self {
        let resources = &world.resources;
        // The Gateway API and Ingresses first: istiod translates them to Gateways and VirtualServices.
        let Generated {
            mut gateways,
            mut bindings,
            unprogrammed,
            ignored,
        } = generate(resources, &world.settings);
        gateways.extend(resources.gateways.iter().map(GatewayConfig::from_gateway));
        // istiod merges Gateways in the order of their age.
        gateways.sort_by(|a, b| a.age().cmp(&b.age()));

        let delegates = Delegates::new(
            &resources.virtual_services,
            &world.settings.virtual_service_export_to,
        );
        bindings.extend(
            resources
                .virtual_services
                .iter()
                .filter_map(|service| routes::binding(service, &delegates)),
        );
        let routes = RouteIndex::new(bindings);

        // Each workload has its own merge: a server can be dropped on one and kept on another.
        let proxies = workloads::proxies(world, revisions, &gateways);
        Self {
            selected: proxies
                .pods
                .iter()
                .flat_map(|pods| &pods.gateways)
                .filter_map(|index| resource(index.config(&gateways)?))
                .collect(),
            unselected: proxies
                .unselected
                .iter()
                .filter_map(|index| Unselected::new(index.config(&gateways)?))
                .collect(),
            workloads: proxies
                .pods
                .into_iter()
                .map(|pods| workload(pods, &gateways, &routes, world))
                .collect(),
            unprogrammed,
            ignored,
        }
    }
}

/// The resource that a Gateway is written in; `None` for one without servers, which has no effect.
fn resource(config: &GatewayConfig) -> Option<ResourceName> {
    let server = config.servers.first()?;
    Some(server.id.resource.clone())
}

impl Unselected {
    fn new(config: &GatewayConfig) -> Option<Self> {
        Some(Self {
            resource: resource(config)?,
            selection: match &config.attachment {
                GatewayPods::Selector(labels) => Selection::Labels(labels.clone()),
                GatewayPods::Managed { gateway, .. } => {
                    Selection::Labels(Labels::from([(GATEWAY_NAME_LABEL.into(), gateway.clone())]))
                }
                GatewayPods::Service { namespace, name } => Selection::Service {
                    namespace: namespace.clone(),
                    name: name.clone(),
                },
            },
        })
    }
}

fn workload(
    pods: ProxyPods<'_>,
    gateways: &[GatewayConfig],
    routes: &RouteIndex,
    world: &World<'_>,
) -> Workload {
    // The servers of the pods with the ports that Envoy listens on, the oldest first.
    let mut servers = Vec::new();
    let mut uncertain_ports = HashSet::new();
    // A Gateway can name several Services that select the same pods.
    let mut seen = HashSet::new();
    for config in pods
        .gateways
        .iter()
        .filter_map(|index| index.config(gateways))
    {
        for server in &config.servers {
            for resolved in workloads::resolve(server.port, &config.attachment, &pods) {
                if !seen.insert((&server.id, resolved.port)) {
                    continue;
                }
                servers.push((Arc::clone(server), resolved.port));
                if !resolved.is_certain {
                    uncertain_ports.insert(resolved.port);
                }
            }
        }
    }

    let merged = merge(servers);
    let (listeners, without_chains) = listeners(&merged.servers, &pods, routes, &uncertain_ports);
    Workload {
        listeners,
        without_chains,
        services: pods
            .services
            .iter()
            .map(|service| ServicePorts::new(service, &pods))
            .collect(),
        namespace: pods.namespace,
        name: pods.name,
        labels: pods.labels,
        revision: world.revision.map(str::to_owned).or(pods.revision),
        root_namespace: world.settings.root_namespace.clone(),
        is_assumed: pods.is_assumed,
        dropped: merged.dropped,
    }
}

fn listeners(
    servers: &BTreeMap<ListenerAddress, Vec<Arc<Server>>>,
    pods: &ProxyPods<'_>,
    routes: &RouteIndex,
    uncertain_ports: &HashSet<u16>,
) -> (Vec<Listener>, Vec<WithoutChain>) {
    // Routes are attached for all listeners together, so that the hosts of routes are indexed once.
    let all: Vec<&Server> = servers.values().flatten().map(Arc::as_ref).collect();
    let attached = attach(&all, routes, &pods.namespace);

    // The filter chains of each server, in the order in which istiod builds them: a later passthrough
    // chain loses the server names that an earlier one has.
    let proxy = Proxy {
        namespace: &pods.namespace,
        labels: &pods.labels,
    };
    let mut claimed = ClaimedNames::default();
    let mut chains: BTreeMap<&ListenerAddress, Vec<FilterChain>> = BTreeMap::new();
    let mut without_chains = Vec::new();
    for ((address, server), attached) in servers
        .iter()
        .flat_map(|(address, servers)| servers.iter().map(move |server| (address, server)))
        .zip(&attached)
    {
        let built = chains::chains(server, address.port, attached, proxy, &mut claimed);
        if built.is_empty() {
            without_chains.push(WithoutChain {
                server: Arc::clone(server),
                port: address.port,
                bind: address.bind.clone(),
            });
        }
        chains.entry(address).or_default().extend(built);
    }

    let listeners = chains
        .into_iter()
        .map(|(address, chains)| (address, chains::with_one_plain_chain(chains)))
        // istiod does not create a listener without filter chains (`MutableGatewayListener.build`).
        .filter(|(_, chains)| !chains.is_empty())
        .map(|(address, chains)| {
            let (by_server_name, duplicates) = chains::by_server_name(&chains);
            Listener {
                bind: address.bind.clone(),
                port: address.port,
                port_is_certain: !uncertain_ports.contains(&address.port),
                chains,
                duplicates,
                by_server_name,
            }
        })
        .collect();
    (listeners, without_chains)
}
