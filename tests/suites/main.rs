//! Every test that needs no cluster.

mod browsers;
mod check;
mod cli;
mod cluster;
mod decisions;
mod difference;
mod documents;
mod findings_page;
mod gateway;
mod gateways_envoy;
mod help;
mod host_calls;
mod hostile;
mod house;
mod image;
mod load;
mod lua;
mod manifests;
mod memory;
mod merge;
mod model;
mod module;
mod page;
mod probe;
mod registry;
mod verify;
