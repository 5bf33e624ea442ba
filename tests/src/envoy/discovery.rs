//! Where Envoy's listeners come from: its bootstrap, or a file that it watches.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON object with a text adds the key"
)]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::config::{Listener, clusters};
use crate::certificate::Certificate;

/// What listeners are made from, but for themselves.
#[derive(Clone, Debug)]
pub(super) struct Files {
    /// The certificate that every TLS server shows.
    pub(super) certificate: Certificate,
    pub(super) authority: PathBuf,
    /// Where every listener logs its requests.
    pub(super) access_log: PathBuf,
    /// Where Envoy finds its listeners, when they are not in the bootstrap.
    pub(super) discovery: PathBuf,
}

/// Envoy's bootstrap, with its listeners.
#[must_use]
pub fn bootstrap(listeners: &[Listener], certificate: &Certificate, access_log: &Path) -> Value {
    let mut bootstrap = empty_bootstrap();
    bootstrap["static_resources"] = json!({
        "listeners": configs(listeners, certificate, access_log),
        "clusters": clusters(listeners),
    });
    bootstrap
}

/// Adds the metadata that Istio's agent adds to the bootstrap of every proxy.
pub fn add_istio_metadata(bootstrap: &mut Value) {
    bootstrap["node"]["metadata"] = json!({ "ISTIO_VERSION": "1.31.0" });
}

/// Envoy's bootstrap, with listeners that it gets from the file of [`deliver_listeners`].
pub(super) fn discovering_bootstrap(files: &Files) -> Value {
    let mut bootstrap = empty_bootstrap();
    bootstrap["dynamic_resources"] = json!({ "lds_config": {
        "path_config_source": { "path": files.discovery },
        "resource_api_version": "V3",
    } });
    bootstrap
}

fn empty_bootstrap() -> Value {
    json!({
        "node": { "id": "test", "cluster": "test" },
        "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } },
    })
}

/// Writes the discovery file with these listeners.
pub(super) fn deliver_listeners(listeners: &[Listener], files: &Files) -> Result<()> {
    let mut listeners = configs(listeners, &files.certificate, &files.access_log);
    for listener in &mut listeners {
        listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
    }
    deliver(&files.discovery, &json!({ "resources": listeners }))
}

fn configs(listeners: &[Listener], certificate: &Certificate, access_log: &Path) -> Vec<Value> {
    listeners
        .iter()
        .map(|listener| listener.config(certificate, access_log))
        .collect()
}

/// Moves a file of discovery resources into its place, which is when Envoy looks at it.
pub(super) fn deliver(file: &Path, content: &Value) -> Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, content.to_string())?;
    Ok(fs::rename(new, file)?)
}
