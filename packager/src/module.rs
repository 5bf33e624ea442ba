//! The WebAssembly module of the filter, as bytes: what it exports and imports, what Envoy wants of
//! it, and how its needless exports go.

pub mod host_functions;
mod inspect;
pub mod loading;
mod producers;
mod trim;

pub use inspect::{MAX_SIZE, Report, inspect};
pub use producers::{add_producer, producers};
pub use trim::trim_exports;
