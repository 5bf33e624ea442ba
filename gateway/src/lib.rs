//! The configuration that gateways get from resources, computed by pure functions.
//!
//! [`documents`] reads [`Resources`] from text. [`Model::new`] computes the workloads that run them and their
//! listeners: a [`Listener`] has filter chains, which Envoy selects by SNI, and a filter chain has virtual
//! hosts, which Envoy selects by authority. [`Listener::answer`] returns the outcome of a request. Each
//! step restates a function of Istio or Envoy and names it; [`istio`] has the constants.
//!
//! The other modules use the model. `coalescing` finds the hosts that break on a connection for another
//! host, [`findings`] reports them and other problems, [`merge`] plans how to merge servers, [`protected`]
//! finds the requests that bypass a client certificate, and [`tables`] computes the hosts for the
//! configuration of the filter. [`probe`] interprets the answers of a live gateway.
//!
//! [`rule`] compares host names. This crate has no I/O: no client, no runtime and no clock.

pub mod advice;
mod attached;
mod certificate;
mod certificates;
mod chains;
mod coalescing;
mod credential;
pub mod disjoint_sets;
pub mod documents;
pub mod findings;
mod generated;
pub mod istio;
pub mod listener;
pub mod merge;
pub mod mesh;
mod model;
mod policy_attachment;
pub mod probe;
pub mod protected;
pub mod resources;
mod revision_tags;
mod revisions;
mod routes;
mod server;
mod server_merge;
pub mod shell;
pub mod tables;
mod virtual_hosts;
mod workloads;

pub use certificate::Certificate;
pub use certificates::Certificates;
pub use credential::Credential;
pub use listener::{Answer, FilterChain, Listener, Outcome, VirtualHost};
pub use model::{Model, Selection, Unselected, Workload};
pub use resources::Resources;
pub use server::{Entry, Server, ServerId};
pub use server_merge::{DropReason, Dropped};
