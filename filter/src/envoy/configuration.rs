//! What a configuration of the filter is made from: the `pluginConfig`, and the kind of gateway.

use log::{error, info};
use rule::{Config, Document, Faults, Gateway, Policy, Rule};

use super::abi::{self, Status};
use super::request::found;
use crate::memory::Received;

/// A configuration with the text that it was read from.
pub(crate) struct Configuration {
    pub(crate) policy: Policy,
    pub(crate) bytes: Received,
}

/// Reads the configuration that Envoy has for this plugin.
pub(crate) fn read() -> Configuration {
    let bytes = match found(abi::plugin_configuration()) {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(Status(status)) => {
            let problem = format!("Envoy does not hand it over, status {status}");
            return Configuration {
                policy: Policy::Invalid(Faults::unreadable(problem)),
                bytes: Received::default(),
            };
        }
    };
    let policy = Policy::from(document(&bytes).and_then(|document| Config::parse(&document)));
    Configuration { policy, bytes }
}

fn document(json: &[u8]) -> Result<Document, Faults> {
    if json.trim_ascii().is_empty() {
        return Ok(Document::Null);
    }
    serde_json::from_slice(json)
        .map_err(|error| Faults::unreadable(format!("it is not JSON: {error}")))
}

/// The kind of gateway that this is. Proxies of Istio have the version of Istio in the metadata of
/// their node (Istio `pkg/bootstrap/config.go`); nothing but the bootstrap can set it.
pub(crate) fn gateway() -> Gateway {
    match abi::property("xds\0node\0metadata\0ISTIO_VERSION") {
        Ok(version) if !version.is_empty() => Gateway::Istio,
        Ok(_) | Err(_) => Gateway::Other,
    }
}

/// Logs what is in force, or everything that is wrong with the configuration.
pub(crate) fn announce(policy: &Policy, gateway: Gateway) {
    match policy {
        Policy::Active(config) => info!("{}", summary(config, gateway)),
        Policy::Invalid(faults) => {
            for fault in faults.iter() {
                error!("invalid configuration, every request passes: {fault}");
            }
        }
    }
}

fn summary(config: &Config, gateway: Gateway) -> String {
    let rule = match config.rule() {
        Rule::Servers(servers) => {
            format!(
                "{} servers, {} overlaps",
                servers.count(),
                servers.overlaps()
            )
        }
        Rule::Exact => "rule exact".to_owned(),
    };
    let gateway = match gateway {
        Gateway::Istio => "gateway of istiod",
        Gateway::Other => "other gateway",
    };
    format!(
        "configured: {rule}, action {}, {gateway}",
        config.action().name()
    )
}
