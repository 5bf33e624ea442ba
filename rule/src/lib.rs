//! The rule of sni-guard: whether a gateway may serve a request on the connection that it arrived on.
//!
//! A client may reuse a connection for another host if the server's certificate covers that host (connection
//! coalescing, RFC 9113 §9.1.1). A gateway that selects its routes by the SNI of the connection then uses the
//! wrong routes. The answer for this case in HTTP is 421 Misdirected Request (RFC 9110 §15.5.20), and the client
//! then repeats the request on a new connection (RFC 9110 §7.4).
//!
//! The crate has no I/O and no clock: results depend on arguments only. The filter enforces what the packager
//! predicts because both call the same functions:
//!
//! 1. [`Document`] is a configuration from JSON or YAML, not validated.
//! 2. [`Config`] is a valid configuration. [`Faults`] are all the reasons why a configuration is invalid.
//! 3. [`Policy`] is the configuration of a running filter: valid or invalid.
//! 4. [`Config::decide`] asks a [`Request`] the questions that its answer depends on, the cheapest first, and
//!    returns the [`Decision`].
//!
//! [`host`] is the only place where names are compared. [`lua`] writes the same rule as a Lua script.

#![no_std]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod config;
pub mod decision;
pub mod document;
pub mod fault;
pub mod host;
pub mod lua;
pub mod reason;
pub mod request;

pub use config::{Action, Config, Protocol, Rule, Servers};
pub use decision::{Decision, Gateway, Policy};
pub use document::Document;
pub use fault::{Fault, Faults};
pub use host::{Host, HostPattern};
pub use reason::{Misdirection, Pass};
pub use request::{Facts, Request, Route};
