//! The WebAssembly module of the filter, as bytes: inspection with the checks of Envoy, and removal of unused
//! exports.

pub mod host_functions;
mod inspect;
pub(crate) mod loading;
mod producers;
mod trim;

pub(crate) use inspect::MAX_SIZE;
pub use inspect::{Report, inspect};
pub(crate) use producers::{add_producer, producers};
pub(crate) use trim::trim_exports;
