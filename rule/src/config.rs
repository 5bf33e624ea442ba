//! The configuration of the rule: the schema of a WasmPlugin's `pluginConfig`, valid by
//! construction.

mod reader;

use alloc::string::String;
use alloc::vec::Vec;

use crate::document::Document;
use crate::fault::Faults;
use crate::host::{Host, HostPattern, HostTable};

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) rule: Rule,
    pub(crate) action: Action,
    pub(crate) hosts: HostTable<Action>,
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) grpc: Treatment,
    pub(crate) missing_sni: Treatment,
    pub(crate) unlisted_sni: Treatment,
    pub(crate) trusted_sni: HostTable<()>,
}

/// When a request counts as misdirected.
#[derive(Clone, Debug)]
pub enum Rule {
    /// When no virtual host matched: the gateway was about to answer 404.
    Unrouted,
    /// When the authority is not the SNI.
    Exact,
    /// When the authority belongs to another TLS server than the SNI.
    Servers(Servers),
}

/// What happens to a misdirected request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is answered 421.
    Enforce,
    /// It is counted and logged, and passes.
    Report,
    /// It passes.
    Off,
}

/// A version of HTTP, by the name a configuration uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `h1`: HTTP/1.0 and HTTP/1.1.
    Http1,
    /// `h2`: HTTP/2.
    Http2,
    /// `h3`: HTTP/3.
    Http3,
}

/// What a setting for a special case says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    Pass,
    Reject,
}

/// How much the filter has to know of a request that the gateway found a route for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Nothing: it passes under this configuration, whatever its names are.
    Fast,
    /// The SNI and the authority.
    Full,
}

/// The TLS servers of a gateway: one entry of Istio's `Gateway.spec.servers` or one listener of the
/// Gateway API, which Envoy knows as one filter chain.
#[derive(Clone, Debug)]
pub struct Servers {
    labels: Vec<String>,
    table: HostTable<ServerId>,
    overlaps: usize,
}

/// One of [`Servers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerId(usize);

impl Config {
    /// Reads a configuration. No document at all is one: rule `unrouted`, enforcing.
    ///
    /// # Errors
    /// Every fault of the document.
    pub fn parse(document: &Document) -> Result<Self, Faults> {
        reader::read(document)
    }

    /// The keys of a configuration.
    pub const KEYS: [&'static str; 9] = reader::KEYS;

    /// The words that may stand at a key, or in its list or map; none where others may.
    #[must_use]
    pub fn words(key: &str) -> Vec<&'static str> {
        reader::words(key)
    }

    /// The rule in force.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Whether a route is enough to know that a request passes.
    ///
    /// A gateway routes a host only on the server that has it, by its exact name or by a wildcard.
    /// So a request that found a route is on the right server, unless the wildcard of one server
    /// covers hosts of another, or the configuration objects to more than wrong routes.
    #[must_use]
    pub fn path(&self) -> Path {
        let strict = [self.missing_sni, self.unlisted_sni].contains(&Treatment::Reject);
        match &self.rule {
            _ if strict => Path::Full,
            Rule::Unrouted => Path::Fast,
            Rule::Servers(servers) if servers.overlaps == 0 => Path::Fast,
            Rule::Servers(_) | Rule::Exact => Path::Full,
        }
    }

    /// The action for hosts that have none of their own.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// The action for a host: that of the most specific key of `hosts`, else [`Self::action`].
    #[must_use]
    pub fn action_for(&self, host: Option<Host<'_>>) -> Action {
        host.and_then(|host| self.hosts.best(host))
            .copied()
            .unwrap_or(self.action)
    }

    /// The label of the server that a host or SNI belongs to, where the configuration lists servers.
    #[must_use]
    pub fn server_label(&self, host: Option<Host<'_>>) -> Option<&str> {
        match &self.rule {
            Rule::Servers(servers) => servers.label(servers.of(host?)?),
            Rule::Unrouted | Rule::Exact => None,
        }
    }
}

impl Rule {
    /// The name of the rule in a configuration.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unrouted => "unrouted",
            Self::Exact => "exact",
            Self::Servers(_) => "servers",
        }
    }
}

impl Path {
    /// The name of the path in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Full => "full",
        }
    }
}

impl Action {
    /// The name of the action in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Report => "report",
            Self::Off => "off",
        }
    }
}

impl Servers {
    /// How many servers there are: at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.labels.len()
    }

    /// How many patterns are covered by a pattern of another server.
    #[must_use]
    pub fn overlaps(&self) -> usize {
        self.overlaps
    }

    /// The server with the most specific pattern for the host, as Envoy picks a filter chain
    /// (`FilterChainMatch.server_names`).
    pub(crate) fn of(&self, host: Host<'_>) -> Option<ServerId> {
        self.table.best(host).copied()
    }

    fn label(&self, server: ServerId) -> Option<&str> {
        self.labels.get(server.0).map(String::as_str)
    }

    fn new() -> Self {
        Self {
            labels: Vec::new(),
            table: HostTable::default(),
            overlaps: 0,
        }
    }

    fn add(&mut self, label: &str) -> ServerId {
        self.labels.push(label.into());
        ServerId(self.labels.len() - 1)
    }

    /// Counts the overlaps, when every pattern has its server.
    fn finish(mut self) -> Self {
        self.overlaps = self.table.overlaps();
        self
    }

    /// Gives a pattern to a server, or says which server has it.
    fn assign(&mut self, pattern: HostPattern, server: ServerId) -> Result<(), ServerId> {
        match self.table.get(&pattern) {
            Some(owner) if *owner != server => Err(*owner),
            _ => {
                self.table.insert(pattern, server);
                Ok(())
            }
        }
    }
}
