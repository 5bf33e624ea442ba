//! The tests that need no cluster, but the cases, which are files or rows: `cases` has a test for each.

mod browsers;
mod check;
mod cli;
mod cluster;
mod difference;
mod documents;
mod findings_page;
mod gateway;
mod help;
mod host_calls;
mod hostile;
mod house;
mod image;
mod inputs;
mod load;
mod lua;
mod manifests;
mod memory;
mod merge;
mod model;
mod module;
mod odd_authorities;
mod page;
mod probe;
mod registry;
mod verify;
