//! Typed indices. A listener has filter chains, servers and hosts, and each kind has its own numbers.

/// The position of a filter chain in the list of its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChainIndex(pub(super) usize);

/// The number of a server in its listener. The order is the order of the servers' first filter chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ServerIndex(pub(super) usize);

/// The position of a host in [`ListenerHosts`](super::ListenerHosts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct HostIndex(pub(super) usize);
