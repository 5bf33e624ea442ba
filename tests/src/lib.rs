//! What the tests of sni-guard stand on: the decision table, the hosts that its rows run on, and the
//! programs that a gateway consists of.

pub mod backend;
pub mod browser;
pub mod cases;
pub mod certificate;
pub mod client;
pub mod decisions;
pub mod demo;
pub mod envoy;
pub mod fake_host;
pub mod gateways;
pub mod istio;
pub mod many_gateways;
pub mod markdown;
pub mod merge_plans;
pub mod module;
pub mod process;
pub mod quirk_server;
pub mod raw;
pub mod registry;
pub mod rude_server;
pub mod script;
pub mod secrets;
pub mod session;
pub mod tools;
pub mod transcript;
