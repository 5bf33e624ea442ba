//! The listeners of Envoy, and the outcome of a request on each of them.

mod sample_hosts;
mod servers;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rule::host::HostTable;
use rule::{Host, HostPattern, Route};

use super::credential::Credential;
use super::resources::ResourceName;
use super::resources::istio::TlsMode;
use super::routes::Rule;
use super::server::Server;
pub use sample_hosts::{sample_hosts, samples};

/// An address and a port with filter chains. Envoy selects the chain of a connection by SNI.
#[derive(Clone, Debug)]
pub struct Listener {
    pub bind: String,
    /// The port that Envoy listens on: the target port, if a Service maps the port of the Gateway.
    pub port: u16,
    /// Whether the input determines the port: it contains the Service, or the port does not depend on one.
    pub port_is_certain: bool,
    pub chains: Vec<FilterChain>,
    /// The server names that two chains have. Envoy refuses a listener with any of them.
    pub duplicates: Vec<Duplicate>,
    /// The index of the chain for each server name.
    pub(crate) by_server_name: HostTable<usize>,
}

/// A server name of two filter chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    pub host: HostPattern,
    /// The index of the first chain with the name.
    pub first: usize,
    /// The index of the second chain; the same index if one chain has the name twice.
    pub second: usize,
}

/// A filter chain: it handles the connections with some server names.
#[derive(Clone, Debug)]
pub struct FilterChain {
    /// The name of its route table, such as `https.443.https.public.shop`. The name of a chain without a
    /// route table begins with `tcp`, `passthrough` or `plain` instead.
    pub name: String,
    /// The server that istiod builds the chain for.
    pub server: Arc<Server>,
    /// The server names that it matches; only [`HostPattern::Any`] for all names that no other chain has.
    pub server_names: Vec<HostPattern>,
    /// Its TLS mode; `None` for plain text.
    pub tls: Option<TlsMode>,
    /// The sources of its certificates.
    pub credentials: Vec<Credential>,
    /// The Secrets that the server refers to and that istiod does not give to the workload: they are in
    /// another namespace. A chain without any other credential has no certificate.
    pub refused_secrets: Vec<ResourceName>,
    pub kind: ChainKind,
}

/// How a [`FilterChain`] handles connections.
#[derive(Clone, Debug)]
pub enum ChainKind {
    /// It terminates TLS and routes requests over HTTP/1.1 and HTTP/2.
    Https(RouteTable),
    /// It terminates TLS and forwards the content.
    Tcp,
    /// It forwards TLS to a backend.
    Passthrough,
    Plain,
}

/// The virtual hosts of a filter chain.
#[derive(Clone, Debug)]
pub struct RouteTable {
    pub virtual_hosts: Vec<VirtualHost>,
    pub(crate) by_authority: HostTable<usize>,
}

/// The routes for some authorities.
#[derive(Clone, Debug)]
pub struct VirtualHost {
    /// The name in Envoy, such as `a.example.com:443`.
    pub name: String,
    pub domains: Vec<HostPattern>,
    /// The routes. The only virtual host of an empty table has none.
    pub routes: Vec<RouteSource>,
}

/// Routes, identified by the resource and the rules that they are written in. Equal sources have the same
/// effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteSource {
    pub resource: Arc<ResourceName>,
    /// The rules of the resource that apply to the server.
    pub rules: Vec<Rule>,
    /// What decides their order among the rules of other resources; `None` if it is not known.
    pub(crate) order: Option<RouteOrder>,
}

/// What decides the order of the rules of a VirtualService among those of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RouteOrder {
    pub(crate) created: DateTime<Utc>,
    /// The index in the rules of the first rule that matches every request.
    pub(crate) catch_all: Option<usize>,
}

/// The rules that requests can reach, in the order of Envoy. istiod appends the rules of all
/// VirtualServices of a host, without those after a rule for all requests
/// (`BuildHTTPRoutesForVirtualService`), and then moves the rules for all requests to the end (Istio
/// `pilot/pkg/networking/core/route/route.go`, `SortVHostRoutes`). Envoy uses the first rule that matches, so
/// only the first of those has an effect. `None` if the order is not known.
#[must_use]
pub fn reached_rules(routes: &[RouteSource]) -> Option<Vec<(&ResourceName, Rule)>> {
    let mut reached = Vec::new();
    let mut first_catch_all = None;
    for source in routes {
        let catch_all = source.order?.catch_all;
        for (index, rule) in source.rules.iter().enumerate() {
            if Some(index) == catch_all {
                first_catch_all = first_catch_all.or(Some((&*source.resource, *rule)));
                break;
            }
            reached.push((&*source.resource, *rule));
        }
    }
    reached.extend(first_catch_all);
    Some(reached)
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A virtual host has routes for the authority.
    Served,
    /// Envoy answers 404: no virtual host has routes for the authority.
    NotFound,
    /// Envoy resets the connection: no filter chain matches the SNI.
    Reset,
    /// Envoy forwards the connection to a backend that terminates TLS.
    Passthrough,
    /// Envoy terminates TLS and forwards the content to a backend.
    Tcp,
}

impl Outcome {
    /// The name in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::NotFound => "not_found",
            Self::Reset => "reset",
            Self::Passthrough => "passthrough",
            Self::Tcp => "tcp",
        }
    }
}

/// The outcome of a request, with the filter chain and virtual host that handle it.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'l> {
    pub outcome: Outcome,
    pub chain: Option<&'l FilterChain>,
    pub virtual_host: Option<&'l VirtualHost>,
}

impl Answer<'_> {
    /// The route as the filter sees it.
    #[must_use]
    pub fn route(&self) -> Route {
        Route::from_virtual_host(self.virtual_host.map(|host| host.name.as_bytes()))
    }
}

impl Listener {
    /// The name in Envoy, such as `0.0.0.0_8443`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}_{}", self.bind, self.port)
    }

    /// Whether Envoy refuses the listener. It then serves nothing here.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        !self.duplicates.is_empty()
    }

    /// Whether connections use TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.chains.iter().any(|chain| chain.tls.is_some())
    }

    /// The filter chain for an SNI: the chain with the exact name, else with the longest wildcard, else the
    /// chain for all names (Envoy `filter_chain_manager_impl.cc`). A connection without SNI gets the chain
    /// for all names.
    #[must_use]
    pub fn chain(&self, sni: &[u8]) -> Option<&FilterChain> {
        self.chains.get(self.chain_index(sni)?)
    }

    /// The index of that filter chain in [`Self::chains`].
    #[must_use]
    pub(crate) fn chain_index(&self, sni: &[u8]) -> Option<usize> {
        // Without an SNI, and with one that is not a host name, no server name matches.
        let index = match Host::from_sni(sni) {
            Some(host) => self.by_server_name.best(host),
            None => self.by_server_name.get(&HostPattern::Any),
        };
        index.copied()
    }

    /// The outcome of a request for an authority on a connection with an SNI. An empty SNI is a connection
    /// without one.
    #[must_use]
    pub fn answer(&self, sni: &[u8], authority: &[u8]) -> Answer<'_> {
        // Envoy keeps the connections of a listener that it refuses closed, whatever the SNI.
        match self.chain(sni) {
            Some(chain) if !self.is_rejected() => chain.answer(authority),
            Some(_) | None => Answer {
                outcome: Outcome::Reset,
                chain: None,
                virtual_host: None,
            },
        }
    }
}

impl FilterChain {
    /// The outcome of a request for an authority on a connection of this chain.
    #[must_use]
    pub fn answer(&self, authority: &[u8]) -> Answer<'_> {
        let (outcome, virtual_host) = match &self.kind {
            ChainKind::Https(table) => table.answer(authority),
            ChainKind::Tcp => (Outcome::Tcp, None),
            ChainKind::Passthrough => (Outcome::Passthrough, None),
            // The handshake of TLS is not valid plain text.
            ChainKind::Plain => (Outcome::Reset, None),
        };
        Answer {
            outcome,
            chain: Some(self),
            virtual_host,
        }
    }

    /// The virtual hosts of its route table.
    #[must_use]
    pub fn virtual_hosts(&self) -> &[VirtualHost] {
        match &self.kind {
            ChainKind::Https(table) => &table.virtual_hosts,
            ChainKind::Tcp | ChainKind::Passthrough | ChainKind::Plain => &[],
        }
    }

    /// The domains of the virtual hosts that have routes.
    pub fn domains(&self) -> impl Iterator<Item = &HostPattern> {
        self.virtual_hosts()
            .iter()
            .filter(|host| !host.routes.is_empty())
            .flat_map(|host| &host.domains)
    }
}

impl RouteTable {
    /// The outcome for an authority and its virtual host, which Envoy looks up without the port (istiod sets
    /// `ignore_port_in_host_matching`) but with a trailing dot (istiod does not set
    /// `strip_trailing_host_dot`). No domain has a trailing dot.
    fn answer(&self, authority: &[u8]) -> (Outcome, Option<&VirtualHost>) {
        let virtual_host = self
            .by_authority
            .best(Host::from_authority(authority))
            .and_then(|index| self.virtual_hosts.get(*index));
        // The virtual host of an empty table matches every authority and has no routes.
        match virtual_host {
            Some(host) if !host.routes.is_empty() => (Outcome::Served, virtual_host),
            Some(_) | None => (Outcome::NotFound, virtual_host),
        }
    }
}
