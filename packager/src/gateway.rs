//! What istiod makes of the resources around a gateway, and what Envoy does with that.
//!
//! [`documents`] reads [`Resources`] from text. [`Model::of`] says which workloads run them, and what
//! those listen on: a [`Listener`] has filter chains, chosen by server names, and each of those its
//! virtual hosts, chosen by authorities. [`Listener::answer`] says what becomes of a request.
//!
//! Each step restates a function of Istio, which it names.

mod attached;
pub mod certificate;
pub mod certificates;
mod chains;
pub mod credential;
pub mod documents;
pub mod generated;
pub mod listener;
pub mod merge;
pub mod model;
pub mod protected;
pub mod resources;
pub mod routes;
pub mod server;
pub mod tables;
mod virtual_hosts;
mod workloads;

pub use certificate::Certificate;
pub use certificates::Certificates;
pub use credential::Credential;
pub use listener::{Answer, FilterChain, Listener, Outcome, VirtualHost};
pub use merge::{DropReason, Dropped};
pub use model::{Model, Workload};
pub use resources::Resources;
pub use server::{Server, ServerId};
