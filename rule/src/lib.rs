//! The rule of sni-guard: may this request be served on the connection it came on?
//!
//! A client may reuse a connection for another host when the certificate it was shown covers that
//! host (RFC 9113 §9.1.1). A gateway that chose its routes by the connection's SNI then answers
//! from the wrong routes, and HTTP's answer for that is 421 Misdirected Request (RFC 9110
//! §15.5.20), after which the client asks again on a connection of its own (§7.4 there).
//!
//! The crate has no I/O and no clock; everything it knows is in its arguments. The filter enforces
//! what the packager predicts because both call the same functions:
//!
//! 1. [`Document`] is a configuration as it came, from JSON or YAML.
//! 2. [`Config`] is a valid one; [`Faults`] are all the reasons why another is invalid.
//! 3. [`Policy`] is what a running filter holds: either of the two.
//! 4. [`Config::decide`] asks a [`Request`] what it needs, the cheapest first, and returns the
//!    [`Decision`].
//!
//! [`host`] is the only place where names are compared.

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
pub mod reason;
pub mod request;

pub use config::{Action, Config, Protocol, Rule, Servers};
pub use decision::{Decision, Gateway, Policy};
pub use document::Document;
pub use fault::{Fault, Faults};
pub use host::{Host, HostPattern};
pub use reason::{Misdirection, Pass};
pub use request::{Facts, Request, Route};
