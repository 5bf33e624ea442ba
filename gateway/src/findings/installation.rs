//! Resources that install an HTTP filter in gateways, and the gateways that istiod attaches them to.

use crate::istio::Reach;
use crate::policy_attachment::PolicyAttachment;
use crate::resources::envoy_filter::{ConfigPatch, EnvoyFilter, PatchMatch};
use crate::resources::extensions::{Extension, TargetRef};
use crate::resources::{Kind, Labels, Metadata, ResourceName, Resources};
use crate::{FilterChain, Listener, Model, Workload};

/// The network filter that runs HTTP filters.
const CONNECTION_MANAGER: &str = "envoy.filters.network.http_connection_manager";

/// The last HTTP filter, which every gateway has.
const ROUTER: &str = "envoy.filters.http.router";

/// A resource that installs an HTTP filter in gateways.
#[derive(Clone, Copy, Debug)]
pub(super) enum Installation<'r> {
    /// A WasmPlugin or TrafficExtension.
    Extension(&'r Extension),
    /// An `EnvoyFilter`, with one of its patches.
    Patch(&'r EnvoyFilter, &'r ConfigPatch),
}

impl<'r> Installation<'r> {
    /// The installations of an input.
    pub(super) fn all(resources: &'r Resources) -> Vec<Self> {
        let mut all: Vec<Self> = resources.extensions.iter().map(Self::Extension).collect();
        for filter in &resources.envoy_filters {
            for patch in &filter.spec.config_patches {
                all.push(Self::Patch(filter, patch));
            }
        }
        all
    }

    pub(super) fn metadata(self) -> &'r Metadata {
        match self {
            Self::Extension(extension) => &extension.metadata,
            Self::Patch(filter, _) => &filter.metadata,
        }
    }

    pub(super) fn resource(self) -> ResourceName {
        let kind = match self {
            Self::Extension(extension) => extension.kind,
            Self::Patch(..) => Kind::EnvoyFilter,
        };
        self.metadata().resource(kind)
    }

    /// The Lua script, if the filter is one.
    pub(super) fn script(self) -> Option<&'r str> {
        match self {
            Self::Extension(extension) => extension.script(),
            Self::Patch(_, patch) => patch.script(),
        }
    }

    /// The labels of the pods; `None` for all pods of the namespace.
    pub(super) fn selector(self) -> Option<&'r Labels> {
        match self {
            Self::Extension(extension) => extension
                .spec
                .selector
                .as_ref()
                .map(|selector| &selector.match_labels),
            Self::Patch(filter, _) => filter
                .spec
                .workload_selector
                .as_ref()
                .map(|selector| &selector.labels),
        }
    }

    /// The references that replace the selector.
    pub(super) fn targets(self) -> &'r [TargetRef] {
        match self {
            Self::Extension(extension) => extension.targets(),
            Self::Patch(filter, _) => &filter.spec.target_refs,
        }
    }

    /// How the resource selects the pods that it applies to.
    pub(super) fn attachment(self) -> PolicyAttachment<'r> {
        PolicyAttachment {
            metadata: self.metadata(),
            selector: self.selector(),
            targets: self.targets(),
        }
    }

    /// Whether the filter is attached to the pods of a workload.
    pub(super) fn reach(self, workload: &Workload) -> Reach {
        self.attachment().reach(workload)
    }

    /// The workloads that Istio attaches the filter to for certain.
    pub(super) fn attached_workloads(self, model: &Model) -> Vec<&Workload> {
        model
            .workloads
            .iter()
            .filter(|workload| self.reach(workload) == Reach::Yes)
            .collect()
    }

    /// Whether the filter runs before an AuthorizationPolicy answers 403 (Istio
    /// `pilot/pkg/networking/core/listener_builder.go`, `buildHTTPConnectionManager`).
    pub(super) fn precedes_policies(self) -> bool {
        match self {
            Self::Extension(extension) => {
                matches!(extension.spec.phase.as_str(), "AUTHN" | "AUTHZ")
            }
            Self::Patch(_, patch) => patch.is_first(),
        }
    }

    /// Whether the filter, attached to a workload, runs in a filter chain of a TLS listener.
    pub(super) fn runs_in(self, listener: &Listener, chain: &FilterChain) -> Reach {
        match self {
            Self::Extension(extension) if matches_listener(extension, listener) => Reach::Yes,
            Self::Extension(_) => Reach::No,
            Self::Patch(_, patch) => patch_reach(&patch.matched, listener, chain),
        }
    }

    /// Whether the filter, attached to a workload, runs in any filter chain of a TLS listener.
    pub(super) fn runs_on(self, listener: &Listener) -> Reach {
        let mut reach = Reach::No;
        for chain in listener.chains.iter().filter(|chain| chain.tls.is_some()) {
            match self.runs_in(listener, chain) {
                Reach::Yes => return Reach::Yes,
                Reach::Unknown => reach = Reach::Unknown,
                Reach::No => {}
            }
        }
        reach
    }
}

/// Whether a plugin runs on a listener: without any `match` on every listener, else if the mode and the port
/// match (Istio `pilot/pkg/model/extensions.go`, `matchTrafficExtensionSelectors`).
fn matches_listener(extension: &Extension, listener: &Listener) -> bool {
    let matches = &extension.spec.matches;
    // Istio treats a listener of a gateway as CLIENT, and an empty mode as both.
    let is_matched = matches
        .iter()
        .filter(|found| found.mode != "SERVER")
        .any(|found| {
            found.ports.is_empty() || found.ports.iter().any(|port| port.number == listener.port)
        });
    // A network filter never sees a request (`MatchType` there).
    !extension.is_network_filter() && (matches.is_empty() || is_matched)
}

/// Whether istiod applies a patch to a filter chain of a gateway (Istio
/// `pilot/pkg/networking/core/envoyfilter/listener_patch.go`: `patchContextMatch`, `listenerMatch` and
/// `filterChainMatch`).
fn patch_reach(matched: &PatchMatch, listener: &Listener, chain: &FilterChain) -> Reach {
    let wanted = &matched.listener;
    let is_context = matches!(matched.context.as_str(), "" | "ANY" | "GATEWAY");
    let is_name = wanted.name.is_empty() || wanted.name == listener.name();
    let is_port = wanted.port_number == 0 || wanted.port_number == u32::from(listener.port);
    // istiod compares the text of the server names, so a wildcard does not match the hosts that it covers.
    let chain_match = &wanted.filter_chain;
    let is_sni = chain_match.sni.is_empty()
        || chain
            .server_names
            .iter()
            .any(|name| name.to_string() == chain_match.sni);
    if !(is_context && is_name && is_port && is_sni) {
        return Reach::No;
    }

    // The model does not have what the other conditions compare, such as the versions of proxies.
    let filter = &chain_match.filter;
    let is_filter = matches!(filter.name.as_str(), "" | CONNECTION_MANAGER)
        && matches!(filter.sub_filter.name.as_str(), "" | ROUTER);
    let is_certain = matched.proxy.is_none()
        && chain_match.name.is_empty()
        && chain_match.others.is_empty()
        && is_filter;
    if is_certain {
        Reach::Yes
    } else {
        Reach::Unknown
    }
}
