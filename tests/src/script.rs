//! The rule as a Lua script.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use rule::{Config, Document};
use serde::Deserialize as _;
use serde_json::{Value, json};

/// The most octets that a TrafficExtension takes (Istio's resource definition: `lua.inlineCode`).
pub const MOST_OCTETS: usize = 65_536;

/// Reads a configuration.
///
/// # Errors
/// It is invalid.
pub fn parse(configuration: &Value) -> Result<Config> {
    let document = Document::deserialize(configuration)?;
    Config::parse(&document).map_err(|faults| anyhow!("{configuration}: {faults:?}"))
}

/// The script for a configuration.
///
/// # Errors
/// The configuration is invalid.
pub fn script(configuration: &Value) -> Result<String> {
    Ok(rule::lua::write(&parse(configuration)?))
}

/// A configuration whose script has exactly so many octets, at least some ten thousand.
///
/// # Errors
/// There is none.
pub fn configuration_with_octets(octets: usize) -> Result<Value> {
    // Servers fill most of the script. The name of a trusted SNI, of 1 to 253 octets, fills the rest.
    let with_servers = |count: usize, trusted: &[String]| {
        let servers: BTreeMap<String, [String; 1]> = (0..count)
            .map(|number| {
                (
                    format!("{number}"),
                    [format!("host-{number:05}.example.com")],
                )
            })
            .collect();
        json!({ "servers": servers, "trustedSni": trusted })
    };
    let few = script(&with_servers(1_000, &[]))?.len();
    let more = script(&with_servers(1_001, &[]))?.len();
    let count = 1_000 + octets.saturating_sub(few + 100) / (more - few);
    let missing = octets.checked_sub(script(&with_servers(count, &[]))?.len());
    let name: String = missing
        .map(|missing| {
            (1..=missing)
                .map(|at| if at % 50 == 0 { '.' } else { 'x' })
                .collect()
        })
        .ok_or_else(|| anyhow!("{octets} octets are too few"))?;
    Ok(with_servers(count, &[name]))
}
