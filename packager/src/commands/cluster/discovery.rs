//! Which kinds a cluster has, and in which version.

use std::collections::HashMap;

use anyhow::Result;

use super::connection::Server;
use super::kinds::{KINDS, Kind};

/// The version in which each kind is served, by group and plural.
#[derive(Debug)]
pub(super) struct Served(HashMap<(String, String), String>);

impl Served {
    /// The version of a kind; `None` where the cluster does not have it.
    pub(super) fn version(&self, kind: &Kind) -> Option<&str> {
        // The core has no list of versions, and one version.
        if kind.group.is_empty() {
            return Some("v1");
        }
        let key = (kind.group.to_owned(), kind.plural.to_owned());
        self.0.get(&key).map(String::as_str)
    }
}

/// Asks which of the kinds there are. A kind need not be in every version of its group.
pub(super) async fn discover(server: &Server) -> Result<Served> {
    const STEP: &str = "asking which resources there are";
    let mut versions = HashMap::new();
    let groups = server.bounded(server.client.list_api_groups()).await;
    let groups = groups
        .map_err(|failure| server.failed(STEP, failure))?
        .groups;
    for group in groups
        .iter()
        .filter(|group| KINDS.iter().any(|kind| kind.group == group.name))
    {
        let preferred = group.preferred_version.iter();
        for version in preferred.chain(&group.versions) {
            let version = &version.group_version;
            let found = server
                .bounded(server.client.list_api_group_resources(version))
                .await;
            let found = found.map_err(|failure| server.failed(STEP, failure))?;
            let number = version.rsplit('/').next().unwrap_or(version);
            for resource in found.resources {
                let key = (group.name.clone(), resource.name);
                versions.entry(key).or_insert_with(|| number.to_owned());
            }
        }
    }
    Ok(Served(versions))
}
