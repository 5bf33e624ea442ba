//! Which hosts break on a connection that a client opened for another host (connection coalescing,
//! RFC 9113 §9.1.1).
//!
//! The steps, each in a module:
//!
//! 1. [`ListenerHosts`] lists the hosts that clients can request at a listener, each with the answer
//!    on a new connection of its own.
//! 2. [`certificate_scopes()`] lists which connections may carry requests for which hosts. All filter
//!    chains with the same names in their certificates share one scope.
//!    A connection is in a scope only if the certificate covers its own SNI too: a client that refuses
//!    the certificate has no connection to reuse.
//! 3. [`BrokenPairs`] holds the pairs of a connection and a host that break in a scope. Most of them
//!    get 404, and there may be millions, so it counts these without a list of them.
//! 4. [`ConnectedServers`] joins the servers that such pairs connect: a merge makes them one server.

mod broken_pairs;
mod certificate_scopes;
mod components;
mod defect;
mod index;
mod listener_hosts;
mod pair_groups;
mod remaining_pairs;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::ServerId;
pub(crate) use broken_pairs::{BrokenPair, BrokenPairs};
pub(crate) use certificate_scopes::certificate_scopes;
pub(crate) use components::{ConnectedServers, components};
pub(crate) use defect::{Defect, ReportedDefect};
pub(crate) use index::{ChainIndex, ServerIndex};
pub(crate) use listener_hosts::ListenerHosts;
pub(crate) use pair_groups::NotFoundGroup;
pub use remaining_pairs::{RemainingPair, RemainingPairs};

/// How much is known of the certificates that a finding depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Known {
    /// The input has them.
    Known,
    /// The input lacks one. The servers that use it are presumed to share it for all of their hosts.
    Presumed,
    /// Nothing is known, or the finding does not depend on certificates.
    #[default]
    Unknown,
}

/// Whether an annotation on the Gateway of a server suppresses such a finding.
pub(crate) type IsIgnored<'i> = &'i dyn Fn(&ServerId, ReportedDefect) -> bool;
