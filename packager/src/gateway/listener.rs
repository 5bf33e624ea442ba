//! What Envoy listens on, and what becomes of a request there.

mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rule::host::HostTable;
use rule::{Host, HostPattern, Route};

use super::credential::Credential;
use super::resources::ResourceName;
use super::resources::istio::TlsMode;
use super::routes::Rule;
use super::server::{Server, ServerId};
pub use names::{names, samples};

/// An address and a port, with the filter chains that server names choose from.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The address.
    pub bind: String,
    /// The port Envoy listens on: where a Service maps the Gateway's port to another, the other.
    pub port: u16,
    /// Whether the input leaves no doubt about that port: it had the Service, or none is needed.
    pub port_is_certain: bool,
    /// The filter chains.
    pub chains: Vec<FilterChain>,
    /// The server names that two chains have. Envoy refuses a listener with any, whole.
    pub duplicates: Vec<Duplicate>,
    pub(super) by_server_name: HostTable<usize>,
}

/// A server name of two filter chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The server name.
    pub host: HostPattern,
    /// The place of the chain that has it first.
    pub first: usize,
    /// The place of the other; the same for a chain that has it twice.
    pub second: usize,
}

/// What handles the connections for some server names.
#[derive(Clone, Debug)]
pub struct FilterChain {
    /// That of its route table, such as `https.443.https.public.shop`; where it has none, the same with
    /// `tcp`, `passthrough` or `plain` in front.
    pub name: String,
    /// The server it comes from.
    pub server: Arc<Server>,
    /// The server names it is for; [`HostPattern::Any`] alone for all that no other chain has.
    pub server_names: Vec<HostPattern>,
    /// Its TLS mode; `None` for plain text.
    pub tls: Option<TlsMode>,
    /// Where its certificates come from.
    pub credentials: Vec<Credential>,
    /// What it does with a connection.
    pub service: Service,
}

/// What a [`FilterChain`] does with a connection.
#[derive(Clone, Debug)]
pub enum Service {
    /// Terminates TLS and reads requests, HTTP/2 too.
    Https(RouteTable),
    /// Terminates TLS and forwards what is in it.
    Tcp,
    /// Forwards it as it is.
    Passthrough,
    /// Expects plain text.
    Plain,
}

/// The virtual hosts of a filter chain.
#[derive(Clone, Debug)]
pub struct RouteTable {
    /// The virtual hosts.
    pub virtual_hosts: Vec<VirtualHost>,
    pub(super) by_authority: HostTable<usize>,
}

/// What a route table has for some authorities.
#[derive(Clone, Debug)]
pub struct VirtualHost {
    /// Its name in Envoy, such as `a.example.com:443`.
    pub name: String,
    /// The authorities.
    pub domains: Vec<HostPattern>,
    /// Its routes. None is the placeholder of an empty table.
    pub routes: Vec<RouteSource>,
}

/// Routes by where they are written. Two that are equal do the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteSource {
    /// The resource.
    pub resource: Arc<ResourceName>,
    /// Its rules that apply.
    pub rules: Vec<Rule>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A virtual host has routes for it.
    Served,
    /// 404: there is no virtual host for it.
    NotFound,
    /// The connection is reset: no filter chain has the server name.
    Reset,
    /// The connection goes to a backend, which terminates TLS.
    Passthrough,
    /// What is in the connection goes to a backend.
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

/// What becomes of a request, with who sees to it.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'l> {
    /// What becomes of it.
    pub outcome: Outcome,
    /// The filter chain.
    pub chain: Option<&'l FilterChain>,
    /// The virtual host.
    pub virtual_host: Option<&'l VirtualHost>,
}

impl Answer<'_> {
    /// What the filter is told of the route.
    #[must_use]
    pub fn route(&self) -> Route {
        Route::from_virtual_host(self.virtual_host.map(|host| host.name.as_bytes()))
    }
}

impl Listener {
    /// Envoy's name for it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}_{}", self.bind, self.port)
    }

    /// Whether Envoy refuses it, so that nothing is served here.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        !self.duplicates.is_empty()
    }

    /// Whether clients begin with TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.chains.iter().any(|chain| chain.tls.is_some())
    }

    /// The filter chain for a server name: the exact one, else the longest wildcard, else the one
    /// for all (Envoy `filter_chain_manager_impl.cc`). Without a server name only the last.
    #[must_use]
    pub fn chain(&self, sni: &[u8]) -> Option<&FilterChain> {
        self.chains.get(self.chain_place(sni)?)
    }

    /// The place of that filter chain in [`Self::chains`].
    #[must_use]
    pub fn chain_place(&self, sni: &[u8]) -> Option<usize> {
        let place = match Host::from_sni(sni) {
            Some(host) => self.by_server_name.best(host),
            None => self.by_server_name.get(&HostPattern::Any),
        };
        place.copied()
    }

    /// What becomes of a request for an authority on a connection with a server name, empty for
    /// none.
    #[must_use]
    pub fn answer(&self, sni: &[u8], authority: &[u8]) -> Answer<'_> {
        let nothing = Answer {
            outcome: Outcome::Reset,
            chain: None,
            virtual_host: None,
        };
        if self.is_rejected() {
            return nothing;
        }
        self.chain(sni)
            .map_or(nothing, |chain| chain.answer(authority))
    }

    /// The servers that the filter has to know: those with a host that a wider host of another
    /// server covers, and those others. Where no server covers a host of another, a route is enough
    /// to know that a request is on the right server.
    #[must_use]
    pub fn overlapping_servers(&self) -> BTreeMap<String, Vec<String>> {
        let mut overlapping: BTreeSet<&ServerId> = BTreeSet::new();
        for chain in self.chains.iter().filter(|chain| chain.tls.is_some()) {
            let wider = chain
                .server_names
                .iter()
                .flat_map(|name| self.by_server_name.covering(name))
                .filter_map(|index| self.chains.get(*index))
                .filter(|wider| wider.tls.is_some() && wider.server.id != chain.server.id);
            for wider in wider {
                overlapping.extend([&wider.server.id, &chain.server.id]);
            }
        }
        self.servers_where(|server| overlapping.contains(&server.id))
    }

    /// All TLS servers: by label, the server names that lead to each, those that do not terminate TLS
    /// included. Each name is there once, so that the table is valid even where Envoy would refuse the
    /// listener.
    #[must_use]
    pub fn servers(&self) -> BTreeMap<String, Vec<String>> {
        self.servers_where(|_| true)
    }

    fn servers_where(&self, is_listed: impl Fn(&Server) -> bool) -> BTreeMap<String, Vec<String>> {
        let mut labels: BTreeMap<String, &Server> = BTreeMap::new();
        let mut servers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (place, chain) in self.chains.iter().enumerate() {
            if chain.tls.is_none() || !is_listed(&chain.server) {
                continue;
            }
            let label = free_label(&labels, &chain.server);
            labels.insert(label.clone(), &chain.server);
            let hosts = chain
                .server_names
                .iter()
                .filter(|host| self.by_server_name.get(host) == Some(&place))
                .map(ToString::to_string);
            servers.entry(label).or_default().extend(hosts);
        }
        servers.retain(|_, hosts| {
            hosts.sort_unstable();
            hosts.dedup();
            !hosts.is_empty()
        });
        servers
    }
}

impl FilterChain {
    /// What becomes of a request for an authority on a connection that it handles.
    #[must_use]
    pub fn answer(&self, authority: &[u8]) -> Answer<'_> {
        let (outcome, virtual_host) = match &self.service {
            Service::Https(table) => table.answer(authority),
            Service::Tcp => (Outcome::Tcp, None),
            Service::Passthrough => (Outcome::Passthrough, None),
            Service::Plain => (Outcome::Reset, None),
        };
        Answer {
            outcome,
            chain: Some(self),
            virtual_host,
        }
    }

    /// The domains of its virtual hosts that have routes.
    pub fn domains(&self) -> impl Iterator<Item = &HostPattern> {
        let table = match &self.service {
            Service::Https(table) => Some(table),
            Service::Tcp | Service::Passthrough | Service::Plain => None,
        };
        let hosts = table.into_iter().flat_map(|table| &table.virtual_hosts);
        hosts
            .filter(|host| !host.routes.is_empty())
            .flat_map(|host| &host.domains)
    }
}

/// The label of a server, numbered where another has the same.
fn free_label(taken: &BTreeMap<String, &Server>, server: &Server) -> String {
    let label = server.id.label();
    let numbered = (2..).map(|number: u32| format!("{label}~{number}"));
    let is_free = |label: &String| taken.get(label).is_none_or(|other| other.id == server.id);
    let mut labels = std::iter::once(label.clone()).chain(numbered);
    labels.find(is_free).unwrap_or(label.clone())
}

impl RouteTable {
    /// The virtual host for an authority, as Envoy finds it: without what follows the last colon
    /// (istiod sets `ignore_port_in_host_matching`) but with a trailing dot, which no domain has
    /// (istiod does not set `strip_trailing_host_dot`).
    fn answer(&self, authority: &[u8]) -> (Outcome, Option<&VirtualHost>) {
        let place = self.by_authority.best(Host::from_authority(authority));
        let virtual_host = place.and_then(|place| self.virtual_hosts.get(*place));
        let is_served = virtual_host.is_some_and(|host| !host.routes.is_empty());
        (
            if is_served {
                Outcome::Served
            } else {
                Outcome::NotFound
            },
            virtual_host,
        )
    }
}
