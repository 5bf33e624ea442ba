//! The configuration of the rule: the schema of a WasmPlugin's `pluginConfig`, valid by
//! construction.

pub mod compact;
mod reader;
mod servers;

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::document::Document;
use crate::fault::Faults;
use crate::host::{Host, HostPattern, HostTable};
pub use servers::Servers;

/// A valid configuration of the filter.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) rule: Rule,
    pub(crate) action: Action,
    pub(crate) hosts: HostTable<Action>,
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) grpc: Treatment,
    pub(crate) missing_sni: Treatment,
    pub(crate) unlisted_sni: Treatment,
    pub(crate) trusted_sni: Vec<HostPattern>,
}

/// When a request counts as misdirected.
#[derive(Clone, Debug)]
pub enum Rule {
    /// If the host belongs to another of these servers than the SNI. For names that no server lists, and if
    /// there are no servers: if no virtual host matched.
    Servers(Box<Servers>),
    /// If the authority differs from the SNI.
    Exact,
}

/// What happens to a misdirected request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The filter answers 421.
    Enforce,
    /// The request passes, and is counted and logged.
    Report,
    /// The request passes.
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

/// The setting for a special case, such as a connection without SNI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    Pass,
    Reject,
}

impl Config {
    /// Reads a configuration. An empty document is valid.
    ///
    /// # Errors
    /// The document has faults. The error has every one of them.
    pub fn parse(document: &Document) -> Result<Self, Faults> {
        reader::read(document)
    }

    /// The top-level keys of a configuration.
    pub const KEYS: [&'static str; 9] = reader::KEYS;

    /// The words that a key, its list or its map may have; empty if the values are not words.
    #[must_use]
    pub fn words(key: &str) -> Vec<&'static str> {
        reader::words(key)
    }

    /// The rule of the configuration.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The action for hosts without an action of their own.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// The action for a host: of the most specific key of `hosts` that covers it, else [`Self::action`].
    #[must_use]
    pub fn action_for(&self, host: Host<'_>) -> Action {
        self.hosts
            .best(host.without_trailing_dot())
            .copied()
            .unwrap_or(self.action)
    }

    /// The label of the listed server that a server name leads to.
    #[must_use]
    pub fn server_of_sni(&self, sni: &[u8]) -> Option<&str> {
        self.server_label(Host::from_sni(sni)?)
    }

    /// The label of the listed server that the host of an authority belongs to.
    #[must_use]
    pub fn server_of_authority(&self, authority: &[u8]) -> Option<&str> {
        self.server_label(Host::from_authority(authority).without_trailing_dot())
    }

    fn server_label(&self, name: Host<'_>) -> Option<&str> {
        match &self.rule {
            Rule::Servers(servers) => servers.label(servers.of(name)?),
            Rule::Exact => None,
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

impl Protocol {
    /// The name of the version in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "h1",
            Self::Http2 => "h2",
            Self::Http3 => "h3",
        }
    }
}

impl Treatment {
    /// The name of the treatment in a configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Reject => "reject",
        }
    }
}
