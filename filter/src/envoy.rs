//! The part of the filter that runs inside Envoy: calls into the host, and calls from it.

mod abi;
mod callbacks;
mod configuration;
mod contexts;
mod gauge;
mod guard;
pub(crate) mod log_sink;
mod metrics;
mod reply;
mod request;
