//! What is compared.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tests::many_gateways::manifest;
use tests::script::script;

const WILDCARD: &str = "*.example.com";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    NoFilter,
    NoConfiguration,
    /// What `packager manifest --from` writes.
    Disjoint,
    /// The same with one more Gateway, a wildcard over all hosts.
    Wildcard,
    /// The servers of the latter as the readable map.
    Readable,
    /// The generated Lua script for the servers of the latter.
    Script,
    /// The same after a misdirected request to each filter chain in each worker. The script builds its tables for
    /// the first request that needs them.
    ScriptInUse,
}

#[derive(Clone, Debug)]
pub(crate) struct PluginConfig {
    pub(crate) value: Value,
    /// What `manifest` warns of: MiB that it adds, settled and at the peak of an update.
    pub(crate) estimate: Option<(f64, f64)>,
}

impl PluginConfig {
    fn of(value: Value) -> Self {
        Self {
            value,
            estimate: None,
        }
    }
}

impl Variant {
    const ALL: [Self; 7] = [
        Self::NoFilter,
        Self::NoConfiguration,
        Self::Disjoint,
        Self::Wildcard,
        Self::Readable,
        Self::Script,
        Self::ScriptInUse,
    ];

    /// The variants that are measured with so many filter chains. Scripts take too much memory and time with many.
    pub(crate) fn of_size(chains: usize) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |variant| match variant {
            Self::Script => chains <= 1_500,
            Self::ScriptInUse => chains <= 500,
            Self::NoFilter
            | Self::NoConfiguration
            | Self::Disjoint
            | Self::Wildcard
            | Self::Readable => true,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoFilter => "no filter",
            Self::NoConfiguration => "no configuration",
            Self::Disjoint => "`manifest`, no overlap",
            Self::Wildcard => "`manifest`, a wildcard over all hosts",
            Self::Readable => "the same servers as a map",
            Self::Script => "the same servers as a Lua script",
            Self::ScriptInUse => "the script, after a 421 of each filter chain",
        }
    }

    /// The filter's configuration on a gateway with so many filter chains. `None` is no filter of WebAssembly.
    pub(crate) fn plugin_config(self, chains: usize) -> Result<Option<PluginConfig>> {
        let hosts = (0..chains).map(host);
        let with_wildcard = hosts.clone().chain([WILDCARD.to_owned()]);
        Ok(match self {
            Self::NoFilter | Self::Script | Self::ScriptInUse => None,
            Self::NoConfiguration => Some(PluginConfig::of(json!({}))),
            Self::Disjoint => Some(plugin_config(hosts)?),
            Self::Wildcard => Some(plugin_config(with_wildcard)?),
            Self::Readable => Some(PluginConfig::of(readable(with_wildcard))),
        })
    }
}

/// The generated script for the host of each filter chain, and the wildcard.
pub(crate) fn wildcard_script(chains: usize) -> Result<String> {
    let hosts = (0..chains).map(host).chain([WILDCARD.to_owned()]);
    script(&readable(hosts))
}

/// The host of a filter chain.
pub(crate) fn host(number: usize) -> String {
    format!("host-{number}.example.com")
}

/// The `spec.pluginConfig` that `packager manifest` writes for a Gateway for each host.
fn plugin_config(hosts: impl Iterator<Item = String>) -> Result<PluginConfig> {
    let run = manifest(hosts, &[])?;
    ensure!(run.status == 0, "packager manifest: {}", run.talk);
    let resource: Value = serde_json::from_str(&run.out)?;
    let plugin_config = resource.pointer("/spec/pluginConfig");
    Ok(PluginConfig {
        value: plugin_config.cloned().unwrap_or_else(|| json!({})),
        estimate: estimate(&run.talk),
    })
}

/// The two numbers of MiB in the warning about memory.
fn estimate(talk: &str) -> Option<(f64, f64)> {
    let warning = talk
        .lines()
        .find(|line| line.starts_with("warning: ") && line.contains(" MiB"))?;
    let mut numbers = warning
        .split(" MiB")
        .filter_map(|before| before.rsplit(' ').next()?.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

/// The labels are those of `packager manifest`.
fn readable(hosts: impl Iterator<Item = String>) -> Value {
    let servers: BTreeMap<String, [String; 1]> = hosts
        .enumerate()
        .map(|(number, host)| (format!("istio-system/gateway-{number}/https"), [host]))
        .collect();
    json!({ "servers": servers })
}
