//! The plugin's configuration: read once, and told in the log.

use log::{error, info};
use rule::{Config, Document, Faults, Policy, Rule};

use crate::abi::{self, Refused};
use crate::memory::Received;

/// Reads the configuration that Envoy holds for this plugin.
pub(crate) fn read() -> Policy {
    Policy::from(document().and_then(|document| Config::parse(&document)))
}

fn document() -> Result<Document, Faults> {
    let json = match abi::plugin_configuration() {
        Ok(json) => json,
        // Envoy's word for a plugin without configuration.
        Err(Refused::NOT_FOUND) => Received::default(),
        Err(Refused(status)) => {
            return Err(Faults::unreadable(format!(
                "Envoy does not tell it, status {status}"
            )));
        }
    };
    if json.trim_ascii().is_empty() {
        return Ok(Document::Null);
    }
    serde_json::from_slice(&json)
        .map_err(|error| Faults::unreadable(format!("it is not JSON: {error}")))
}

/// Logs what is in force, or everything that keeps the configuration from it.
pub(crate) fn announce(policy: &Policy) {
    match policy {
        Policy::Active(config) => info!("{}", summary(config)),
        Policy::Invalid(faults) => {
            for fault in faults.iter() {
                error!("invalid configuration, every request passes: {fault}");
            }
        }
    }
}

fn summary(config: &Config) -> String {
    let servers = match config.rule() {
        Rule::Servers(servers) => {
            format!(
                ", {} servers, {} overlaps",
                servers.count(),
                servers.overlaps()
            )
        }
        Rule::Unrouted | Rule::Exact => String::new(),
    };
    let (rule, action, path) = (
        config.rule().name(),
        config.action().name(),
        config.path().name(),
    );
    format!("rule {rule}{servers}, action {action}, {path} path")
}
