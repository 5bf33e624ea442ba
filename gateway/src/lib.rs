//! What gateways do with resources, as pure functions of values.
//!
//! [`documents`] reads [`Resources`] from text. [`Model::of`] says which workloads run them, and what
//! those listen on: a [`Listener`] has filter chains, chosen by server names, and each of those its
//! virtual hosts, chosen by authorities. [`Listener::answer`] says what becomes of a request. Each step
//! restates a function of Istio or of Envoy, which it names.
//!
//! The rest asks the model. `coalescing` finds which host breaks on a connection for which other,
//! [`findings`] reports that and what else is wrong, [`merge`] plans how servers become one,
//! [`protected`] finds the hosts that a connection without a client certificate may not ask for, and
//! [`tables`] the hosts of a filter's configuration. [`probe`] says what the answers of a live gateway
//! mean.
//!
//! Names are compared by [`rule`]. There is no input and no output here: no client, no runtime, no clock.

pub mod advice;
mod attached;
pub mod certificate;
pub mod certificates;
mod chains;
mod coalescing;
pub mod credential;
pub mod disjoint_sets;
pub mod documents;
pub mod findings;
pub mod generated;
pub mod istio;
pub mod listener;
pub mod merge;
pub mod model;
pub mod probe;
pub mod protected;
pub mod resources;
pub mod routes;
pub mod server;
pub mod server_merge;
pub mod tables;
mod virtual_hosts;
mod workloads;

pub use certificate::Certificate;
pub use certificates::Certificates;
pub use credential::Credential;
pub use listener::{Answer, FilterChain, Listener, Outcome, VirtualHost};
pub use model::{Model, Workload};
pub use resources::Resources;
pub use server::{Server, ServerId};
pub use server_merge::{DropReason, Dropped};
